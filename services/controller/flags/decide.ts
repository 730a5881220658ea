import {
  canonicalDocument,
  describeProblem,
  describeProblems,
  type FlagSet,
  type FlagSetResult,
  type LiveFlags,
  renderLive,
  shrinkProblem,
} from '#domain/flags/index.ts';
import type { Source } from './source.ts';

/** A live set that was checked: its version is its document's, and the document is good. */
export type Checked = LiveFlags & { set: FlagSet };

export type Observed = {
  source: Source;
  /** The document of the source, compiled; undefined where there is none. */
  compiled: FlagSetResult | undefined;
  /** The live ConfigMap: what it holds, if that is good; `missing`: there is none, or it is not what we would write. */
  live: Checked | 'missing';
  /** The same as it is there, to the letter. */
  liveText: string | undefined;
  /** The database; `unknown` while it is away. */
  stored: Checked | 'missing' | 'unknown';
  /** What this process applied or read before: it outlives the other two. */
  memory: Checked | undefined;
};

export type Verdict = { valid: boolean; reason: string; message: string };

export type Plan = {
  /** What is to be live; undefined: nothing good was ever seen, so the defaults of the code are in use. */
  target: LiveFlags | undefined;
  /** The target is not what was live before. */
  changed: boolean;
  writeLive: boolean;
  writeStored: boolean;
  /** The source is to be made (again): from the target, or from the defaults when there is none. */
  restoreSource: 'from-live' | 'from-defaults' | undefined;
  source: Verdict;
};

const EPOCH_S = Date.UTC(2025, 0, 1) / 1_000;

/**
 * What to do about what was seen. The later of ConfigMap, database and memory is what was live; a good source that
 * differs becomes live with a sequence above all of them. The sequence is at least the seconds since 2025, so that a new
 * set is later than every old one even where all three were lost or restored and a pod still holds one in memory.
 */
export function decide(observed: Observed, now: Date): Plan {
  const { source, compiled, live, stored, memory } = observed;
  // Of two under one sequence ours counts, then the database's: the ConfigMap is the one that people edit.
  const known = [memory, stored, live].filter((one) => typeof one === 'object');
  const base = known.reduce<Checked | undefined>(
    (best, one) => (one.sequence > (best?.sequence ?? 0) ? one : best),
    undefined,
  );
  const next = Math.max((base?.sequence ?? 0) + 1, Math.floor(now.getTime() / 1_000) - EPOCH_S);

  const verdict = judge(source, compiled, base);
  let target: LiveFlags | undefined = base;
  if (verdict.valid && compiled?.ok && compiled.set.version !== base?.version) {
    const { version, document } = compiled.set;
    target = { sequence: next, version, document: canonicalDocument(document) };
  } else if (base && known.some(({ sequence, version }) => sequence === base.sequence && version !== base.version)) {
    // Two sets under one sequence: pods could hold either, and only a later one ends that.
    target = { ...base, sequence: next };
  }
  const isTarget = (one: Checked | 'missing' | 'unknown') =>
    typeof one === 'object' && one.sequence === target?.sequence && one.version === target.version;
  return {
    target: target && { sequence: target.sequence, version: target.version, document: target.document },
    changed: target !== undefined && target.version !== base?.version,
    writeLive: target !== undefined && observed.liveText !== renderLive(target),
    writeStored: target !== undefined && stored !== 'unknown' && !isTarget(stored),
    restoreSource: restoring(source, base, stored),
    source: verdict,
  };
}

/** Defaults come only where nothing was ever set: a database that does not answer yet may hold switches that are off. */
function restoring(source: Source, base: Checked | undefined, stored: Observed['stored']): Plan['restoreSource'] {
  if (source.state !== 'absent') return undefined;
  if (base) return 'from-live';
  return stored === 'unknown' ? undefined : 'from-defaults';
}

function judge(source: Source, compiled: FlagSetResult | undefined, base: Checked | undefined): Verdict {
  const bad = (reason: string, message: string): Verdict => ({
    valid: false,
    reason,
    message: `${message}${base ? ` Version ${base.version} stays live.` : ' The defaults of the code stay in use.'}`,
  });
  if (source.state === 'absent') return bad('SourceMissing', 'The source ConfigMap is not there; it is made again.');
  if (source.state === 'unusable') return bad('SourceUnusable', `The source ConfigMap ${source.problem}`);
  if (!compiled?.ok) return bad('SourceInvalid', describeProblems(compiled?.problems ?? []));
  const shrink = base && shrinkProblem(base.set, compiled.set);
  if (shrink && source.acceptShrink !== compiled.set.version) {
    const mend = `Set the key accept-shrink of the source ConfigMap to ${compiled.set.version}.`;
    return bad('SourceShrinks', `${describeProblem(shrink)} ${mend}`);
  }
  return {
    valid: true,
    reason: 'Valid',
    message: `${compiled.set.flags.size} flags, version ${compiled.set.version}.`,
  };
}
