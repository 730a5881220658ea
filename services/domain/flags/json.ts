import { at, type FlagProblem, type Path } from './problem.ts';

/** What ends a parse: told with its place, never thrown to a caller of this module. */
class Stop extends Error {
  readonly problem: FlagProblem;
  constructor(problem: FlagProblem) {
    super(problem.problem);
    this.problem = problem;
  }
}

export type JsonResult =
  | { ok: true; value: unknown; offsets: ReadonlyMap<string, number> }
  | { ok: false; problem: FlagProblem };

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\r\n]|\\.)*"/y;
const SPACE = /[ \t\r\n]*/y;
/** Lists, maps and their members: 50 flags with a rule of 300 parts each; each part costs memory and time to refuse. */
const MAX_PARTS = 20_000;
const WORDS: readonly [string, unknown][] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

/**
 * JSON with what `JSON.parse` swallows refused: a second key of the same name, and `__proto__`. Linear in the length,
 * 1 MiB in some 50 ms, as a serving process reads its flags between two requests.
 */
export function parseJson(text: string, maxDepth: number, place: (offset: number) => Place): JsonResult {
  const offsets = new Map<string, number>();
  let position = 0;
  let parts = 0;

  function count(path: Path): void {
    parts += 1;
    if (parts > MAX_PARTS)
      stop(path, `is more than ${MAX_PARTS} lists and members`, 'Put many ids into one "in" list.');
  }
  function stop(path: Path, problem: string, mend: string): never {
    throw new Stop(at(path, problem, mend, place(position)));
  }
  const malformed = (path: Path, wanted: string): never =>
    stop(path, `is not well formed: ${wanted} is missing`, 'A document that was cut off ends like this, too.');
  function take(pattern: RegExp): string | undefined {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) position += found.length;
    return found;
  }
  function next(): string | undefined {
    take(SPACE);
    return text[position];
  }
  function string(path: Path, wanted: string): string {
    const start = position;
    const found = take(STRING);
    if (found === undefined) return malformed(path, wanted);
    try {
      return JSON.parse(found) as string;
    } catch {
      position = start;
      return malformed(path, 'a known escape');
    }
  }
  function value(path: Path, depth: number): unknown {
    if (depth > maxDepth) stop(path, `is nested deeper than ${maxDepth}`, 'Flatten the rule.');
    const first = next();
    if (first === '{') return map(path, depth);
    if (first === '[') return list(path, depth);
    if (first === '"') return string(path, 'the end of a text');
    for (const [word, meaning] of WORDS) {
      if (text.startsWith(word, position)) {
        position += word.length;
        return meaning;
      }
    }
    const number = Number(take(NUMBER) ?? malformed(path, 'a value'));
    return Number.isFinite(number) ? number : stop(path, 'is not a finite number', 'Write a smaller one.');
  }
  function list(path: Path, depth: number): unknown[] {
    count(path);
    offsets.set(path.join('.'), position);
    const items: unknown[] = [];
    position += 1;
    if (next() === ']') position += 1;
    else {
      for (;;) {
        items.push(value([...path, items.length], depth + 1));
        const sign = next();
        if (sign !== ',' && sign !== ']') malformed(path, '"," or "]"');
        position += 1;
        if (sign === ']') break;
      }
    }
    return items;
  }
  function map(path: Path, depth: number): Record<string, unknown> {
    if (!offsets.has(path.join('.'))) offsets.set(path.join('.'), position);
    const result: Record<string, unknown> = {};
    position += 1;
    if (next() === '}') {
      position += 1;
      return result;
    }
    for (;;) {
      next();
      const start = position;
      const key = string(path, 'a key in double quotes');
      const inner = [...path, key];
      if (key === '__proto__' || Object.hasOwn(result, key)) {
        position = start;
        if (key === '__proto__') stop(path, 'has the key "__proto__"', 'Name it otherwise.');
        stop(inner, 'stands there twice', 'Keep one of the two.');
      }
      count(path);
      offsets.set(inner.join('.'), start);
      if (next() !== ':') malformed(inner, '":"');
      position += 1;
      result[key] = value(inner, depth + 1);
      const sign = next();
      if (sign !== ',' && sign !== '}') malformed(inner, '"," or "}"');
      position += 1;
      if (sign === '}') return result;
    }
  }

  try {
    const result = value([], 0);
    if (next() !== undefined) stop([], 'goes on after its end', 'Keep one document.');
    return { ok: true, value: result, offsets };
  } catch (error) {
    if (error instanceof Stop) return { ok: false, problem: error.problem };
    throw error;
  }
}

export type Place = { line: number; column: number };
