import type Stripe from 'stripe';
import type { RefundRecord } from '../records.ts';
import { bookTransaction } from './balance.ts';
import { money } from './currency.ts';
import { emit } from './emit.ts';
import { refuse } from './stripe-error.ts';
import { stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

/** Gives money of a succeeded charge back: `refund.created`, `charge.refunded`. Without an amount, all that is left. */
export function createRefund(
  world: World,
  input: {
    charge: Stripe.Charge;
    amount?: number | undefined;
    reason?: string | undefined;
    metadata: Record<string, string>;
  },
): Stripe.Refund {
  const { charge } = input;
  const amount = input.amount ?? charge.amount - charge.amount_refunded;
  requireRefundable(charge, amount);
  const fate = fateOf(charge);
  const booked = bookTransaction(world, {
    type: 'refund',
    amount: -amount,
    currency: charge.currency,
    source: charge.id,
  });
  const refund = {
    id: stripeId('re'),
    object: 'refund',
    amount,
    balance_transaction: booked.id,
    charge: charge.id,
    created: world.clock.unix(),
    currency: charge.currency,
    customer: charge.customer,
    customer_account: null,
    destination_details: {
      card: { reference_status: 'pending', reference_type: 'acquirer_reference_number', type: 'refund' },
      type: 'card',
    },
    metadata: input.metadata,
    payment_intent: charge.payment_intent,
    payment_method: charge.payment_method,
    reason: input.reason ?? null,
    receipt_number: null,
    source_transfer_reversal: null,
    status: fate === 'pending' ? 'pending' : 'succeeded',
    transfer_reversal: null,
  } as unknown as Stripe.Refund;
  const settle = fate && {
    at: world.clock.nowMs() + world.delayedSettleMs,
    status: fate === 'pending' ? ('succeeded' as const) : ('failed' as const),
  };
  world.store.put('refunds', { id: refund.id, refund, ...(settle ? { settle } : {}) });
  const amount_refunded = charge.amount_refunded + amount;
  const changed = world.store.put('charges', {
    ...charge,
    amount_refunded,
    refunded: amount_refunded === charge.amount,
  });
  emit(world, 'refund.created', refund);
  emit(world, 'charge.refunded', changed, { amount_refunded: charge.amount_refunded, refunded: charge.refunded });
  return refund;
}

function requireRefundable(charge: Stripe.Charge, amount: number): void {
  const left = charge.amount - charge.amount_refunded;
  if (charge.status !== 'succeeded') {
    throw refuse.conflict(`Charge ${charge.id} has not succeeded and cannot be refunded.`, {
      code: 'charge_not_refundable',
    });
  }
  if (charge.disputed) {
    throw refuse.conflict(`Charge ${charge.id} has been charged back; cannot issue a refund.`, {
      code: 'charge_disputed',
    });
  }
  if (left === 0) {
    throw refuse.conflict(`Charge ${charge.id} has already been refunded.`, { code: 'charge_already_refunded' });
  }
  if (amount > left) {
    throw refuse.conflict(
      `Refund amount (${money(amount, charge.currency)}) is greater than unrefunded amount on charge (${money(left, charge.currency)})`,
      { param: 'amount' },
    );
  }
}

/** Two test cards have refunds that end later. https://docs.stripe.com/testing#refunds */
function fateOf(charge: Stripe.Charge): 'pending' | 'fail' | undefined {
  const last4 = charge.payment_method_details?.card?.last4;
  if (last4 === '7726') return 'pending';
  return last4 === '5126' ? 'fail' : undefined;
}

/** Ends a refund whose end comes later. A failed one gives the money back to the balance and to the charge. */
export function settleRefund(world: World, record: RefundRecord): void {
  if (!record.settle) return;
  const failed = record.settle.status === 'failed';
  const before = record.refund.status;
  let refund: Stripe.Refund = { ...record.refund, status: record.settle.status };
  if (failed) {
    const { id } = bookTransaction(world, {
      type: 'refund_failure',
      amount: refund.amount,
      currency: refund.currency,
      source: refund.id,
    });
    refund = { ...refund, failure_reason: 'expired_or_canceled_card', failure_balance_transaction: id };
    const charge = world.store.get('charges', String(refund.charge));
    if (charge) {
      world.store.put('charges', {
        ...charge,
        amount_refunded: charge.amount_refunded - refund.amount,
        refunded: false,
      });
    }
  }
  world.store.put('refunds', { id: record.id, refund });
  emit(world, 'refund.updated', refund, { status: before });
  emit(world, 'charge.refund.updated', refund, { status: before });
  if (failed) emit(world, 'refund.failed', refund);
}
