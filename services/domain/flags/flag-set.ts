import { createHash } from 'node:crypto';
import { type FlagDefinition, type FlagDocument, parseDocument } from './document.ts';
import type { CodeFlag } from './flags.ts';
import { describeProblem, type FlagProblem } from './problem.ts';
import { type CompiledTargeting, type FlagContext, type Target, TargetingCompiler } from './targeting.ts';

/** Each problem is looked for in the text: the same mistake a thousand times would stop a process for seconds. */
const MOST_TOLD = 20;

export type FlagValue = boolean | string | number;
/** The reasons of OpenFeature: no rule, a rule's answer, no answer of the rule, not in force. */
export type Resolution =
  | { value: FlagValue; variant: string; reason: 'STATIC' | 'TARGETING_MATCH' | 'DEFAULT' }
  /** DISABLED: the caller's default counts. */
  | { value: undefined; variant: undefined; reason: 'DISABLED' };

export type CompiledFlag = {
  definition: FlagDefinition;
  type: 'boolean' | 'string' | 'number';
  targeting: CompiledTargeting | undefined;
  evaluate(context: FlagContext): Resolution;
};

/** Flags that were checked and are ready to be asked. Immutable. */
export type FlagSet = {
  /** The first 12 hex digits of the SHA-256 of the canonical document: the same for the same flags, however written. */
  version: string;
  document: FlagDocument;
  flags: ReadonlyMap<string, CompiledFlag>;
};

export type FlagSetResult = { ok: true; set: FlagSet } | { ok: false; problems: FlagProblem[] };

/** Text to flags, or to what is wrong with it, at most 20 problems. Never throws and reads no clock: expiry refuses nothing here. */
export function compileFlags(source: string, code: Readonly<Record<string, CodeFlag>>): FlagSetResult {
  const result = parseDocument(source);
  if (!result.ok) return result;
  const { document, parsed } = result;
  const found: FlagProblem[] = [];
  const flags = new Map<string, CompiledFlag>();
  for (const [name, definition] of Object.entries(document.flags)) {
    flags.set(name, compileFlag(name, definition, Object.hasOwn(code, name) ? code[name] : undefined, found));
  }
  if (found.length > 0) {
    // Rules know their path as text only; the place is that of the nearest thing above.
    return {
      ok: false,
      problems: found
        .slice(0, MOST_TOLD)
        .map((problem) => ({ ...problem, ...parsed.placeOf(problem.path.split('.')) })),
    };
  }
  return { ok: true, set: { version: versionOf(document), document, flags } };
}

function compileFlag(
  name: string,
  definition: FlagDefinition,
  code: CodeFlag | undefined,
  problems: FlagProblem[],
): CompiledFlag {
  const { variants, defaultVariant, state } = definition;
  const names = Object.keys(variants);
  const type = typeof variants[defaultVariant] as CompiledFlag['type'];
  const path = `flags.${name}`;
  if (code && code.type !== type) {
    const mend = `Give its variants that type; the code would not take any other.`;
    problems.push({ path: `${path}.variants`, problem: `are ${type}s, the code asks for a ${code.type}`, mend });
  }
  const { targeting: rule } = definition;
  const hasRule = rule !== undefined && !(isMap(rule) && Object.keys(rule).length === 0);
  const targeting = hasRule
    ? new TargetingCompiler(name, names, problems).compile(rule, ['flags', name, 'targeting'])
    : undefined;
  for (const variant of unreachable(definition, targeting, type)) {
    problems.push({
      path: `${path}.variants.${variant}`,
      problem: 'is a variant that nothing leads to',
      mend: 'Let the targeting lead to it, or remove it.',
    });
  }
  return { definition, type, targeting, evaluate: evaluator(state, variants, defaultVariant, targeting?.run) };
}

/** The other position of a switch is there to be turned to. */
function unreachable(
  { variants, defaultVariant }: FlagDefinition,
  targeting: CompiledTargeting | undefined,
  type: CompiledFlag['type'],
): string[] {
  if (type === 'boolean') return [];
  const reached = new Set(targeting?.reaches);
  if (!targeting || targeting.reachesDefault) reached.add(defaultVariant);
  return Object.keys(variants).filter((variant) => !reached.has(variant));
}

/** Every answer is made here, once: asking a flag allocates nothing. */
function evaluator(
  state: FlagDefinition['state'],
  variants: FlagDefinition['variants'],
  defaultVariant: string,
  run: Target | undefined,
): CompiledFlag['evaluate'] {
  if (state === 'DISABLED') {
    const disabled: Resolution = Object.freeze({ value: undefined, variant: undefined, reason: 'DISABLED' });
    return () => disabled;
  }
  const answer = (variant: string, reason: 'STATIC' | 'TARGETING_MATCH' | 'DEFAULT'): Resolution =>
    Object.freeze({ value: variants[variant] as FlagValue, variant, reason });
  if (!run) {
    const fixed = answer(defaultVariant, 'STATIC');
    return () => fixed;
  }
  const otherwise = answer(defaultVariant, 'DEFAULT');
  const matches = new Map(Object.keys(variants).map((name) => [name, answer(name, 'TARGETING_MATCH')]));
  return (context) => {
    const variant = run(context);
    return variant === null ? otherwise : (matches.get(variant) ?? otherwise);
  };
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The document as one text: keys sorted, no white space, `$schema` left out, as it changes no answer. */
export function canonicalDocument({ flags }: FlagDocument): string {
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(sorted);
    if (!isMap(value)) return value;
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((key) => [key, sorted(value[key])]),
    );
  };
  return JSON.stringify(sorted({ flags }));
}

const versionOf = (document: FlagDocument) =>
  createHash('sha256').update(canonicalDocument(document)).digest('hex').slice(0, 12);

/** Problems as one text of a few lines, for a log or a condition. */
export const describeProblems = (problems: readonly FlagProblem[]): string => {
  const shown = problems.slice(0, 5).map(describeProblem);
  return [...shown, ...(problems.length > 5 ? [`and ${problems.length - 5} more`] : [])].join('\n');
};
