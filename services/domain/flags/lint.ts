import type { FlagSet } from './flag-set.ts';
import type { CodeFlag } from './flags.ts';
import type { FlagProblem } from './problem.ts';

/** More than half gone at once is an accident until somebody says otherwise. */
const SHRINK = 0.5;
/** Below this a finished rollout of one flag would look like an accident. */
const MIN_TARGETING = 10;

/**
 * Why a new document takes too much away at once; undefined when it does not. What it counts: flags, and the constants
 * of all rules (a list of 1,000 tenants that becomes one of 3 is the accident that this is for).
 */
export function shrinkProblem(before: FlagSet, after: FlagSet): FlagProblem | undefined {
  const kept = [...before.flags.keys()].filter((name) => after.flags.has(name)).length;
  const lost = before.flags.size - kept;
  const mend = `If that is meant, accept version ${after.version} by name.`;
  if (lost > before.flags.size * SHRINK) {
    return { path: 'flags', problem: `drops ${lost} of ${before.flags.size} flags`, mend };
  }
  const size = (set: FlagSet) => [...set.flags.values()].reduce((sum, flag) => sum + (flag.targeting?.size ?? 0), 0);
  const [was, is] = [size(before), size(after)];
  if (was >= MIN_TARGETING && was - is > was * SHRINK) {
    return { path: 'flags', problem: `drops ${was - is} of ${was} constants of its targeting`, mend };
  }
  return undefined;
}

/** The document and the code, both ways. Not a reason to refuse a document: old and new code run side by side. */
export function compareWithCode(set: FlagSet, code: Readonly<Record<string, CodeFlag>>): FlagProblem[] {
  const problems: FlagProblem[] = [];
  for (const name of Object.keys(code)) {
    if (set.flags.has(name)) continue;
    const mend = 'Add it, or remove it from services/domain/flags/flags.ts.';
    problems.push({ path: `flags.${name}`, problem: 'is missing, but the code asks for it', mend });
  }
  for (const name of set.flags.keys()) {
    if (Object.hasOwn(code, name)) continue;
    const mend = 'Remove it, or add it to services/domain/flags/flags.ts.';
    problems.push({ path: `flags.${name}`, problem: 'is not asked for by the code', mend });
  }
  return problems;
}

export type Expiry = { flag: string; owner: string; expires: string; days_left: number; expired: boolean };

/** Flags with an end, the most urgent first. `expires` is the last day, in UTC, on which it may be there. */
export function expiries(set: FlagSet, now: Date): Expiry[] {
  const today = Date.parse(now.toISOString().slice(0, 10));
  return [...set.flags]
    .flatMap(([flag, { definition }]) => {
      const { owner, expires } = definition.metadata;
      if (expires === undefined) return [];
      const days = Math.round((Date.parse(expires) - today) / 86_400_000);
      return [{ flag, owner, expires, days_left: days, expired: days < 0 }];
    })
    .sort((a, b) => a.days_left - b.days_left || a.flag.localeCompare(b.flag));
}

/** Expired flags as problems: they fail CI and `klar flags lint`, never a running process. */
export function expiredProblems(set: FlagSet, now: Date): FlagProblem[] {
  return expiries(set, now)
    .filter(({ expired }) => expired)
    .map(({ flag, owner, expires }) => ({
      path: `flags.${flag}`,
      problem: `expired on ${expires}`,
      mend: `Let ${owner} remove it from the code and from here, or decide on another day.`,
    }));
}
