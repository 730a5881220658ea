import { LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { type Blackout, DAYS, isTimeZone, leavesTime } from './blackout.ts';
import { parseDuration } from './duration.ts';
import { isKind, KIND_NAMES, KINDS, type Kind, kindFor } from './kinds.ts';

/** How one secret is rotated. Times in seconds. */
export type Policy = {
  secret: string;
  kind: Kind;
  periodS: number;
  /** How long both values are accepted after the new one is in use. */
  soakS: number;
  /** For how long the old one must be unused before it dies; never less than its kind needs. */
  quietS: number;
  /** Up to how much later than the period a scheduled rotation starts; how much follows from the name. */
  jitterS: number;
  blackout: readonly Blackout[];
  /** False: nothing starts on schedule; `klar rotate` still works. */
  enabled: boolean;
};

export type PolicyProblem = { path: string; problem: string; mend: string };
export type PolicyResult =
  | { ok: true; policies: ReadonlyMap<string, Policy> }
  | { ok: false; problems: PolicyProblem[] };

/** 100 secrets with their windows are 40 kB; more is not a policy. */
const MAX_CHARS = 200_000;
const MAX_PROBLEMS = 20;
const HOUR_S = 3_600;

const duration = (least: number, words: string) =>
  z.string().refine((text) => (parseDuration(text) ?? -1) >= least, { error: words });
const clock = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: 'is no time of day; write e.g. 22:30' });

const windowSchema = z.strictObject({
  days: z
    .array(z.enum(DAYS))
    .min(1)
    .default([...DAYS]),
  from: clock,
  to: clock,
  timeZone: z.string().refine(isTimeZone, { error: 'is no time zone; write an IANA name, e.g. Europe/Stockholm' }),
});

const policySchema = z.strictObject({
  secret: z.string().regex(/^[A-Z][A-Z0-9_]{1,62}$/, { error: 'is no name of a setting' }),
  kind: z.string().refine(isKind, { error: `is no kind; there is: ${KIND_NAMES.join(', ')}` }),
  period: duration(HOUR_S, 'is no period; write 1h to 3650d, e.g. 90d'),
  soak: duration(0, 'is no time; write 0s to 3650d, e.g. 1h').default('1h'),
  quiet: duration(0, 'is no time; write 0s to 3650d, e.g. 10m').optional(),
  jitter: duration(0, 'is no time; write 0s to 3650d, e.g. 7d').default('0s'),
  blackout: z.array(windowSchema).max(20).default([]),
  enabled: z.boolean().default(true),
});
const documentSchema = z.strictObject({ version: z.literal(1), policies: z.array(policySchema).max(100) });

const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/**
 * Reads a policy document (YAML or JSON).
 * @param present names of the secrets that exist: each needs a policy, and no policy may be without one
 */
export function parsePolicies(text: string, present: Iterable<string>): PolicyResult {
  const problems: PolicyProblem[] = [];
  const refuse = (path: string, problem: string, mend: string) => problems.push({ path, problem, mend });
  const end = (): PolicyResult => ({ ok: false, problems: problems.slice(0, MAX_PROBLEMS) });
  if (text.length > MAX_CHARS) {
    refuse('', 'is longer than 200 kB', 'Keep policies only in it.');
    return end();
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { uniqueKeys: true, strict: true, lineCounter: lines });
  for (const { message, pos } of document.errors) {
    refuse(`line ${lines.linePos(pos[0]).line}`, `is not YAML: ${message.split('\n')[0]}`, 'Mend it there.');
  }
  if (problems.length > 0) return end();
  // An anchor that repeats itself makes gigabytes of a kilobyte.
  const aliases: unknown[] = [];
  visit(document, { Alias: (_key, alias) => void aliases.push(alias) });
  if (aliases.length > 0) {
    refuse('', 'has an alias', 'Write the value out.');
    return end();
  }
  const parsed = documentSchema.safeParse(document.toJS());
  if (!parsed.success) {
    for (const { path, message } of parsed.error.issues) {
      refuse(
        path.join('.'),
        message.replace(/^Invalid input: /, 'is wrong: '),
        'services/controller/rotation/README.md has an example.',
      );
    }
    return end();
  }
  const policies = new Map<string, Policy>();
  for (const [index, entry] of parsed.data.policies.entries()) {
    const path = `policies.${index}`;
    const { secret } = entry;
    const kind = entry.kind as Kind;
    if (policies.has(secret)) {
      refuse(path, `is a second policy for ${secret}`, `Keep one of the two: a secret has exactly one policy.`);
      continue;
    }
    if (!KINDS[kind].fits.test(secret)) {
      refuse(`${path}.kind`, `${kind} cannot rotate ${secret}`, `Write kind: ${kindFor(secret)}.`);
    }
    const blackout = entry.blackout.map(({ days, from, to, timeZone }) => ({
      days,
      fromMin: minutes(from),
      toMin: minutes(to),
      timeZone,
    }));
    if (blackout.some(({ fromMin, toMin }) => fromMin === toMin)) {
      refuse(`${path}.blackout`, 'begins and ends at the same time', 'Write another end, or enabled: false.');
    } else if (!leavesTime(blackout)) {
      refuse(
        `${path}.blackout`,
        'leaves no quarter of an hour of the week',
        'Leave time to rotate, or enabled: false.',
      );
    }
    policies.set(secret, {
      secret,
      kind,
      periodS: parseDuration(entry.period) ?? 0,
      soakS: parseDuration(entry.soak) ?? 0,
      quietS: Math.max(KINDS[kind].quietS, parseDuration(entry.quiet ?? '0s') ?? 0),
      jitterS: parseDuration(entry.jitter) ?? 0,
      blackout,
      enabled: entry.enabled,
    });
  }
  for (const name of present) {
    if (policies.has(name)) continue;
    const mend = `Add { secret: ${name}, kind: ${kindFor(name)}, period: 90d }; with enabled: false it is only watched.`;
    refuse('policies', `has no policy for ${name}, which exists`, mend);
  }
  return problems.length > 0 ? end() : { ok: true, policies };
}

/** One line for a condition, a log or a terminal. */
export const describePolicyProblem = ({ path, problem, mend }: PolicyProblem): string =>
  `${path || 'the document'} ${problem}. ${mend}`;
