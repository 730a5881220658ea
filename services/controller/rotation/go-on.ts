import {
  BACK,
  canGoBack,
  changedOutside,
  decide,
  type Kind,
  type Outcome,
  type RotationRow,
  rotationStore,
  type Slots,
  type Step,
} from '#domain/secrets/index.ts';
import type { Tx } from '#platform/db/index.ts';
import { fenced } from './fenced.ts';
import { type KindAdapter, NotYet, Unproven } from './kind.ts';
import type { RotationParts, RotationTerm } from './reconcile.ts';
import { held, type Said, tellNotice, without } from './said.ts';
import { SecretConflict, type SlotValues } from './secret-store.ts';
import { type ActInput, act, clear, stepInput } from './steps.ts';

/** Effects of one visit; more only means that the next visit goes on. */
const MAX_STEPS = 30;

/** Takes the way back where no provider is set up: what is there stays there. */
const NOBODY: KindAdapter = {
  async prove() {
    throw new Unproven('nobody can be asked');
  },
};

const isBack = (step: Step) => (BACK as readonly Step[]).includes(step);

/** Does what can be done now, step after step, and answers with why it stopped. */
export async function goOn(
  parts: RotationParts,
  term: RotationTerm,
  { secret: name }: RotationRow,
  signal: AbortSignal,
): Promise<Said> {
  const { db, store, pods, log } = parts;
  const fence = (tx: Tx) => parts.fence(tx, term.token);
  const write = (fn: (tx: Tx) => Promise<void>) => fenced(parts, term, fn);
  for (let i = 0; i < MAX_STEPS; i += 1) {
    const stored = await store.read(name, signal);
    const { rotation, now } = await db.withTx(async (tx) => ({
      rotation: (await rotationStore.running(tx)).find((one) => one.secret === name),
      now: await rotationStore.now(tx),
    }));
    if (rotation === undefined) return { reason: 'Idle', message: 'the rotation ended' };
    const hold = async (said: Said) => {
      term.check();
      await write((tx) => rotationStore.waits(tx, rotation, 'waits', said.message, term.token));
      return said;
    };
    const end = async (outcome: Outcome, why: string) => {
      term.check();
      await write((tx) => rotationStore.end(tx, rotation, outcome, why, term.token));
      return tellEnd(parts, rotation, outcome, why);
    };
    if (stored === undefined || stored.managedBy !== undefined) {
      // Not ours to write: nothing is left that this rotation could do, so that a wish to go back ends it where it is.
      const by = stored?.managedBy;
      if (rotation.back) return end('abandoned', `given up in ${rotation.step}; the secret is left as it is`);
      if (stored && changedOutside(rotation, slotsOf(stored.values)))
        return end('abandoned', `${by} changed the secret`);
      return hold(held(name, by));
    }
    const adapter = parts.kinds[rotation.kind as Kind];
    const goesBack = rotation.back && (canGoBack(rotation.step) || isBack(rotation.step));
    if (adapter === undefined && !goesBack) return hold(without(rotation));
    const kind = adapter ?? NOBODY;
    const input: ActInput = { rotation, name, stored, store, kind, signal, db, fence };
    const at = stepInput(input);
    const decision = decide(
      {
        rotation,
        slots: slotsOf(stored.values),
        pods: await pods.look(name, signal),
        expectPods: pods.expects(name),
        usedElsewhere: await elsewhereUsed(parts, kind, at, signal),
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
      const { to, note } = decision;
      await write((tx) => rotationStore.advance(tx, rotation, to, note ?? null, term.token));
      log.info('rotation goes on', { setting: name, rotation: rotation.id, step: to, ...(note ? { note } : {}) });
      const words = `${name}: ${rotation.id} is ${to}${note ? `; ${note}` : ''}.`;
      tellNotice(parts, {
        secret: name,
        type: note ? 'Warning' : 'Normal',
        reason: 'RotationStep',
        action: 'Step',
        note: words,
      });
      continue;
    }
    try {
      if (decision.do === 'act') {
        await act(input, term.token);
        continue;
      }
      if (decision.outcome === 'rolled_back') await kind.withdrawn?.(at);
      if (decision.outcome !== 'abandoned') await clear(store, name, stored, signal);
    } catch (error) {
      if (error instanceof SecretConflict || signal.aborted) throw error;
      return await tellProblem(parts, rotation, error, (event, why) =>
        write((tx) => rotationStore.waits(tx, rotation, event, why, term.token)),
      );
    }
    if (decision.outcome === 'rolled_back' && adapter === undefined) {
      return end('abandoned', `${decision.why} here; whatever the provider was told of it is left there: remove it`);
    }
    return end(decision.outcome, decision.why);
  }
  return { reason: 'Rotating', message: 'it goes on' };
}

function slotsOf({ current, ...others }: SlotValues): Slots {
  const rest = Object.entries(others).map(([slot, kept]) => [slot, kept.generation]);
  return { current: current.generation, ...Object.fromEntries(rest) };
}

/** Users of the value that is about to die. One who cannot be asked may be one: the rotation waits, and says so. */
async function elsewhereUsed(
  parts: RotationParts,
  kind: KindAdapter,
  at: ReturnType<typeof stepInput>,
  signal: AbortSignal,
): Promise<string[]> {
  const { step } = at.rotation;
  const dying = step === 'withdrawing' ? at.to : step === 'retiring' ? at.from : undefined;
  if (!dying || !kind.usedElsewhere) return [];
  try {
    return await kind.usedElsewhere(at, dying);
  } catch (error) {
    if (signal.aborted) throw error;
    return [parts.redact(`whether it is used elsewhere is not known: ${(error as Error).message}`)];
  }
}

function tellEnd(parts: RotationParts, rotation: RotationRow, outcome: Outcome, why: string): Said {
  const { secret, id } = rotation;
  const done = outcome === 'done';
  parts.metrics.ended(secret, outcome);
  parts.log.info('rotation ended', { setting: secret, rotation: id, outcome, why });
  tellNotice(parts, {
    secret,
    type: done ? 'Normal' : 'Warning',
    reason: done ? 'RotationDone' : outcome === 'abandoned' ? 'RotationAbandoned' : 'RotationRolledBack',
    action: 'End',
    note: `${secret}: ${id} ended: ${why}.`,
  });
  return { reason: done ? 'Idle' : outcome === 'abandoned' ? 'Abandoned' : 'RolledBack', message: why };
}

/** A step that does not have its effect, or not yet: nothing else changes until it has. */
async function tellProblem(
  parts: RotationParts,
  rotation: RotationRow,
  error: unknown,
  write: (event: 'waits' | 'failed', why: string) => Promise<void>,
): Promise<Said> {
  if (error instanceof NotYet) {
    await write('waits', error.message);
    return { reason: 'Underway', message: error.message };
  }
  const { secret, step } = rotation;
  const why = parts.redact(`${step} failed: ${(error as Error).message}`).slice(0, 1_000);
  parts.metrics.failed(secret, step);
  parts.log.warn('a step of a rotation failed; it is tried again', { setting: secret, step, error });
  await write('failed', why);
  return { reason: error instanceof Unproven ? 'OldValueAlive' : 'StepFailed', message: why };
}
