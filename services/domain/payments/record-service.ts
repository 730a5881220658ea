import { type Actor, append } from '#domain/audit/index.ts';
import { lockVisibleOrder, type Order } from '#domain/sales/index.ts';
import { mapProviderObject } from '#domain/webhooks/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { withLogContext } from '#platform/log/index.ts';
import { send } from '#platform/queue/index.ts';
import { type Decision, decide } from './attempt.ts';
import type { Context } from './deps.ts';
import type { Observation } from './gateway.ts';
import { report } from './incident-service.ts';
import { refundDuplicateQueue, resolveAttemptQueue } from './jobs.ts';
import { recompute } from './settle-service.ts';
import { isOpen } from './state.ts';
import { type AttemptRow, attemptsOfOrder, insertStray, takeObservation, wantClosed } from './store/attempts.ts';
import { type PaymentRow, paymentOfOrder, upsertCustomer } from './store/payments.ts';
import { insertDuplicateRefund } from './store/refunds.ts';

/** What was seen at the provider, and the version of our row that was read before looking. */
export interface Sighting {
  readonly orderId: string;
  readonly attemptId: string;
  readonly version: number;
  readonly seen: Observation;
}

/**
 * Takes over what the provider has, whoever looked (webhook, checkout, resolver, sync): attempt, payment, order,
 * fulfilment, enrollment, receipt, refund of money that came twice, in this one transaction.
 * @returns `refetch` when our row is not the one that was read: nothing was written, look again
 */
export async function record(
  context: Context,
  tx: TenantTx,
  input: Sighting & { actor: Actor },
): Promise<'done' | 'refetch'> {
  const order = await lockVisibleOrder(tx, { orderId: input.orderId, personId: undefined });
  // From order to enrollment and mail, everything carries the id of the request that placed the order.
  const { requestId } = order;
  if (requestId === undefined) return take(context, tx, { ...input, order });
  return withLogContext({ request_id: requestId }, () => take(context, tx, { ...input, order }));
}

async function take(
  context: Context,
  tx: TenantTx,
  input: Sighting & { actor: Actor; order: Order },
): Promise<'done' | 'refetch'> {
  const { orderId, attemptId, version, seen, actor, order } = input;
  const [attempts, payment] = await Promise.all([attemptsOfOrder(tx, orderId), paymentOfOrder(tx, orderId)]);
  const attempt = attempts.find((row) => row.id === attemptId);
  if (attempt === undefined || payment === undefined) throw fail.internal('attempt_missing');
  if (attempt.version !== version) return 'refetch';

  const decision = decide(attempt, seen);
  if (decision.kind === 'mismatch') {
    await hold(context, tx, { attempt, seen, decision, actor });
  } else {
    const earlier = attempts.filter((row) => row.id !== attempt.id).reduce((sum, row) => sum + row.captured, 0);
    const duplicate = attempt.duplicate || (attempt.captured === 0 && decision.captured > 0 && earlier >= payment.due);
    const strayIsNews = await takeStray(context, tx, { attempt, payment, attempts, seen, actor });
    if (!strayIsNews && !isNews(attempt, decision, seen)) return 'done';
    const { state, closeReason, captured, refunded } = decision;
    const row = { id: attempt.id, version, state, closeReason, captured, refunded, duplicate, seen };
    if (!(await takeObservation(tx, row))) return 'refetch';
    await mapObjects(tx, attempt, seen);
    if (duplicate && !attempt.duplicate) await giveBack(context, tx, { attempt, payment, captured, actor });
    if (captured > 0) await closeOthers(tx, attempts, attempt);
    if (seen.customerId !== undefined) {
      const { provider, account } = attempt;
      await upsertCustomer(tx, { provider, account, personId: payment.person_id, customerId: seen.customerId });
    }
    await auditSession(tx, { attempt, decision, actor });
  }
  await recompute(context, tx, { payment, order, actor });
  return 'done';
}

/** A repeated event writes nothing: not a version, not an audit row. */
function isNews(attempt: AttemptRow, decision: Extract<Decision, { kind: 'take' }>, seen: Observation): boolean {
  return (
    attempt.session_id === null ||
    attempt.leased ||
    attempt.state !== decision.state ||
    attempt.close_reason !== decision.closeReason ||
    attempt.captured !== decision.captured ||
    attempt.refunded !== decision.refunded ||
    (seen.receiptUrl !== undefined && attempt.receipt_url !== seen.receiptUrl) ||
    (seen.lastError !== undefined && attempt.last_error !== seen.lastError) ||
    (seen.paymentIntentId !== undefined && attempt.payment_intent_id !== seen.paymentIntentId)
  );
}

async function mapObjects(tx: TenantTx, attempt: AttemptRow, seen: Observation): Promise<void> {
  const { provider, account } = attempt;
  for (const objectId of [seen.sessionId, seen.paymentIntentId, seen.chargeId, seen.stray?.paymentIntentId]) {
    if (objectId !== undefined && objectId !== '')
      await mapProviderObject(tx, { provider, account, objectId, tenantId: tx.tenantId });
  }
}

/** Money, or a session, that is not what we asked for: stored, alerted, never fulfilled. */
async function hold(
  context: Context,
  tx: TenantTx,
  input: { attempt: AttemptRow; seen: Observation; decision: Extract<Decision, { kind: 'mismatch' }>; actor: Actor },
): Promise<void> {
  const { attempt, seen, decision, actor } = input;
  const { account, amount, captured, currency, livemode, sessionId } = seen;
  await report(context, tx, {
    kind: 'mismatch',
    attempt,
    actor,
    fact: decision.fields.join(','),
    details: {
      fields: decision.fields,
      expected: { amount: attempt.amount, currency: attempt.currency, livemode: attempt.livemode },
      seen: { session_id: sessionId, amount: amount ?? null, captured, currency, livemode, account, money: seen.money },
    },
  });
  // An attempt that has ended, or has its money, is not held: that would forbid, or undo, what is right.
  if (!isOpen(attempt.state) || attempt.state === 'held') return;
  const { id, version, close_reason: closeReason, refunded, duplicate } = attempt;
  // The amounts stay as they were: this money does not count until a person says so.
  const row = { id, version, closeReason, refunded, duplicate, captured: attempt.captured };
  const known = { ...seen, sessionId: attempt.session_id ?? sessionId };
  await takeObservation(tx, { ...row, state: 'held', seen: known });
}

/**
 * A second payment through a session that was paid already: an attempt of its own, so that the sums are right and its
 * refund is followed.
 * @returns whether it was not known before
 */
async function takeStray(
  context: Context,
  tx: TenantTx,
  input: { attempt: AttemptRow; payment: PaymentRow; attempts: AttemptRow[]; seen: Observation; actor: Actor },
): Promise<boolean> {
  const { attempt, payment, attempts, seen, actor } = input;
  const { stray } = seen;
  if (stray === undefined || attempts.some((row) => row.payment_intent_id === stray.paymentIntentId)) return false;
  const added = await insertStray(tx, { attempt, ...stray });
  await giveBack(context, tx, { attempt: added, payment, captured: stray.captured, actor });
  return true;
}

/** Money came a second time: it is recorded, listed, and goes back once. */
async function giveBack(
  context: Context,
  tx: TenantTx,
  input: { attempt: AttemptRow; payment: PaymentRow; captured: number; actor: Actor },
): Promise<void> {
  const { attempt, payment, captured, actor } = input;
  const { currency } = payment;
  const row = { paymentId: payment.id, attemptId: attempt.id, orderId: attempt.order_id, amount: captured, currency };
  const refund = await insertDuplicateRefund(tx, row);
  await report(context, tx, {
    kind: 'duplicate_money',
    attempt,
    actor,
    details: { amount: captured, currency, refund_id: refund?.id ?? null },
  });
  if (refund !== undefined) await send(tx, refundDuplicateQueue, { tenant_id: tx.tenantId, refund_id: refund.id });
}

/** The order has its money: another page that can still be paid is closed at the provider. */
async function closeOthers(tx: TenantTx, attempts: readonly AttemptRow[], paid: AttemptRow): Promise<void> {
  const other = attempts.find((row) => row.id !== paid.id && isOpen(row.state));
  if (other === undefined || other.close_reason !== null) return;
  await wantClosed(tx, other.id, 'paid_elsewhere');
  const { order_id, id: attempt_id } = other;
  await send(tx, resolveAttemptQueue, { tenant_id: tx.tenantId, order_id, attempt_id });
}

async function auditSession(
  tx: TenantTx,
  input: { attempt: AttemptRow; decision: Extract<Decision, { kind: 'take' }>; actor: Actor },
): Promise<void> {
  const { attempt, decision, actor } = input;
  if (attempt.state === decision.state) return;
  const ended = decision.state === 'expired' || decision.state === 'void';
  if (!ended && decision.state !== 'open') return;
  await append(tx, {
    action: ended ? 'payments.expire_session' : 'payments.create_session',
    actor,
    object: { type: 'payment_attempt', id: attempt.id },
    details: { order_id: attempt.order_id, ui_mode: attempt.ui_mode, reason: decision.closeReason },
  });
}
