import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';
import { type Place, parseJson } from './json.ts';
import { at, type FlagProblem, type Path } from './problem.ts';

/** A ConfigMap holds 1 MiB; what is longer was not written by hand. */
export const MAX_BYTES = 1024 * 1024;
/** The YAML parser is quadratic in places: some seconds for this much at worst, a minute for 1 MiB, in one go. */
const MAX_YAML_BYTES = 32 * 1024;
/** flagd's own rules are at most a dozen levels deep; a parser that recurses ends at some thousands. */
const MAX_DEPTH = 64;

/** Plain data without prototypes' names, and where each path of it stands in the text. */
export type Parsed = { value: unknown; placeOf(path: Path): Place | undefined };
export type SyntaxResult = { ok: true; parsed: Parsed } | { ok: false; problems: FlagProblem[] };

/**
 * Text to data, JSON or YAML 1.2, with the parts of YAML refused that make a document say something else than what it
 * seems to say: a second key of the same name wins silently, an anchor or a merge key carries one flag's rule into
 * another, a tag makes another type.
 */
export function parseText(text: string): SyntaxResult {
  const bytes = Buffer.byteLength(text);
  const refuse = (problem: string, mend: string, place?: Place): SyntaxResult => ({
    ok: false,
    problems: [at([], problem, mend, place)],
  });
  if (bytes > MAX_BYTES)
    return refuse(`is ${bytes} bytes long, the most is ${MAX_BYTES}`, 'Take out what is not flags.');
  if (text.includes('\ufffd')) return refuse('is not UTF-8 text', 'Save it as UTF-8.');
  const trimmed = text.trimEnd();
  if (trimmed === '') return refuse('is empty', 'Write "flags:" with at least one flag.');
  if (/^[{[]/.test(text.trimStart())) return readJson(text);
  if (bytes > MAX_YAML_BYTES) {
    return refuse(
      `is ${bytes} bytes of YAML, the most is ${MAX_YAML_BYTES}`,
      `Write it as JSON, which may have ${MAX_BYTES}.`,
    );
  }
  // Each beginning of a YAML text is YAML, too: without its end marker half a document would pass for a whole one.
  if (!trimmed.endsWith('\n...')) {
    return refuse('does not end with "...", so it may have been cut off', 'End a YAML document with a line "...".');
  }
  if (nestsTooDeep(trimmed)) return refuse(`is nested deeper than ${MAX_DEPTH}`, 'Flatten the rule.');
  const lines = new LineCounter();
  const where = (offset: number | undefined): Place | undefined => {
    if (offset === undefined) return undefined;
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      // Its own check compares each key with each other. The reader below has a set.
      uniqueKeys: false,
      merge: false,
      version: '1.2',
      schema: 'core',
      prettyErrors: false,
    });
    if (!Array.isArray(documents)) return refuse('is empty', 'Write "flags:" with at least one flag.');
    const errors = documents.flatMap((document) => [...document.errors, ...document.warnings]);
    if (errors.length > 0) {
      return {
        ok: false,
        problems: errors
          .slice(0, 10)
          .map((error) => at([], `is not well formed: ${error.message}`, MEND, where(error.pos[0]))),
      };
    }
    const [document, second] = documents;
    if (second || !document) return refuse('holds more than one document', 'Keep one document, without "---".');
    const reader = new Reader(where);
    const value = reader.read(document.contents as Node | null, [], 0);
    return reader.problems.length > 0
      ? { ok: false, problems: reader.problems }
      : { ok: true, parsed: { value, placeOf: reader.placeOf } };
  } catch (error) {
    // Only what no document of ours does: nesting that ends the parser's stack.
    return refuse(`cannot be parsed (${(error as Error).message})`, 'Write it as flagd documents it, in JSON or YAML.');
  }
}

function readJson(text: string): SyntaxResult {
  const place = (offset: number): Place => {
    const before = text.slice(0, offset);
    return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
  };
  const result = parseJson(text, MAX_DEPTH, place);
  if (!result.ok) return { ok: false, problems: [result.problem] };
  const placeOf = (path: Path) => {
    for (let length = path.length; length >= 0; length -= 1) {
      const offset = result.offsets.get(path.slice(0, length).join('.'));
      if (offset !== undefined) return place(offset);
    }
    return undefined;
  };
  return { ok: true, parsed: { value: result.value, placeOf } };
}

const MEND = 'Look for a missing bracket, quote or indentation there; a document that was cut off ends like this, too.';

/**
 * A parser that recurses ends its stack on a few thousand brackets; nesting is bounded before it starts.
 * Brackets within texts count, too; there are never that many open ones in a description.
 */
function nestsTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    if (char === 0x5b || char === 0x7b) depth += 1;
    else if (char === 0x5d || char === 0x7d) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  // A line of "- - - -" or "? ? ? ?" opens a level with each sign.
  return /([-?:][ \t]+){64}/.test(text);
}

class Reader {
  readonly problems: FlagProblem[] = [];
  readonly #places = new Map<string, Place>();
  readonly #where: (offset: number | undefined) => Place | undefined;
  constructor(where: (offset: number | undefined) => Place | undefined) {
    this.#where = where;
  }

  placeOf = (path: Path): Place | undefined => {
    for (let length = path.length; length >= 0; length -= 1) {
      const place = this.#places.get(path.slice(0, length).join('.'));
      if (place) return place;
    }
    return undefined;
  };

  #refuse(node: Node | null, path: Path, problem: string, mend: string): undefined {
    this.problems.push(at(path, problem, mend, this.#where(node?.range?.[0])));
    return undefined;
  }

  read(node: Node | null, path: Path, depth: number): unknown {
    if (depth > MAX_DEPTH) return this.#refuse(node, path, `is nested deeper than ${MAX_DEPTH}`, 'Flatten the rule.');
    if (node === null) return null;
    const place = this.#where(node.range?.[0]);
    if (place) this.#places.set(path.join('.'), place);
    if (isAlias(node)) return this.#refuse(node, path, 'is a YAML alias', 'Write the value out.');
    if (node.anchor) return this.#refuse(node, path, `has the YAML anchor "${node.anchor}"`, 'Remove it.');
    if (node.tag) return this.#refuse(node, path, `has the YAML tag ${node.tag}`, 'Remove it.');
    if (isSeq(node)) return node.items.map((item, index) => this.read(item as Node, [...path, index], depth + 1));
    if (isScalar(node)) return this.#scalar(node.value, node, path);
    if (!isMap(node)) return this.#refuse(node, path, 'is of an unknown kind', 'Use maps, lists, text and numbers.');
    const result: Record<string, unknown> = {};
    for (const pair of node.items) {
      const key = isPair(pair) && isScalar(pair.key) ? pair.key.value : undefined;
      const keyNode = pair.key as Node;
      if (key === '<<') this.#refuse(keyNode, path, 'has the YAML merge key "<<"', 'Write the values out.');
      else if (typeof key !== 'string') this.#refuse(keyNode, path, 'has a key that is not text', 'Put it in quotes.');
      else if (Object.hasOwn(result, key))
        this.#refuse(keyNode, [...path, key], 'stands there twice', 'Keep one of the two.');
      else if (key === '__proto__') this.#refuse(keyNode, path, 'has the key "__proto__"', 'Name it otherwise.');
      else if (keyNode.anchor) this.#refuse(keyNode, path, `has the YAML anchor "${keyNode.anchor}"`, 'Remove it.');
      else {
        const keyPlace = this.#where(keyNode.range?.[0]);
        result[key] = this.read(pair.value as Node | null, [...path, key], depth + 1);
        if (keyPlace) this.#places.set([...path, key].join('.'), keyPlace);
      }
    }
    return result;
  }

  #scalar(value: unknown, node: Node, path: Path): unknown {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return this.#refuse(node, path, 'is not a finite number', 'Write a number, or text in quotes.');
    }
    return value;
  }
}
