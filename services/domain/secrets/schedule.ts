import { createHash } from 'node:crypto';
import { inBlackout } from './blackout.ts';
import type { Policy } from './policy.ts';

/** A part of the jitter in [0, 1) that follows from the name: the same after every restart, another for each secret. */
function jitterOf(secret: string): number {
  return createHash('sha256').update(`klar rotation jitter\n${secret}`).digest().readUInt32BE(0) / 2 ** 32;
}

/** When the next scheduled rotation is due: period and jitter after the value in use was first seen. */
export function dueAt(policy: Policy, since: Date): Date {
  return new Date(since.getTime() + (policy.periodS + policy.jitterS * jitterOf(policy.secret)) * 1_000);
}

export type Scheduled = { start: boolean; dueAt: Date | null; why: string };

/**
 * Whether a rotation starts now on schedule. It depends on nothing but the age of the value in use: however often it is
 * asked, after however long a sleep and however the clock jumps, one value is rotated at most once, and a due one as soon
 * as it may be. Only one at a time starts on schedule, so that what fell due during a month of sleep follows in turn.
 */
export function scheduled(
  policy: Policy,
  state: { since: Date; anotherRuns: boolean; notBefore?: Date | undefined; impossible?: string | undefined },
  now: Date,
): Scheduled {
  if (policy.kind === 'manual') return { start: false, dueAt: dueAt(policy, state.since), why: 'a person rotates it' };
  if (!policy.enabled) return { start: false, dueAt: null, why: 'its policy is disabled' };
  const due = dueAt(policy, state.since);
  // One that began would stand still, and hold up the others.
  if (state.impossible) return { start: false, dueAt: due, why: state.impossible };
  if (now < due) return { start: false, dueAt: due, why: 'not due yet' };
  // After one that was rolled back or given up: somebody should look first.
  if (state.notBefore && now < state.notBefore) return { start: false, dueAt: due, why: 'the last one failed lately' };
  if (inBlackout(now, policy.blackout))
    return { start: false, dueAt: due, why: 'due, and waits for a blackout to end' };
  if (state.anotherRuns) return { start: false, dueAt: due, why: 'due, and waits for another rotation to end' };
  return { start: true, dueAt: due, why: 'due' };
}
