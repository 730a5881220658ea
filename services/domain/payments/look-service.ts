import type { Actor } from '#domain/audit/index.ts';
import type { Context } from './deps.ts';
import type { Observation } from './gateway.ts';
import { record, type Sighting } from './record-service.ts';
import { type AttemptRow, selectAttempt } from './store/attempts.ts';

/** A row that changes this often between reading and writing is not being looked at, it is being fought over. */
const MAX_LOOKS = 5;

/** Reads our version, then fetches the provider's object. @returns undefined when there is no session to look at */
export async function sight(
  context: Context,
  input: { attempt: AttemptRow | undefined; signal?: AbortSignal | undefined },
): Promise<Sighting | undefined> {
  const { attempt, signal } = input;
  if (attempt === undefined) return undefined;
  const seen = await fetchFor(context, attempt, signal);
  return seen && { orderId: attempt.order_id, attemptId: attempt.id, version: attempt.version, seen };
}

async function fetchFor(
  { gateway }: Context,
  attempt: AttemptRow,
  signal: AbortSignal | undefined,
): Promise<Observation | undefined> {
  const { session_id: sessionId, payment_intent_id: paymentIntentId, captured } = attempt;
  if (sessionId !== null) {
    // A session that was paid is asked about that payment: it could name another by now.
    const paidBy = captured > 0 ? (paymentIntentId ?? undefined) : undefined;
    return gateway.fetchSession({ sessionId, paidBy }, { signal });
  }
  if (paymentIntentId === null) return undefined;
  // A stray payment carries the id of the attempt whose session it came through; it is looked up by its own.
  return { ...(await gateway.fetchPayment(paymentIntentId, { signal })), attemptId: attempt.id };
}

/** Brings one attempt up to what the provider says, now. */
export async function lookAgain(
  context: Context,
  input: { tenantId: string; attemptId: string; actor: Actor; signal?: AbortSignal | undefined },
): Promise<void> {
  const { tenantId, attemptId, actor, signal } = input;
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    const attempt = await context.inTenant(tenantId, (tx) => selectAttempt(tx, attemptId));
    const sighting = await sight(context, { attempt, signal });
    if (sighting === undefined) return;
    const outcome = await context.inTenant(tenantId, (tx) => record(context, tx, { ...sighting, actor }));
    if (outcome === 'done') return;
  }
  throw new Error(`attempt ${attemptId} changed ${MAX_LOOKS} times while it was looked at`);
}
