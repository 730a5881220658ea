import { isStuck, type RotationRow, type SecretState } from '#domain/secrets/index.ts';
import type { ConditionInput } from '../kube/conditions.ts';
import type { Timing } from '../kube/timing.ts';
import type { Policies } from './policy-source.ts';
import type { RotationParts } from './reconcile.ts';
import { isBad, isHeld, tellNotice } from './said.ts';

export type SecretStatus = { secret: string; healthy: boolean; reason: string; message: string; since: Date };
export type RotationStatus = { policies: Pick<Policies, 'valid' | 'message'>; secrets: readonly SecretStatus[] };

type Seen = {
  now: Date;
  running: readonly RotationRow[];
  states: readonly SecretState[];
  policies: Pick<Policies, 'valid' | 'message'>;
};

/** What a rotation waits for changes each second ("used 3 s ago"); a status that says it is written so often at most. */
const WORDS_MS = 15_000;

/** Tells what is so of each secret, and once of what somebody has to mend. One for each term. */
export function createTeller(
  input: RotationParts & {
    timing: Timing;
    onStatus?: ((status: RotationStatus, signal: AbortSignal) => Promise<void>) | undefined;
  },
) {
  const stuck = new Set<string>();
  const reasons = new Map<string, string>();
  let failing = false;
  let told = { state: '', words: '', at: Number.NEGATIVE_INFINITY };
  return async ({ now, running, states, policies }: Seen, signal: AbortSignal): Promise<void> => {
    for (const rotation of running) {
      const key = `${rotation.id} ${rotation.step}`;
      if (!isStuck(rotation, now) || stuck.has(key)) continue;
      stuck.add(key);
      const { secret, id, step, waiting } = rotation;
      const note = `${secret}: ${id} is stuck in ${step}${waiting ? `: ${waiting}` : ''}.`;
      tellNotice(input, { secret, type: 'Warning', reason: 'RotationStuck', action: 'Observe', note });
    }
    for (const { secret, reason, message } of states) {
      if (reasons.get(secret) === reason) continue;
      reasons.set(secret, reason);
      if (!isBad(reason)) continue;
      tellNotice(input, { secret, type: 'Warning', reason, action: 'Observe', note: `${secret}: ${message}` });
    }
    const secrets = states.map((state) => statusOf(state, running, now));
    const words = JSON.stringify([policies.message, secrets.map(({ message }) => message)]);
    const state = JSON.stringify([policies.valid, secrets.map(({ message: _, ...rest }) => rest)]);
    const at = input.timing.monotonic();
    if (state === told.state && (words === told.words || at - told.at < WORDS_MS)) return;
    try {
      await input.onStatus?.({ policies, secrets }, signal);
      told = { state, words, at };
      failing = false;
    } catch (error) {
      if (signal.aborted) throw error;
      // Asked again in a second: a rotation waits for no status.
      if (!failing) input.log.warn('the status of rotations is not written; it is tried again', { error });
      failing = true;
    }
  };
}

function statusOf(state: SecretState, running: readonly RotationRow[], now: Date): SecretStatus {
  const { secret, reason, message, since } = state;
  const rotation = running.find((one) => one.secret === secret);
  if (rotation && isStuck(rotation, now) && !isBad(reason)) {
    const words = `${rotation.id} is ${rotation.step} since ${rotation.stepSince.toISOString()}: ${message}`;
    return { secret, healthy: false, reason: 'Stuck', message: words, since };
  }
  // What others manage is well, as long as no rotation of ours stands still in it.
  const healthy = !isBad(reason) && !(rotation && isHeld(reason));
  return { secret, healthy, reason, message, since };
}

/** `PoliciesAccepted`, and `<NAME>.Healthy` of each secret. */
export function conditionsOf({ policies, secrets }: RotationStatus): ConditionInput[] {
  const { valid, message } = policies;
  return [
    {
      type: 'PoliciesAccepted',
      status: valid ? 'True' : 'False',
      reason: valid ? 'Valid' : 'Invalid',
      message: valid
        ? message
        : `${message} The running secrets stay as they are; nothing starts on schedule that is new.`,
      observedGeneration: 0,
    },
    ...secrets.map(
      ({ secret, healthy, reason, message, since }): ConditionInput => ({
        type: `${secret}.Healthy`,
        status: healthy ? 'True' : 'False',
        reason,
        message,
        // Of which value it speaks: the second in which that was first seen. A Secret counts no generations.
        observedGeneration: Math.floor(since.getTime() / 1_000),
      }),
    ),
  ];
}
