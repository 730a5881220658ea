import {
  decide,
  type Kind,
  type Policy,
  type RotationRow,
  rotationStore,
  type SecretState,
  scheduled,
} from '#domain/secrets/index.ts';
import type { Db, Tx } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { KindAdapter } from './kind.ts';
import type { RotationMetrics } from './metrics.ts';
import type { PodsView } from './pods-view.ts';
import { SecretConflict, type SecretStore, type StoredSecret } from './secret-store.ts';
import { type ActInput, act, clear, stepInput } from './steps.ts';

/** The part of a leader's term that this needs; services/controller/kube/leader.ts has one. */
export type RotationTerm = {
  token: number;
  signal: AbortSignal;
  check(): void;
  /** The database has seen a greater token. */
  refused?(greatest: number): void;
};

export type RotationParts = {
  db: Db;
  store: SecretStore;
  pods: PodsView;
  kinds: Readonly<Record<Kind, KindAdapter | undefined>>;
  metrics: RotationMetrics;
  log: Logger;
  /** Checks the term in a transaction. */
  fence(tx: Tx, token: number): Promise<void>;
  /** Blanks known values: an error may quote one. */
  redact(text: string): string;
};

type Said = { reason: string; message: string };

/** After a rotation that went back or was given up nothing starts on schedule for so long: somebody should look. */
const AFTER_FAILURE_MS = 24 * 3_600_000;
/** Effects of one visit; more only means that the next visit goes on. */
const MAX_STEPS = 30;
/** How often a rotation that waits is looked at, and a secret at rest. */
const BUSY_MS = 1_000;
const IDLE_MS = 15_000;

/** One look at one secret, and what follows from it. Level-triggered: it may run at any time, and after any kill. */
export async function reconcileSecret(
  parts: RotationParts,
  term: RotationTerm,
  policyOf: (name: string) => Policy,
  name: string,
  signal: AbortSignal,
): Promise<{ afterMs: number }> {
  const policy = policyOf(name);
  const stored = await parts.store.read(name, signal);
  if (stored === undefined) {
    parts.metrics.forget(name);
    return { afterMs: IDLE_MS };
  }
  const seen = await parts.db.withTx(async (tx) => {
    const [now, running, states, latest] = await Promise.all([
      rotationStore.now(tx),
      rotationStore.running(tx),
      rotationStore.states(tx),
      rotationStore.latest(tx, name, 1),
    ]);
    return { now, running, state: states.find((state) => state.secret === name), latest: latest[0] };
  });
  const since = seen.state?.generation === stored.values.current.generation ? seen.state.since : seen.now;
  const rotation = seen.running.find((one) => one.secret === name);
  const plan = planned(policy, since, seen, name);
  let said: Said;
  let busy = rotation !== undefined;
  if (rotation !== undefined) {
    said = stored.managedBy ? elsewhere(stored.managedBy) : await goOn(parts, term, rotation, signal);
  } else if (stored.managedBy) {
    said = elsewhere(stored.managedBy);
  } else if (plan.start && stored.values.previous === undefined) {
    term.check();
    await begin(parts, term, policy, stored, { by: 'schedule', reason: plan.why, emergency: false }, signal);
    said = { reason: 'Rotating', message: 'it was due' };
    busy = true;
  } else if (stored.values.previous !== undefined) {
    said = {
      reason: 'PreviousInUse',
      message: `A previous value is accepted that no rotation put there: remove ${name}.previous once nobody uses it.`,
    };
  } else {
    said = { reason: plan.dueAt && plan.dueAt <= seen.now ? 'Due' : 'Idle', message: plan.why };
  }
  await tell(parts, term, policy, stored.values.current.generation, plan.dueAt, said, rotation, since);
  return { afterMs: busy ? BUSY_MS : IDLE_MS };
}

const elsewhere = (by: string): Said => ({
  reason: 'ManagedElsewhere',
  message: `${by} manages it, and would undo a rotation: rotate it there. It is left alone here.`,
});

type Seen = { now: Date; running: readonly RotationRow[]; latest: RotationRow | undefined };

function planned(policy: Policy, since: Date, { now, running, latest }: Seen, name: string) {
  const failed = latest?.finishedAt && latest.outcome !== 'done' ? latest.finishedAt : undefined;
  const notBefore = failed && new Date(failed.getTime() + AFTER_FAILURE_MS);
  const anotherRuns = running.some((one) => one.secret !== name);
  return scheduled(policy, { since, anotherRuns, notBefore }, now);
}

/** Starts a rotation. What an earlier one left unmounted goes first, so that what is found later is this one's. */
export async function begin(
  parts: RotationParts,
  term: RotationTerm,
  policy: Policy,
  stored: StoredSecret,
  start: { by: string; reason: string | null; emergency: boolean },
  signal: AbortSignal,
): Promise<RotationRow> {
  await clear(parts.store, policy.secret, stored, signal);
  return parts.db.withTx(async (tx) => {
    await parts.fence(tx, term.token);
    const { secret, kind, soakS, quietS } = policy;
    const from = stored.values.current.generation;
    const { by: startedBy, reason, emergency } = start;
    return rotationStore.start(tx, { secret, kind, from, emergency, soakS, quietS, startedBy, reason }, term.token);
  });
}

/** Does what can be done now, step after step, and answers with why it stopped. */
async function goOn(parts: RotationParts, term: RotationTerm, first: RotationRow, signal: AbortSignal): Promise<Said> {
  const { db, store, pods, log } = parts;
  const name = first.secret;
  const kind = parts.kinds[first.kind as Kind];
  if (kind === undefined) return { reason: 'NotPossible', message: `nothing here can rotate a ${first.kind}` };
  const fence = (tx: Tx) => parts.fence(tx, term.token);
  const write = (fn: (tx: Tx) => Promise<void>) =>
    db.withTx(async (tx) => {
      await fence(tx);
      await fn(tx);
    });
  for (let i = 0; i < MAX_STEPS; i += 1) {
    const stored = await store.read(name, signal);
    if (stored === undefined) return { reason: 'Gone', message: 'the secret is gone' };
    const { rotation, now } = await db.withTx(async (tx) => ({
      rotation: (await rotationStore.running(tx)).find((one) => one.secret === name),
      now: await rotationStore.now(tx),
    }));
    if (rotation === undefined) return { reason: 'Idle', message: `the rotation ended` };
    const input: ActInput = { rotation, name, stored, store, kind, signal, db, fence };
    const { current, ...others } = stored.values;
    const slots = {
      current: current.generation,
      ...Object.fromEntries(Object.entries(others).map(([slot, kept]) => [slot, kept.generation])),
    };
    const at = stepInput(input);
    const dying = rotation.step === 'withdrawing' ? at.to : at.from;
    const usedElsewhere = dying && /retiring|withdrawing/.test(rotation.step) ? kind.usedElsewhere?.(at, dying) : [];
    const decision = decide(
      {
        rotation,
        slots,
        pods: await pods.look(name, signal),
        expectPods: pods.expects(name),
        usedElsewhere: (await usedElsewhere) ?? [],
      },
      now,
    );
    // Right before what others can see; the database asks again in each write.
    term.check();
    if (decision.do === 'wait') {
      await write((tx) => rotationStore.waits(tx, rotation, 'waits', decision.why, term.token));
      return { reason: decision.reason, message: decision.why };
    }
    if (decision.do === 'advance') {
      await write((tx) => rotationStore.advance(tx, rotation, decision.to, term.token));
      log.info('rotation goes on', { setting: name, rotation: rotation.id, step: decision.to });
    } else if (decision.do === 'end') {
      if (decision.outcome !== 'abandoned') await clear(store, name, stored, signal);
      await write((tx) => rotationStore.end(tx, rotation, decision.outcome, decision.why, term.token));
      parts.metrics.ended(name, decision.outcome);
      const line = { setting: name, rotation: rotation.id, outcome: decision.outcome, why: decision.why };
      if (decision.outcome === 'done') log.info('rotation ended', line);
      else log.warn('rotation ended', line);
      return { reason: decision.outcome === 'done' ? 'Idle' : 'Failed', message: decision.why };
    } else {
      try {
        await act(input, term.token);
      } catch (error) {
        if (error instanceof SecretConflict || signal.aborted) throw error;
        return await tellFailure(parts, term, rotation, error, write);
      }
    }
  }
  return { reason: 'Rotating', message: 'it goes on' };
}

/** A step that cannot have its effect: nothing else changes until it can. */
async function tellFailure(
  parts: RotationParts,
  term: RotationTerm,
  rotation: RotationRow,
  error: unknown,
  write: (fn: (tx: Tx) => Promise<void>) => Promise<void>,
): Promise<Said> {
  const { name: kind, message } = error as Error;
  const why = parts.redact(`${rotation.step} failed: ${message}`).slice(0, 1_000);
  parts.metrics.failed(rotation.secret, rotation.step);
  parts.log.warn('a step of a rotation failed; it is tried again', {
    setting: rotation.secret,
    step: rotation.step,
    error,
  });
  await write((tx) => rotationStore.waits(tx, rotation, 'failed', why, term.token));
  return { reason: kind === 'Unproven' ? 'OldValueAlive' : 'StepFailed', message: why };
}

async function tell(
  parts: RotationParts,
  term: RotationTerm,
  policy: Policy,
  generation: string,
  dueAt: Date | null,
  said: Said,
  rotation: RotationRow | undefined,
  since: Date,
): Promise<void> {
  const { secret, kind } = policy;
  const state: Omit<SecretState, 'since' | 'observedAt'> = { secret, kind, generation, dueAt, ...said };
  await parts.db.withTx(async (tx) => {
    await parts.fence(tx, term.token);
    await rotationStore.putSecretState(tx, state);
  });
  parts.metrics.observed(secret, rotation, since, dueAt);
}
