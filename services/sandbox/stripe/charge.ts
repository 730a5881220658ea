import type Stripe from 'stripe';
import { bookTransaction } from './balance.ts';
import { emit } from './emit.ts';
import { methodDetails } from './payment-method.ts';
import { stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

/** Why a bank refused. `declineCode` is null for refusals that Stripe gives a code of their own. */
export type Failure = { code: string; declineCode: string | null; message: string };

type ChargeInput = {
  intent: Stripe.PaymentIntent;
  method: Stripe.PaymentMethod;
  status: 'succeeded' | 'pending' | 'failed';
  failure?: Failure | undefined;
  authenticated?: boolean;
};

/** Stores a charge of an intent. A succeeded one gets its balance transaction later, by `bookCharge`, as at Stripe. */
export function createCharge(
  world: World,
  { intent, method, status, failure, authenticated }: ChargeInput,
): Stripe.Charge {
  const id = stripeId(method.type === 'card' ? 'ch' : 'py');
  const paid = status === 'succeeded';
  const charge = {
    id,
    object: 'charge',
    amount: intent.amount,
    amount_captured: paid ? intent.amount : 0,
    amount_refunded: 0,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: null,
    billing_details: method.billing_details,
    calculated_statement_descriptor: 'KLAR SANDBOX',
    captured: paid,
    created: world.clock.unix(),
    currency: intent.currency,
    customer: intent.customer,
    description: intent.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: failure?.code ?? null,
    failure_message: failure?.message ?? null,
    fraud_details: {},
    livemode: false,
    metadata: { ...intent.metadata },
    on_behalf_of: null,
    outcome: outcomeOf(status, failure),
    paid,
    payment_intent: intent.id,
    payment_method: method.id,
    payment_method_details: methodDetails(method, authenticated ?? false),
    receipt_email: intent.receipt_email,
    receipt_number: null,
    receipt_url: status === 'failed' ? null : `${world.publicUrl()}/receipts/${id}`,
    refunded: false,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status,
    transfer_data: null,
    transfer_group: null,
  } as unknown as Stripe.Charge;
  return world.store.put('charges', charge);
}

function outcomeOf(status: ChargeInput['status'], failure: Failure | undefined) {
  if (status === 'pending') return null;
  const refused = failure !== undefined;
  return {
    advice_code: refused ? 'try_again_later' : null,
    network_advice_code: null,
    network_decline_code: refused ? '01' : null,
    network_status: refused ? 'declined_by_network' : 'approved_by_network',
    reason: refused ? (failure.declineCode ?? failure.code) : null,
    risk_level: 'normal',
    risk_score: 12,
    seller_message: refused ? 'The bank did not return any further details with this decline.' : 'Payment complete.',
    type: refused ? 'issuer_declined' : 'authorized',
  };
}

/** Ends a pending charge. */
export function endCharge(world: World, charge: Stripe.Charge, failure?: Failure): Stripe.Charge {
  const paid = failure === undefined;
  return world.store.put('charges', {
    ...charge,
    status: paid ? 'succeeded' : 'failed',
    paid,
    captured: paid,
    amount_captured: paid ? charge.amount : 0,
    failure_code: failure?.code ?? null,
    failure_message: failure?.message ?? null,
    outcome: outcomeOf(paid ? 'succeeded' : 'failed', failure) as Stripe.Charge.Outcome,
  });
}

/** Books the money of a succeeded charge; Stripe does it after the success and tells by `charge.updated`. */
export function bookCharge(world: World, chargeId: string): void {
  const charge = world.store.get('charges', chargeId);
  if (!charge || charge.balance_transaction !== null) return;
  const { id } = bookTransaction(world, {
    type: 'charge',
    amount: charge.amount,
    currency: charge.currency,
    source: charge.id,
  });
  const booked = world.store.put('charges', { ...charge, balance_transaction: id });
  emit(world, 'charge.updated', booked, { balance_transaction: null });
}
