import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type CompiledFlag,
  compareWithCode,
  compileFlags,
  describeProblem,
  describeProblems,
  expiredProblems,
  expiries,
  FLAGS,
  type FlagSet,
  type FlagSetResult,
} from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { didYouMean } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, type CommandInput, EXIT } from '../command.ts';

const file = { type: 'string', value: 'file', description: 'The document, JSON or YAML (default flags.yaml)' } as const;
const NOTES =
  'Reads a file and the code, no database. It tells what a document says; what runs is told by /versionz and, in a cluster, by the ConfigMap <name>-flags-status. services/domain/flags/README.md says what a document may hold.';

async function compiled(options: CommandInput['options']): Promise<{ place: string; result: FlagSetResult }> {
  const place = String(options.file ?? 'flags.yaml');
  try {
    return { place, result: compileFlags(await readFile(place, 'utf8'), FLAGS) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw fail.notFound(
      'flags_unreadable',
      `${path.resolve(place)} cannot be read (${code ?? error}). Name the document with --file.`,
    );
  }
}

/** @throws what `klar flags lint` would tell, when the document is bad. */
async function goodFlags(options: CommandInput['options']): Promise<FlagSet> {
  const { place, result } = await compiled(options);
  if (result.ok) return result.set;
  throw fail.unprocessable('flags_invalid', `${place}: ${describeProblems(result.problems)}`);
}

const row = (name: string, { definition, type }: CompiledFlag) => ({
  flag: name,
  kind: definition.metadata.kind,
  type,
  state: definition.state,
  default_variant: definition.defaultVariant,
  variants: definition.variants,
  targeting: definition.targeting ?? null,
  owner: definition.metadata.owner,
  expires: definition.metadata.expires ?? null,
  description: definition.metadata.description,
  does: Object.hasOwn(FLAGS, name) ? FLAGS[name as keyof typeof FLAGS].does : null,
});

function table(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => (cells[i] ?? '').length)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** `klar flags list`: what the document says, a line a flag. */
export const flagsList: Command = {
  options: { file },
  notes: NOTES,
  async run({ options, answer }) {
    const set = await goodFlags(options);
    const rows = [...set.flags].map(([name, flag]) => row(name, flag));
    answer({ version: set.version, flags: rows }, [
      `Version ${set.version}`,
      ...table([
        ['FLAG', 'KIND', 'STATE', 'DEFAULT', 'TARGETING', 'OWNER', 'EXPIRES'],
        ...rows.map((flag) => [
          flag.flag,
          flag.kind,
          flag.state,
          flag.default_variant,
          set.flags.get(flag.flag)?.targeting ? 'yes' : 'no',
          flag.owner,
          flag.expires ?? 'permanent',
        ]),
      ]),
    ]);
    return EXIT.ok;
  },
};

/** `klar flags lint`: exit 1 when the document is refused, has an expired flag, or differs from the code. */
export const flagsLint: Command = {
  options: { file },
  notes: `${NOTES}\nExit 1 when the document would be refused, when a flag is past its day, or when document and code differ.`,
  async run({ options, answer }) {
    const { place, result } = await compiled(options);
    const problems = result.ok
      ? [...compareWithCode(result.set, FLAGS), ...expiredProblems(result.set, systemClock.now())]
      : result.problems;
    const ok = problems.length === 0;
    answer(
      { ok, version: result.ok ? result.set.version : null, problems },
      ok && result.ok
        ? `${place} is good: ${result.set.flags.size} flags, version ${result.set.version}.`
        : problems.map((problem) => `${place}: ${describeProblem(problem)}`),
    );
    return ok ? EXIT.ok : EXIT.failed;
  },
};

/** `klar flags explain`: what one tenant and person get, and by which rule. */
export const flagsExplain: Command = {
  arguments: [{ name: 'flag', description: `One of the document, e.g. ${Object.keys(FLAGS).join(', ')}` }],
  options: {
    file,
    tenant: { type: 'string', value: 'id', description: 'For this tenant (tenantId and targetingKey of the rules)' },
    person: { type: 'string', value: 'id', description: 'For this person (personId of the rules)' },
  },
  notes: NOTES,
  async run({ options, arguments: [name = ''], answer }) {
    const set = await goodFlags(options);
    const flag = set.flags.get(name);
    if (!flag) {
      const meant = didYouMean(name, [...set.flags.keys()]);
      const hint = meant ? ` Did you mean "${meant}"?` : ` There is: ${[...set.flags.keys()].join(', ')}.`;
      throw fail.notFound('flag_not_found', `There is no flag "${name}".${hint}`);
    }
    const context = {
      tenantId: options.tenant as string | undefined,
      personId: options.person as string | undefined,
    };
    const { value, variant, reason } = flag.evaluate(context);
    const code = Object.hasOwn(FLAGS, name) ? FLAGS[name as keyof typeof FLAGS] : undefined;
    const given = value ?? code?.default ?? null;
    const because = BECAUSE[reason];
    answer(
      {
        ...row(name, flag),
        version: set.version,
        tenant: context.tenantId ?? null,
        person: context.personId ?? null,
        value: given,
        variant: variant ?? null,
        reason,
        because,
      },
      [
        `${name} is ${JSON.stringify(given)}${variant === undefined ? '' : ` (variant "${variant}")`}, because ${because} (${reason}).`,
        `  tenant ${context.tenantId ?? '-'}, person ${context.personId ?? '-'}, version ${set.version}`,
        `  ${flag.definition.metadata.description}`,
        ...(code ? [`  ${code.does}`] : ['  The code does not ask for it.']),
        ...(flag.targeting ? [`  targeting ${JSON.stringify(flag.definition.targeting)}`] : []),
      ],
    );
    return EXIT.ok;
  },
};

const BECAUSE = {
  STATIC: 'it has no targeting and this is its default variant',
  TARGETING_MATCH: 'its targeting leads there',
  DEFAULT: 'its targeting decides nothing here, so its default variant counts',
  DISABLED: 'it is DISABLED, so the default of the code counts',
} as const;

/** `klar flags stale`: flags with an end; exit 1 when one is past it. */
export const flagsStale: Command = {
  options: { file },
  notes: `${NOTES}\nExit 1 when a flag is past its day.`,
  async run({ options, answer }) {
    const all = expiries(await goodFlags(options), systemClock.now());
    const expired = all.filter((flag) => flag.expired);
    answer({ ok: expired.length === 0, flags: all }, [
      ...(all.length === 0
        ? ['No flag has an end: all are permanent.']
        : table([
            ['FLAG', 'EXPIRES', 'DAYS LEFT', 'OWNER'],
            ...all.map((flag) => [
              flag.flag,
              flag.expires,
              flag.expired ? `${flag.days_left} EXPIRED` : String(flag.days_left),
              flag.owner,
            ]),
          ])),
    ]);
    return expired.length === 0 ? EXIT.ok : EXIT.failed;
  },
};
