import type Stripe from 'stripe';
import type { MethodType, SessionRecord } from '../records.ts';
import { bookCharge, type Failure } from './charge.ts';
import { createCustomer } from './customer.ts';
import { openDispute } from './dispute.ts';
import { emit } from './emit.ts';
import { createIntent, failIntent, processIntent, requireAction, succeedIntent } from './intent.ts';
import { createMethod, NO_PAYER, type Payer } from './payment-method.ts';
import { customerDetails } from './session-create.ts';
import { type CardOutcome, cardByNumber, DECLINED, TEST_CARDS } from './test-cards.ts';
import type { World } from './world.ts';

/** How far a payment got. `closed`: the session was not open any more. */
export type PayResult =
  | { status: 'succeeded' }
  | { status: 'processing' }
  | { status: 'declined'; failure: Failure }
  | { status: 'requires_action'; step: 'three_d_secure' | 'klarna' | 'paypal' }
  | { status: 'closed' };

/** What the person chose at the checkout page. */
export type Choice = { method: MethodType; card?: string; payer?: Payer };

/** The person failed or refused 3-D Secure. */
export const AUTHENTICATION_FAILED: Failure = {
  code: 'payment_intent_authentication_failure',
  declineCode: null,
  message: 'We are unable to authenticate your payment method. Please choose a different payment method and try again.',
};
const CUSTOMER_DECLINED: Failure = {
  code: 'payment_method_customer_decline',
  declineCode: null,
  message: 'The payment was canceled at the payment provider.',
};
const PROVIDER_DECLINED: Failure = {
  code: 'payment_method_provider_decline',
  declineCode: null,
  message: 'The payment provider declined the payment after it had been approved.',
};

/** Tries to pay a session. Nothing happens when it is not open: two submits at once pay once. */
export function paySession(world: World, id: string, choice: Choice): PayResult {
  const record = world.store.get('sessions', id);
  if (record?.session.status !== 'open') return { status: 'closed' };
  const payer = payerOf(record, choice.payer);
  if (record.session.amount_total === 0) {
    completeSession(world, record, payer, { payment_status: 'no_payment_required' });
    return { status: 'succeeded' };
  }
  const intent = intentOf(world, record);
  const card = choice.method === 'card' ? cardByNumber(choice.card ?? '') : undefined;
  const method = createMethod(world, { type: choice.method, payer, ...(card ? { card } : {}) });
  const current = world.store.get('sessions', id) ?? record;
  if (!card) return waitForPerson(world, current, intent, method, choice.method === 'klarna' ? 'klarna' : 'paypal');
  if (card.outcome.kind === 'three_d_secure') return waitForPerson(world, current, intent, method, 'three_d_secure');
  return finishCard(world, current, intent, method, card.outcome, false);
}

/**
 * The person comes back from 3-D Secure or the page of a redirect method. `approve_fails_later`: a delayed method is
 * approved now and fails at its end.
 */
export function finishStep(
  world: World,
  id: string,
  decision: 'approve' | 'approve_fails_later' | 'refuse',
): PayResult {
  const record = world.store.get('sessions', id);
  const intent = record && world.store.get('intents', String(record.session.payment_intent));
  const method = intent && world.store.get('methods', String(intent.payment_method));
  if (record?.session.status !== 'open' || !record.step || intent?.status !== 'requires_action' || !method) {
    return { status: 'closed' };
  }
  const { step, ...rest } = record;
  const current = world.store.put('sessions', rest);
  if (step.kind === 'three_d_secure') {
    if (decision !== 'refuse') {
      return finishCard(world, current, intent, method, afterChallenge(method), true);
    }
    failIntent(world, intent, method, AUTHENTICATION_FAILED, { charge: false });
    return { status: 'declined', failure: AUTHENTICATION_FAILED };
  }
  if (decision === 'refuse') {
    failIntent(world, intent, method, CUSTOMER_DECLINED, { charge: false });
    return { status: 'declined', failure: CUSTOMER_DECLINED };
  }
  if (step.kind === 'paypal') {
    return finishCard(world, current, intent, method, { kind: 'approved' }, false);
  }
  processIntent(world, intent, method);
  const done = completeSession(world, current, payerOfMethod(method), { payment_status: 'unpaid' });
  const succeeds = decision === 'approve';
  world.store.put('sessions', { ...done, settle: { at: world.clock.nowMs() + world.delayedSettleMs, succeeds } });
  return { status: 'processing' };
}

/** Ends a delayed payment: `async_payment_succeeded` or `async_payment_failed`. */
export function settleSession(world: World, id: string, succeeds: boolean): boolean {
  const record = world.store.get('sessions', id);
  const intent = record && world.store.get('intents', String(record.session.payment_intent));
  const method = intent && world.store.get('methods', String(intent.payment_method));
  if (!record?.settle || intent?.status !== 'processing' || !method) return false;
  const { settle: _settled, ...rest } = record;
  if (!succeeds) {
    failIntent(world, intent, method, PROVIDER_DECLINED);
    world.store.put('sessions', rest);
    emit(world, 'checkout.session.async_payment_failed', rest.session);
    return true;
  }
  const { chargeId } = succeedIntent(world, intent, method);
  const session = { ...rest.session, payment_status: 'paid' as const };
  world.store.put('sessions', { ...rest, session });
  emit(world, 'checkout.session.async_payment_succeeded', session);
  bookCharge(world, chargeId);
  return true;
}

/** The intent of a session: made when a payment is first tried, then tried again. */
export function intentOf(world: World, record: SessionRecord, fresh = false): Stripe.PaymentIntent {
  const { session } = record;
  const known = fresh ? undefined : world.store.get('intents', String(session.payment_intent));
  if (known && known.status !== 'canceled') return known;
  const intent = createIntent(world, {
    amount: session.amount_total ?? 0,
    currency: session.currency ?? 'usd',
    metadata: { ...record.intent_data.metadata },
    description: record.intent_data.description,
    receipt_email: record.intent_data.receipt_email,
    customer: session.customer === null ? null : String(session.customer),
    allowed: session.allowed_payment_method_types,
    types: session.payment_method_types,
  });
  world.store.put('sessions', { ...record, session: { ...session, payment_intent: intent.id } });
  return intent;
}

/** Marks a session complete and says so. The caller has moved the money. */
export function completeSession(
  world: World,
  record: SessionRecord,
  payer: Payer,
  state: { payment_status: 'paid' | 'unpaid' | 'no_payment_required' },
): SessionRecord {
  const { step: _step, ...rest } = world.store.get('sessions', record.id) ?? record;
  const customer =
    rest.session.customer ??
    (rest.session.customer_creation === 'always'
      ? createCustomer(world, { email: payer.email, name: payer.name }).id
      : null);
  const done = world.store.put('sessions', {
    ...rest,
    session: {
      ...rest.session,
      client_secret: null,
      customer,
      customer_details: customerDetails(payer.email, payer.name, payer.country),
      payment_status: state.payment_status,
      status: 'complete',
      url: null,
    },
  });
  emit(world, 'checkout.session.completed', done.session);
  return done;
}

function waitForPerson(
  world: World,
  record: SessionRecord,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
  kind: 'three_d_secure' | 'klarna' | 'paypal',
): PayResult {
  requireAction(world, intent, method, `${world.publicUrl()}/c/pay/${record.id}/step`);
  world.store.put('sessions', { ...record, step: { kind } });
  return { status: 'requires_action', step: kind };
}

function finishCard(
  world: World,
  record: SessionRecord,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
  outcome: CardOutcome,
  authenticated: boolean,
): PayResult {
  if (outcome.kind === 'declined') {
    failIntent(world, intent, method, outcome);
    return { status: 'declined', failure: outcome };
  }
  const { chargeId } = succeedIntent(world, intent, method, { authenticated });
  completeSession(world, record, payerOfMethod(method), { payment_status: 'paid' });
  bookCharge(world, chargeId);
  if (outcome.kind === 'approved' && outcome.disputed) openDispute(world, chargeId);
  return { status: 'succeeded' };
}

/** What a card does after its challenge was passed; one of the test cards is declined even then. */
function afterChallenge(method: Stripe.PaymentMethod): CardOutcome {
  const { outcome } = TEST_CARDS.find(({ number }) => number.endsWith(method.card?.last4 ?? 'none')) ?? {};
  return outcome?.kind === 'three_d_secure' && outcome.afterwards === 'declined'
    ? { kind: 'declined', code: 'card_declined', declineCode: 'generic_decline', message: DECLINED }
    : { kind: 'approved' };
}

function payerOf(record: SessionRecord, typed: Payer = NO_PAYER): Payer {
  return { ...typed, email: record.session.customer_email ?? typed.email };
}

function payerOfMethod(method: Stripe.PaymentMethod): Payer {
  const { email, name, address } = method.billing_details;
  return { email, name, country: address?.country ?? null };
}
