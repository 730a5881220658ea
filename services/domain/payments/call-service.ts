import type { Actor } from '#domain/audit/index.ts';
import { lockVisibleOrder } from '#domain/sales/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { CloseReason } from './attempt.ts';
import type { Context } from './deps.ts';
import { GatewayError, type Observation } from './gateway.ts';
import { record } from './record-service.ts';
import { recompute } from './settle-service.ts';
import type { AttemptState } from './state.ts';
import { type AttemptRow, noteFailedCall } from './store/attempts.ts';
import { paymentOfOrder } from './store/payments.ts';

/** A stored 500 is repeated under its key for a day: after this long the provider is searched instead of asked again. */
const LOOK_UP_AFTER_MS = 10 * 60 * 1000;
const STUCK_CODES: ReadonlySet<string> = new Set(['provider_error', 'idempotency_mismatch']);

export interface CallInput {
  step: 'call' | 'look_up' | 'close';
  tenantId: string;
  /** As leased: its version is the one that the answer is written over. */
  attempt: AttemptRow;
  token: string;
  now: Date;
  actor: Actor;
  signal?: AbortSignal | undefined;
}

/**
 * One provider call about a leased attempt, with no transaction open, and the writing down of its outcome, good or bad.
 * @throws KlarError for every outcome that is not an answer, after it was written down
 */
export async function callProvider(context: Context, input: CallInput): Promise<void> {
  const { attempt, tenantId, actor } = input;
  let seen: Observation | undefined;
  try {
    seen = await ask(context, input);
  } catch (error) {
    throw await noteFailure(context, input, error);
  }
  if (seen === undefined) {
    await noteEnd(context, input, { state: 'void', closeReason: 'lost', lastError: 'not_found' });
    return;
  }
  const sighting = { orderId: attempt.order_id, attemptId: attempt.id, version: attempt.version, seen };
  const outcome = await context.inTenant(tenantId, (tx) => record(context, tx, { ...sighting, actor }));
  // Refetch: somebody else wrote down what it is by now; the caller looks again.
  context.count.session(outcome === 'refetch' ? 'raced' : input.step === 'close' ? 'closed' : 'created');
  if (input.step === 'close' && seen.status === 'open' && outcome === 'done') {
    throw fail.unavailable('payment_unknown', 'The provider has not closed the earlier session yet. Try again.', 2);
  }
}

async function ask({ gateway }: Context, input: CallInput): Promise<Observation | undefined> {
  const { attempt, signal } = input;
  const lost = { attemptId: attempt.id, createdAt: attempt.created_at };
  if (input.step === 'look_up') return gateway.findSession(lost, { signal });
  if (input.step === 'close' && attempt.session_id !== null) {
    const key = `${attempt.id}:close:${attempt.version}`;
    return gateway.expireSession({ sessionId: attempt.session_id, key }, { signal });
  }
  try {
    return await gateway.createSession(attempt.request, { signal });
  } catch (error) {
    if (!isStuck(error, input)) throw error;
    return gateway.findSession(lost, { signal });
  }
}

function isStuck(error: unknown, { attempt, now }: CallInput): boolean {
  if (!(error instanceof GatewayError) || error.outcome !== 'unknown' || !STUCK_CODES.has(error.code)) return false;
  return attempt.state === 'unknown' && now.getTime() - attempt.created_at.getTime() > LOOK_UP_AFTER_MS;
}

async function noteFailure(context: Context, input: CallInput, error: unknown): Promise<unknown> {
  const { attempt, step } = input;
  const stays = { state: attempt.state, closeReason: null };
  // Never asked: the client went away before the call, or the amount cannot be said to this provider.
  if (!(error instanceof GatewayError)) {
    const refused = error instanceof KlarError && step === 'call';
    const end = refused ? ended('refused') : stays;
    await noteEnd(context, input, { ...end, lastError: refused ? (error as KlarError).code : 'not_called' });
    return error;
  }
  context.count.session(error.outcome);
  context.log.log(error.outcome === 'misconfigured' ? 'error' : 'warn', 'payment provider call failed', {
    step,
    outcome: error.outcome,
    code: error.code,
    order_id: attempt.order_id,
    attempt_id: attempt.id,
    error: String((error.cause as Error | undefined)?.message ?? error.message),
  });
  const lastError = error.code;
  const creating = step === 'call';
  if (error.outcome === 'unknown') {
    // Only a repeat of the same call tells; until then nothing else may be made for this order.
    await noteEnd(context, input, { ...(creating ? { state: 'unknown', closeReason: null } : stays), lastError });
    return fail.unavailable(
      'payment_unknown',
      'The payment provider did not answer. Try again; nothing is charged twice.',
      2,
      { cause: error },
    );
  }
  if (error.outcome === 'busy') {
    await noteEnd(context, input, { ...stays, lastError });
    return fail.unavailable('provider_busy', 'The payment provider is busy. Try again.', 1, { cause: error });
  }
  // A key that had made a session would have answered with it: refused means there is none. A refused key of ours
  // (401) is said before the provider looks that up, so it proves nothing about an earlier lost answer.
  const none = creating && (error.outcome === 'refused' || attempt.state === 'created');
  const gone = step === 'close' && error.code === 'resource_missing';
  const end = none || gone ? ended(gone ? 'lost' : 'refused') : stays;
  await noteEnd(context, input, { ...end, lastError });
  if (gone) return fail.unavailable('payment_unknown', 'The earlier session is gone. Try again.', 1, { cause: error });
  if (error.outcome === 'misconfigured') {
    return fail.unavailable('payments_unavailable', 'Payments are not available at the moment.', 60, { cause: error });
  }
  const detail = `The payment provider does not take this payment (${error.code}).`;
  return fail.unprocessable('provider_refused', detail, undefined, { cause: error });
}

const ended = (closeReason: CloseReason) => ({ state: 'void' as const, closeReason });

async function noteEnd(
  context: Context,
  { tenantId, attempt, token, actor }: CallInput,
  end: { state: AttemptState; closeReason: CloseReason | null; lastError: string },
): Promise<void> {
  await context.inTenant(tenantId, async (tx) => {
    const order = await lockVisibleOrder(tx, { orderId: attempt.order_id, personId: undefined });
    // A lease that was lost belongs to somebody who knows better.
    if (!(await noteFailedCall(tx, { id: attempt.id, token, ...end }))) return;
    const payment = await paymentOfOrder(tx, order.id);
    if (payment !== undefined) await recompute(context, tx, { payment, order, actor });
  });
}
