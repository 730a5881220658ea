import { append } from '#domain/audit/index.ts';
import { isAddress, notify } from '#domain/notifications/index.ts';
import { formatMoney, getOrder, plainLine } from '#domain/sales/index.ts';
import { schoolName } from '#domain/tenancy/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { send } from '#platform/queue/index.ts';
import type { Context } from './deps.ts';
import { GatewayError, type RefundObservation } from './gateway.ts';
import { report } from './incident-service.ts';
import { refundDuplicateQueue } from './jobs.ts';
import { lookAgain } from './look-service.ts';
import { type AttemptRow, selectAttempt } from './store/attempts.ts';
import { duplicateRefundOf, type RefundRow, selectRefund, updateRefund } from './store/refunds.ts';

const ACTOR = { kind: 'system', id: 'worker' } as const;

/**
 * Gives back money that came twice. Safe to run any number of times: the refund's own id is the provider's key.
 * @throws GatewayError when the provider gave no answer: run it again
 */
export async function refundDuplicate(
  context: Context,
  payload: { tenant_id: string; refund_id: string },
  signal?: AbortSignal,
): Promise<void> {
  const { tenant_id: tenantId, refund_id: id } = payload;
  const found = await context.inTenant(tenantId, async (tx) => {
    const refund = await selectRefund(tx, id);
    return refund && { refund, attempt: await selectAttempt(tx, refund.attempt_id) };
  });
  if (found?.attempt == null) throw new Error(`refund ${id} has no row`);
  const { refund, attempt } = found;
  // Asked about one that has succeeded, too: a bank can send the money back days later.
  if (refund.state !== 'failed') {
    const outcome = await give(context, refund, attempt, signal);
    await context.inTenant(tenantId, (tx) => note(context, tx, { refund, attempt, outcome }));
  }
  // The amounts come from the provider's object, as always.
  await lookAgain(context, { tenantId, attemptId: attempt.id, actor: ACTOR, signal });
}

/** The provider says that a refund of this attempt has changed: ours follows it, in a job, as it has to be asked. */
export async function followRefund(tx: TenantTx, attemptId: string): Promise<void> {
  const refund = await duplicateRefundOf(tx, attemptId);
  if (refund === undefined || refund.state === 'failed') return;
  await send(tx, refundDuplicateQueue, { tenant_id: tx.tenantId, refund_id: refund.id });
}

async function give(
  context: Context,
  refund: RefundRow,
  attempt: AttemptRow,
  signal: AbortSignal | undefined,
): Promise<RefundObservation> {
  const { amount, currency, created_at: createdAt } = refund;
  if (attempt.payment_intent_id === null) throw new Error(`attempt ${attempt.id} is paid without a payment intent`);
  const request = { refundId: refund.id, paymentIntentId: attempt.payment_intent_id, amount, currency, createdAt };
  try {
    return await context.gateway.refund(request, { signal });
  } catch (error) {
    if (!(error instanceof GatewayError) || error.outcome !== 'refused') throw error;
    // A person was faster, in the provider's dashboard.
    const done = error.code === 'charge_already_refunded';
    // One that was made is not undone by a refused question about it.
    if (!done && refund.state !== 'created') throw error;
    return { providerRefundId: '', state: done ? 'succeeded' : 'failed', lastError: error.code };
  }
}

async function note(
  context: Context,
  tx: TenantTx,
  input: { refund: RefundRow; attempt: AttemptRow; outcome: RefundObservation },
): Promise<void> {
  const { refund, attempt, outcome } = input;
  const { state, lastError } = outcome;
  if (state === refund.state) return;
  const providerRefundId = outcome.providerRefundId === '' ? undefined : outcome.providerRefundId;
  // The version fence: of two workers with this job one writes, and one mail goes out.
  const updated = await updateRefund(tx, {
    id: refund.id,
    version: refund.version,
    state,
    providerRefundId,
    lastError,
  });
  if (updated === undefined) {
    // Whoever was faster wrote the same, or something older than what we saw: then the provider is asked again.
    if ((await selectRefund(tx, refund.id))?.state === state) return;
    throw new Error(`refund ${refund.id} changed while it was looked at`);
  }
  tx.afterCommit(() => context.count.refund(state));
  await append(tx, {
    action: 'payments.refund_duplicate',
    actor: ACTOR,
    object: { type: 'refund', id: refund.id },
    details: { order_id: refund.order_id, amount: refund.amount, currency: refund.currency, state },
  });
  if (state === 'failed') {
    const details = { refund_id: refund.id, amount: refund.amount, currency: refund.currency, code: lastError ?? null };
    await report(context, tx, { kind: 'refund_failed', attempt, actor: ACTOR, details });
    return;
  }
  const { buyer } = await getOrder(tx, { orderId: refund.order_id, personId: undefined });
  if (!isAddress(buyer.email)) return;
  await notify(tx, {
    template: 'payments.duplicate_refunded',
    to: { email: buyer.email },
    dedupeKey: `payments.duplicate_refunded:${refund.id}`,
    data: {
      name: plainLine(buyer.name) || buyer.email,
      school: plainLine(await schoolName(tx)),
      order_id: refund.order_id,
      amount: formatMoney({ amount: refund.amount, currency: refund.currency }),
    },
  });
}
