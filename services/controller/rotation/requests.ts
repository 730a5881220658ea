import { canGoBack, type Policy, type RotationRequest, rotationStore } from '#domain/secrets/index.ts';
import type { Tx } from '#platform/db/index.ts';
import { begin, type RotationParts, type RotationTerm } from './reconcile.ts';

type Answer = { accepted: boolean; text: string };
const no = (text: string): Answer => ({ accepted: false, text });
const yes = (text: string): Answer => ({ accepted: true, text });

/** Takes what people asked for, oldest first, and answers each. @returns the secrets that changed */
export async function takeRequests(
  parts: RotationParts,
  term: RotationTerm,
  policyOf: (name: string) => Policy,
  signal: AbortSignal,
): Promise<string[]> {
  const open = await parts.db.withTx((tx) => rotationStore.requests(tx), { readOnly: true });
  const changed: string[] = [];
  for (const request of open) {
    term.check();
    const { accepted, text } = await take(parts, term, policyOf, request, signal);
    await parts.db.withTx(async (tx) => {
      await parts.fence(tx, term.token);
      await rotationStore.answer(tx, request.id, accepted, text);
    });
    parts.log.info('rotation request', {
      setting: request.secret,
      action: request.action,
      by: request.requestedBy,
      accepted,
      text,
    });
    if (accepted) changed.push(request.secret);
  }
  return changed;
}

async function take(
  parts: RotationParts,
  term: RotationTerm,
  policyOf: (name: string) => Policy,
  request: RotationRequest,
  signal: AbortSignal,
): Promise<Answer> {
  const { secret, action, emergency, requestedBy: by } = request;
  const running = await parts.db.withTx(
    async (tx) => (await rotationStore.running(tx)).find((one) => one.secret === secret),
    { readOnly: true },
  );
  const write = (fn: (tx: Tx) => Promise<void>) =>
    parts.db.withTx(async (tx) => {
      await parts.fence(tx, term.token);
      await fn(tx);
    });
  if (action !== 'rotate') {
    if (running === undefined) return no('no rotation of it runs');
    if (running.back) return no('it goes back already');
    if (!canGoBack(running.step))
      return no(`it is past the point of no return (${running.step}): rotate it again instead`);
    const used = ['activating', 'soaking'].includes(running.step);
    if (action === 'cancel' && used) return no('the new value is in use: --rollback goes back from there');
    await write((tx) => rotationStore.turnBack(tx, running, by, term.token));
    return yes(`${running.id} goes back`);
  }
  if (running !== undefined) {
    // Killed between the start and this answer: the request is its own.
    if (running.startedBy === byOf(request)) return yes(`${running.id} runs`);
    if (!emergency || running.emergency) return no(`${running.id} runs already, and is ${running.step}`);
    await write((tx) => rotationStore.makeEmergency(tx, running, by, term.token));
    return yes(`${running.id} runs already, and waits no longer`);
  }
  const stored = await parts.store.read(secret, signal);
  if (stored === undefined) return no('there is no such secret here');
  if (stored.managedBy) return no(`${stored.managedBy} manages it: rotate it there`);
  const policy = policyOf(secret);
  if (parts.kinds[policy.kind] === undefined) return no(`a ${policy.kind} secret cannot be rotated here`);
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
