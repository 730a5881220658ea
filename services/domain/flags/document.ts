import { z } from 'zod';
import { at, type FlagProblem, type Path } from './problem.ts';
import { type Parsed, parseText } from './syntax.ts';

const MAX_FLAGS = 50;
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
/** Variants are also words of a terminal and of a metric label. */
const VARIANT = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

const KINDS = ['kill-switch', 'release', 'experiment', 'setting'] as const;

const text = (max: number) => z.string().trim().min(1).max(max);

const metadata = z.strictObject({
  /** Who is asked about it. */
  owner: text(100),
  description: text(500),
  kind: z.enum(KINDS),
  /** The last day (UTC) on which it may still be there. */
  expires: z.iso.date().optional(),
  permanent: z.literal(true).optional(),
});

const variants = z.record(z.string(), z.union([z.boolean(), z.string(), z.number()]));

const flag = z.strictObject({
  state: z.enum(['ENABLED', 'DISABLED']),
  variants,
  defaultVariant: z.string(),
  /** Checked by the compiler of rules. */
  targeting: z.unknown().optional(),
  metadata,
});

const document = z.strictObject({
  $schema: z.string().optional(),
  flags: z.record(z.string(), flag),
});

/** A document whose shape is right; see https://flagd.dev/reference/flag-definitions/ */
export type FlagDocument = z.infer<typeof document>;
export type FlagDefinition = FlagDocument['flags'][string];

export type DocumentResult =
  | { ok: true; document: FlagDocument; parsed: Parsed }
  | { ok: false; problems: FlagProblem[] };

/** What each member should be, for the sentence on how to mend it. */
const SHAPES: Record<string, string> = {
  flags: 'Write "flags" as a map of at least one flag.',
  state: 'Write ENABLED or DISABLED.',
  variants: 'Write a map of at least two variants, all booleans, all texts or all numbers.',
  defaultVariant: 'Name one of the variants.',
  metadata: 'Give it owner, description, kind, and either expires or permanent.',
  owner: 'Name the team that answers for it.',
  description: 'Say in 500 characters at most what it is for.',
  kind: `Write one of: ${KINDS.join(', ')}.`,
  expires: 'Write the last day as "2026-12-31", or "permanent: true" instead.',
  permanent: 'Write "permanent: true", or "expires" instead.',
};
const MEMBERS = {
  document: '$schema, flags',
  flag: 'state, variants, defaultVariant, targeting, metadata',
  metadata: 'owner, description, kind, expires, permanent',
};

/** Text to a document of the right shape. Never throws; tells everything that is wrong with the shape at once. */
export function parseDocument(source: string): DocumentResult {
  const syntax = parseText(source);
  if (!syntax.ok) return syntax;
  const { parsed } = syntax;
  const tell = (path: Path, problem: string, mend: string) => at(path, problem, mend, parsed.placeOf(path));
  const shape = document.safeParse(parsed.value);
  if (!shape.success) {
    // 50,000 wrong members are told by the first few; the rest would only take time.
    return { ok: false, problems: shape.error.issues.slice(0, 20).map((issue) => told(issue, parsed.value, tell)) };
  }
  const problems: FlagProblem[] = [];
  const names = Object.keys(shape.data.flags);
  if (names.length === 0) problems.push(tell(['flags'], 'is empty', SHAPES.flags as string));
  if (names.length > MAX_FLAGS) {
    problems.push(tell(['flags'], `has ${names.length} flags`, `Remove some: ${MAX_FLAGS} are the most.`));
  }
  for (const name of names) problems.push(...flagProblems(name, shape.data.flags[name] as FlagDefinition, tell));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, document: shape.data, parsed };
}

type Tell = (path: Path, problem: string, mend: string) => FlagProblem;

function flagProblems(name: string, definition: FlagDefinition, tell: Tell): FlagProblem[] {
  const problems: FlagProblem[] = [];
  const path = ['flags', name];
  if (!NAME.test(name) || name.length > 64) {
    problems.push(tell(path, 'is no name of a flag', 'Write small letters, digits and single hyphens, 64 at most.'));
  }
  const { variants, defaultVariant, metadata } = definition;
  const values = Object.entries(variants);
  if (values.length < 2) {
    problems.push(tell([...path, 'variants'], `has ${values.length} variants`, SHAPES.variants as string));
  }
  for (const [variant] of values) {
    if (!VARIANT.test(variant)) {
      problems.push(tell([...path, 'variants', variant], 'is no name of a variant', 'Write letters, digits, "_.-".'));
    }
  }
  const types = [...new Set(values.map(([, value]) => typeof value))];
  if (types.length > 1) {
    problems.push(tell([...path, 'variants'], `mixes ${types.join(' and ')}`, 'Let all variants be of one type.'));
  }
  const distinct = new Set(values.map(([, value]) => value));
  if (distinct.size < values.length) {
    problems.push(tell([...path, 'variants'], 'has the same value twice', 'Keep one variant for each value.'));
  }
  if (!Object.hasOwn(variants, defaultVariant)) {
    const mend = `There is: ${Object.keys(variants).join(', ')}.`;
    problems.push(tell([...path, 'defaultVariant'], `is "${defaultVariant}", which is no variant`, mend));
  }
  if ((metadata.expires === undefined) === (metadata.permanent === undefined)) {
    const problem = metadata.permanent ? 'has both expires and permanent' : 'has neither expires nor permanent';
    problems.push(tell([...path, 'metadata'], problem, 'Give it one of them.'));
  }
  if (metadata.kind === 'kill-switch' && types[0] !== 'boolean') {
    problems.push(tell([...path, 'variants'], 'is not on or off', 'A kill-switch has the variants true and false.'));
  }
  return problems;
}

function told(issue: z.core.$ZodIssue, value: unknown, tell: Tell): FlagProblem {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  if (issue.code === 'unrecognized_keys') {
    const members = path.length === 0 ? MEMBERS.document : path.length === 2 ? MEMBERS.flag : MEMBERS.metadata;
    return tell([...path, issue.keys[0] as string], 'is not known', `Remove it; there is: ${members}.`);
  }
  const member = String(path.findLast((part) => typeof part === 'string' && Object.hasOwn(SHAPES, part)) ?? 'flags');
  const found = path.reduce<unknown>((inner, part) => (inner as Record<string, unknown> | undefined)?.[part], value);
  if (path.length === 2 && path[0] === 'flags') {
    return tell(path, `is ${kindOf(found)}, not a flag`, `Write a map of: ${MEMBERS.flag}.`);
  }
  const problem = found === undefined ? 'is missing' : `is ${kindOf(found)}`;
  return tell(path, problem, SHAPES[member] as string);
}

/** What was found, short enough for a terminal; a document holds no secrets. */
function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const shown = JSON.stringify(value);
  return shown.length > 60 ? `a text of ${shown.length} characters` : shown;
}
