import { type Actor, append } from '#domain/audit/index.ts';
import { type Order, settleOrder } from '#domain/sales/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Context } from './deps.ts';
import { report } from './incident-service.ts';
import { maySucceed, ORDER_STATUS_OF, paymentState, sumAmounts } from './state.ts';
import { type AttemptRow, attemptsOfOrder } from './store/attempts.ts';
import { type PaymentRow, updatePayment } from './store/payments.ts';

/**
 * Computes a payment anew from its attempts and carries a change on to the order. The one place that writes a
 * payment's state; the caller holds the order's lock.
 */
export async function recompute(
  context: Context,
  tx: TenantTx,
  input: { payment: PaymentRow; order: Order; actor: Actor },
): Promise<AttemptRow[]> {
  const { payment, order, actor } = input;
  const attempts = await attemptsOfOrder(tx, order.id);
  const amounts = sumAmounts(attempts);
  const state = paymentState(payment.due, attempts);
  const sameAmounts = (['captured', 'refunded', 'disputed', 'lost'] as const).every((k) => amounts[k] === payment[k]);
  if (state === payment.state && sameAmounts) return attempts;
  if (!maySucceed(payment.state, state)) {
    const cause = new Error(`${payment.state} -> ${state}: ${payment.id}`);
    throw fail.internal('payment_transition', undefined, { cause });
  }
  const paidAttemptId = attempts.find((attempt) => attempt.captured > 0)?.id ?? null;
  const { id, version } = payment;
  if (!(await updatePayment(tx, { id, version, state, amounts, paidAttemptId }))) {
    throw fail.conflict('payment_changed', 'The payment was changed meanwhile. Try again.');
  }
  await append(tx, {
    action: 'payments.record',
    actor,
    object: { type: 'payment', id },
    details: { order_id: order.id, from: payment.state, to: state, ...amounts },
  });
  // Only a step of the payment moves the order: a canceled order stays so while its payment says nothing new.
  if (state !== payment.state) {
    const requestId = order.requestId;
    tx.afterCommit(() => {
      context.count.settled(state);
      const fields = { payment_id: id, order_id: order.id, tenant_id: tx.tenantId, from: payment.state, to: state };
      context.log.info('payment settled', requestId === undefined ? fields : { ...fields, request_id: requestId });
    });
    const status = ORDER_STATUS_OF[state];
    const { alreadyHad } = await settleOrder(tx, { orderId: order.id, status, actor });
    const attempt = attempts.find((a) => a.id === paidAttemptId);
    if (alreadyHad.length > 0 && attempt !== undefined) {
      await report(context, tx, { kind: 'already_had', attempt, actor, details: { order_lines: alreadyHad } });
    }
  }
  return attempts;
}
