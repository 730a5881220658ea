import { staleTerm } from '#domain/operations/index.ts';
import {
  canGoBack,
  newValueInUse,
  notPossible,
  type Policy,
  type RotationRequest,
  type RotationRow,
  rotationStore,
} from '#domain/secrets/index.ts';
import { begin } from './begin.ts';
import { fenced } from './fenced.ts';
import type { RotationParts, RotationTerm } from './reconcile.ts';
import { tellNotice } from './said.ts';

type Answer = { accepted: boolean; text: string };
const no = (text: string): Answer => ({ accepted: false, text });
const yes = (text: string): Answer => ({ accepted: true, text });

/** One a second: a server that is away for a moment refuses nobody, and whoever asked still waits for the answer. */
const TRIES = 10;

/**
 * Takes what people asked for, oldest first, and answers each. One that cannot be taken holds up no other: it is tried
 * again, and refused in the end.
 * @param tries how often each was tried in this term
 * @returns the secrets that changed
 */
export async function takeRequests(
  parts: RotationParts,
  term: RotationTerm,
  policyOf: (name: string) => Policy,
  signal: AbortSignal,
  tries: Map<string, number> = new Map(),
): Promise<string[]> {
  const open = await parts.db.withTx((tx) => rotationStore.requests(tx), { readOnly: true });
  const changed: string[] = [];
  for (const request of open) {
    term.check();
    const answer = await take(parts, term, policyOf, request, signal).catch((error: unknown) => {
      if (signal.aborted || staleTerm(error) !== undefined) throw error;
      const tried = (tries.get(request.id) ?? 0) + 1;
      tries.set(request.id, tried);
      parts.log.warn('a request could not be taken', { setting: request.secret, request: request.id, tried, error });
      return tried < TRIES ? undefined : no(parts.redact(`it cannot be done: ${(error as Error).message}`));
    });
    if (answer === undefined) continue;
    const { accepted, text } = answer;
    tries.delete(request.id);
    await fenced(parts, term, (tx) => rotationStore.answer(tx, request.id, accepted, text));
    const { secret, action, requestedBy: by } = request;
    parts.log.info('rotation request', { setting: secret, action, by, accepted, text });
    if (accepted) changed.push(secret);
    else {
      const note = `${secret}: ${action}, asked for by ${by}, was refused: ${text}.`;
      tellNotice(parts, { secret, type: 'Warning', reason: 'RotationRefused', action: 'Refuse', note });
    }
  }
  return changed;
}

async function take(
  parts: RotationParts,
  term: RotationTerm,
  policyOf: (name: string) => Policy,
  request: RotationRequest,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const { secret, action, emergency, requestedBy: by } = request;
  const running = await parts.db.withTx(
    async (tx) => (await rotationStore.running(tx)).find((one) => one.secret === secret),
    { readOnly: true },
  );
  /** Undefined when it went on meanwhile: whether it may is asked again with the next look. */
  const back = async (row: RotationRow, text: string) => {
    const done = await fenced(parts, term, async (tx) => {
      const turned = await rotationStore.turnBack(tx, row, by, term.token);
      // With it: killed between the two, what was done would be answered with "it goes back already".
      if (turned) await rotationStore.answer(tx, request.id, true, text);
      return turned;
    });
    return done ? yes(text) : undefined;
  };
  const stored = await parts.store.read(secret, signal);
  if (action !== 'rotate') {
    if (running === undefined) return no('no rotation of it runs');
    if (running.back) return no('it goes back already');
    if (stored === undefined || stored.managedBy) {
      // At any step, as nothing else would ever end it.
      return back(
        running,
        `${running.id} is given up, as the secret is not ours to change: its values stay as they are`,
      );
    }
    if (!canGoBack(running.step))
      return no(`it is past the point of no return (${running.step}): rotate it again instead`);
    if (action === 'cancel' && newValueInUse(running.step))
      return no('the new value is in use: --rollback goes back from there');
    return back(running, `${running.id} goes back`);
  }
  if (running !== undefined) {
    // Killed between the start and this answer: the request is its own.
    if (running.startedBy === byOf(request)) return yes(`${running.id} runs`);
    if (!emergency || running.emergency) return no(`${running.id} runs already, and is ${running.step}`);
    // It would end the new value the sooner, and keep the one that is no secret any more.
    if (running.back) return no(`${running.id} goes back to the old value: ask again when it has ended`);
    await fenced(parts, term, (tx) => rotationStore.makeEmergency(tx, running, by, term.token));
    return yes(
      `${running.id} runs already (${running.step}), and is an emergency from now on: the value of before it ends without soak and silence. ` +
        'If the new one is known to others, rotate once more when it has ended',
    );
  }
  if (stored === undefined) return no('there is no such secret here');
  if (stored.managedBy) return no(`${stored.managedBy} manages it: rotate it there`);
  const policy = policyOf(secret);
  if (parts.kinds[policy.kind] === undefined) return no(notPossible(policy.kind));
  if (stored.values.previous !== undefined) {
    return no(`a previous value is accepted that no rotation put there: remove ${secret}.previous once nobody uses it`);
  }
  const row = await begin(
    parts,
    term,
    policy,
    stored,
    { by: byOf(request), reason: request.reason, emergency },
    signal,
  );
  return yes(`${row.id} runs`);
}

/** Who started it, with the request: a request that is taken twice starts once. */
const byOf = ({ requestedBy, id }: RotationRequest) => `${requestedBy.slice(0, 150)} (${id})`;
