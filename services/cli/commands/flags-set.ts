import { setTimeout as delay } from 'node:timers/promises';
import { compileFlags, describeProblems, FLAGS, type FlagSet, turnFlag } from '#domain/flags/index.ts';
import { didYouMean } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT, UsageError } from '../command.ts';
import { operator } from '../operator.ts';
import { clusterSource, type FlagSource, fileSource } from './flags-source.ts';

const WAIT_S = 20;

/** `klar flags set`: turns one flag, in a file or in the cluster of kubectl's context. */
export const flagsSet: Command = {
  arguments: [
    { name: 'flag', description: `One of the document, e.g. ${Object.keys(FLAGS).join(', ')}` },
    { name: 'variant', description: 'One of its variants, e.g. off' },
  ],
  options: {
    file: { type: 'string', value: 'file', description: 'A document, in the place of the cluster' },
    namespace: { type: 'string', value: 'name', description: "Of the release (default: that of kubectl's context)" },
    name: { type: 'string', value: 'name', description: "The chart's full name (default KLAR_CONTROLLER_NAME, klar)" },
    everybody: { type: 'boolean', description: 'Take its targeting away, so that nobody is left out' },
    'from-live': { type: 'boolean', description: 'Begin with what is in use; what stands in the source is replaced' },
    'accept-shrink': { type: 'boolean', description: 'Also when more than half of the targeting goes with that' },
    wait: { type: 'string', value: 'seconds', description: `For every pod to run it (default ${WAIT_S}; 0: do not)` },
  },
  notes:
    'Changes the default variant and nothing else; without --everybody the targeting decides before it, which is said. ' +
    'Where the source is invalid, --from-live turns the flag in what is in use, and that becomes the source. In a cluster it calls kubectl, with your rights. Exit 1 when the result is refused or not everywhere in time.',
  async run({ options, arguments: [name = '', variant = ''], answer, settings }) {
    const waitS = Number(options.wait ?? WAIT_S);
    if (!(waitS >= 0 && waitS <= 600)) throw new UsageError('--wait takes seconds, 0 to 600', 'e.g. --wait 30');
    const fromLive = options['from-live'] === true;
    if (fromLive && options.file !== undefined) {
      throw new UsageError('--from-live is for a cluster: a file has no live set', 'leave one of the two out');
    }
    const source =
      options.file === undefined
        ? await clusterSource({
            name: String(options.name ?? settings().KLAR_CONTROLLER_NAME),
            namespace: options.namespace as string | undefined,
            fromLive,
          })
        : await fileSource(String(options.file));
    const before = compiled(source.text, source.place, `klar flags set ${name} ${variant}`);
    const flag = before.flags.get(name);
    if (!flag) {
      const meant = didYouMean(name, [...before.flags.keys()]);
      const hint = meant ? ` Did you mean "${meant}"?` : ` There is: ${[...before.flags.keys()].join(', ')}.`;
      throw fail.notFound('flag_not_found', `There is no flag "${name}" in ${source.place}.${hint}`);
    }
    const { variants, defaultVariant, state } = flag.definition;
    if (!Object.hasOwn(variants, variant)) {
      const there = Object.keys(variants).join(', ');
      throw fail.unprocessable('variant_not_found', `${name} has no variant "${variant}". There is: ${there}.`);
    }
    const everybody = options.everybody === true;
    const text = turnFlag(source.text, { flag: name, variant, everybody });
    const after = compiled(text, source.place);
    const changed = fromLive || after.version !== before.version;
    if (changed) {
      const acceptShrink = options['accept-shrink'] === true;
      await source.write(text, { version: after.version, acceptShrink, by: operator() });
    }
    const outcome = changed && waitS > 0 ? await outcomeOf(source, after.version, waitS) : undefined;
    const targeted = after.flags.get(name)?.targeting !== undefined;
    answer(
      {
        flag: name,
        where: source.place,
        changed,
        from: state === 'DISABLED' ? null : defaultVariant,
        to: variant,
        targeting: targeted ? 'kept' : flag.targeting ? 'removed' : 'none',
        version_before: before.version,
        version: after.version,
        distributed: outcome?.ok ?? null,
        detail: outcome?.text ?? null,
      },
      [
        changed
          ? `${name}: ${state === 'DISABLED' ? 'DISABLED' : defaultVariant} -> ${variant}, version ${before.version} -> ${after.version} (${source.place}).`
          : `${name} is ${variant} already, version ${after.version} (${source.place}). Nothing was written.`,
        ...(targeted ? ['Its targeting still decides before that; --everybody takes it away.'] : []),
        ...(outcome ? [outcome.text] : []),
      ],
    );
    return outcome && !outcome.ok ? EXIT.failed : EXIT.ok;
  },
};

/** @param again the command, where something can be done by it although the document is bad */
function compiled(text: string, place: string, again?: string): FlagSet {
  const result = compileFlags(text, FLAGS);
  if (result.ok) return result.set;
  const hint =
    again !== undefined && place.startsWith('ConfigMap')
      ? `\nMend it, or begin with what is in use and replace what stands there: ${again} --from-live`
      : '';
  throw fail.unprocessable('flags_invalid', `${place}: ${describeProblems(result.problems)}${hint}`);
}

async function outcomeOf(
  source: FlagSource,
  version: string,
  waitS: number,
): Promise<{ ok: boolean; text: string } | undefined> {
  const until = performance.now() + waitS * 1_000;
  let refused: { ok: boolean; text: string } | undefined;
  do {
    const found = await source.outcome(version);
    if (found?.ok) return found;
    // The condition of the document before may still stand there: a refusal counts when it lasts.
    refused = found;
    if (source.place.startsWith('ConfigMap')) await delay(500);
    else return undefined;
  } while (performance.now() < until);
  return refused ?? { ok: false, text: `Not every pod runs it after ${waitS} s; see the status ConfigMap.` };
}
