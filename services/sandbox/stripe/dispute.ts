import type Stripe from 'stripe';
import { bookTransaction } from './balance.ts';
import { emit } from './emit.ts';
import { stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

/** The bank takes the money of a charge back: `charge.dispute.created`, `charge.dispute.funds_withdrawn`. */
export function openDispute(world: World, chargeId: string): Stripe.Dispute | undefined {
  const charge = world.store.get('charges', chargeId);
  if (!charge || charge.disputed || charge.status !== 'succeeded') return undefined;
  const now = world.clock.unix();
  const id = stripeId('du');
  const withdrawn = bookTransaction(world, {
    type: 'adjustment',
    amount: -charge.amount,
    currency: charge.currency,
    source: id,
  });
  const dispute = {
    id,
    object: 'dispute',
    amount: charge.amount,
    balance_transactions: [withdrawn],
    charge: charge.id,
    created: now,
    currency: charge.currency,
    enhanced_eligibility_types: [],
    evidence: {},
    evidence_details: {
      due_by: now + 9 * 24 * 3600,
      enhanced_eligibility: {},
      has_evidence: false,
      past_due: false,
      submission_count: 0,
    },
    is_charge_refundable: false,
    livemode: false,
    metadata: {},
    payment_intent: charge.payment_intent,
    payment_method_details: {
      type: 'card',
      card: { brand: 'visa', case_type: 'chargeback', network_reason_code: '83' },
    },
    reason: 'fraudulent',
    status: 'needs_response',
  } as unknown as Stripe.Dispute;
  world.store.put('disputes', dispute);
  world.store.put('charges', { ...charge, disputed: true });
  emit(world, 'charge.dispute.created', dispute);
  emit(world, 'charge.dispute.funds_withdrawn', dispute);
  return dispute;
}

/** The bank decides. A dispute that was won gives the money back. */
export function closeDispute(world: World, id: string, outcome: 'won' | 'lost'): Stripe.Dispute | undefined {
  const dispute = world.store.get('disputes', id);
  if (!dispute || dispute.status === 'won' || dispute.status === 'lost') return undefined;
  const returned =
    outcome === 'won'
      ? [bookTransaction(world, { type: 'adjustment', amount: dispute.amount, currency: dispute.currency, source: id })]
      : [];
  const closed = world.store.put('disputes', {
    ...dispute,
    balance_transactions: [...dispute.balance_transactions, ...returned],
    status: outcome,
  });
  if (outcome === 'won') emit(world, 'charge.dispute.funds_reinstated', closed);
  emit(world, 'charge.dispute.closed', closed);
  return closed;
}
