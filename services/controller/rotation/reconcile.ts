import {
  isStuck,
  type Kind,
  type Policy,
  type RotationRow,
  rotationStore,
  type SecretState,
  scheduled,
} from '#domain/secrets/index.ts';
import type { Db, Tx } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { begin } from './begin.ts';
import { fenced } from './fenced.ts';
import { goOn } from './go-on.ts';
import type { KindAdapter } from './kind.ts';
import type { RotationMetrics } from './metrics.ts';
import type { PodsView } from './pods-view.ts';
import { elsewhere, impossible, isHeld, type Notice, previousInUse, revived, type Said } from './said.ts';
import type { SecretStore } from './secret-store.ts';

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
  /** Records an Event; absent where there are none. */
  notice?: ((notice: Notice) => void) | undefined;
};

/** After a rotation that went back or was given up nothing starts on schedule for so long: somebody should look. */
const AFTER_FAILURE_MS = 24 * 3_600_000;
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
  const { current, previous } = stored?.values ?? {};
  const mounted = [current, previous].flatMap((kept) => (kept ? [kept.generation] : []));
  const seen = await parts.db.withTx(async (tx) => {
    const [now, running, states, latest, ended] = await Promise.all([
      rotationStore.now(tx),
      rotationStore.running(tx),
      rotationStore.states(tx),
      rotationStore.latest(tx, name, 1),
      rotationStore.endedGenerations(tx, name, mounted),
    ]);
    const state = states.find(({ secret }) => secret === name);
    return { now, running, states, state, latest: latest[0], ended: ended[0] };
  });
  const rotation = seen.running.find((one) => one.secret === name);
  if (stored === undefined && rotation === undefined) {
    parts.metrics.forget(name);
    parts.metrics.revived(name, false);
    return { afterMs: IDLE_MS };
  }
  const generation = current?.generation ?? seen.state?.generation ?? rotation?.from ?? '';
  const since = seen.state?.generation === generation ? seen.state.since : seen.now;
  const plan = planned(parts, policy, since, seen, name);
  let said: Said;
  let busy = rotation !== undefined;
  if (rotation !== undefined) {
    said = await goOn(parts, term, rotation, signal);
  } else if (seen.ended !== undefined) {
    said = revived(name, seen.ended.id, stored?.managedBy);
  } else if (stored?.managedBy) {
    said = elsewhere(stored.managedBy);
  } else if (previous !== undefined) {
    said = previousInUse(name);
  } else if (stored && plan.start) {
    term.check();
    await begin(parts, term, policy, stored, { by: 'schedule', reason: plan.why, emergency: false }, signal);
    said = { reason: 'Rotating', message: 'it was due' };
    busy = true;
  } else if (plan.failed) {
    said = plan.failed;
  } else if (plan.impossible) {
    said = { reason: 'NotPossible', message: plan.why };
  } else {
    said = { reason: plan.dueAt && plan.dueAt <= seen.now ? 'Due' : 'Idle', message: plan.why };
  }
  parts.metrics.revived(name, seen.ended !== undefined);
  await tell(parts, term, { policy, generation, since, dueAt: plan.dueAt, said, rotation });
  return { afterMs: busy ? BUSY_MS : IDLE_MS };
}

type Seen = {
  now: Date;
  running: readonly RotationRow[];
  states: readonly SecretState[];
  latest: RotationRow | undefined;
};

function planned(parts: RotationParts, policy: Policy, since: Date, seen: Seen, name: string) {
  const { now, running, states, latest } = seen;
  const lost = latest?.finishedAt && latest.outcome !== 'done' ? latest : undefined;
  const notBefore = lost?.finishedAt ? new Date(lost.finishedAt.getTime() + AFTER_FAILURE_MS) : undefined;
  const heldUp = (secret: string) => isHeld(states.find((state) => state.secret === secret)?.reason);
  // One that is stuck is somebody's to mend, for as long as it takes; the others do not wait for that.
  const anotherRuns = running.some((one) => one.secret !== name && !heldUp(one.secret) && !isStuck(one, now));
  const why = policy.enabled ? impossible(policy, parts.kinds) : undefined;
  const failed: Said | undefined =
    notBefore && now < notBefore
      ? {
          reason: lost?.outcome === 'abandoned' ? 'Abandoned' : 'RolledBack',
          message: `${lost?.id} did not end well: klar secrets status ${name} says why. None starts on schedule until ${notBefore.toISOString()}.`,
        }
      : undefined;
  return { ...scheduled(policy, { since, anotherRuns, notBefore, impossible: why }, now), impossible: why, failed };
}

type Told = {
  policy: Policy;
  generation: string;
  since: Date;
  dueAt: Date | null;
  said: Said;
  rotation: RotationRow | undefined;
};

async function tell(parts: RotationParts, term: RotationTerm, told: Told): Promise<void> {
  const { generation, since, dueAt, said, rotation } = told;
  const { secret, kind } = told.policy;
  const state: Omit<SecretState, 'since' | 'observedAt'> = { secret, kind, generation, dueAt, ...said };
  await fenced(parts, term, (tx) => rotationStore.putSecretState(tx, state));
  parts.metrics.observed(secret, rotation, since, dueAt);
}
