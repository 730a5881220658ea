import type Stripe from 'stripe';
import { bookCharge, createCharge, endCharge, type Failure } from './charge.ts';
import { emit } from './emit.ts';
import { randomLetters, stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

/** What a new intent is made of. */
export type IntentInput = {
  amount: number;
  currency: string;
  metadata: Record<string, string>;
  description: string | null;
  receipt_email: string | null;
  customer: string | null;
  allowed: readonly string[] | null;
  types: readonly string[];
};

/** The methods a session or intent offers unless it narrows them: what the account has switched on. */
export const DYNAMIC_TYPES: readonly string[] = ['card', 'klarna', 'paypal'];

/** Stores an intent that waits for a way to pay, and says `payment_intent.created`. */
export function createIntent(world: World, input: IntentInput): Stripe.PaymentIntent {
  const id = stripeId('pi');
  const intent = {
    id,
    object: 'payment_intent',
    allowed_payment_method_types: input.allowed,
    amount: input.amount,
    amount_capturable: 0,
    amount_details: { tip: {} },
    amount_received: 0,
    application: null,
    application_fee_amount: null,
    automatic_payment_methods: null,
    canceled_at: null,
    cancellation_reason: null,
    capture_method: 'automatic_async',
    client_secret: `${id}_secret_${randomLetters(25)}`,
    confirmation_method: 'automatic',
    created: world.clock.unix(),
    currency: input.currency,
    customer: input.customer,
    customer_account: null,
    description: input.description,
    excluded_payment_method_types: null,
    last_payment_error: null,
    latest_charge: null,
    livemode: false,
    managed_payments: null,
    metadata: input.metadata,
    next_action: null,
    on_behalf_of: null,
    payment_method: null,
    payment_method_configuration_details: null,
    payment_method_options: { card: { installments: null, mandate_options: null, network: null } },
    payment_method_types: [...input.types],
    payment_record: null,
    processing: null,
    receipt_email: input.receipt_email,
    review: null,
    setup_future_usage: null,
    shipping: null,
    source: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: 'requires_payment_method',
    transfer_data: null,
    transfer_group: null,
  } as unknown as Stripe.PaymentIntent;
  world.store.put('intents', intent);
  emit(world, 'payment_intent.created', intent);
  return intent;
}

/** The money is there: `payment_intent.succeeded`, `charge.succeeded`. The caller books the charge afterwards. */
export function succeedIntent(
  world: World,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
  options: { authenticated?: boolean } = {},
): { intent: Stripe.PaymentIntent; chargeId: string } {
  const pending = intent.status === 'processing' ? world.store.get('charges', String(intent.latest_charge)) : undefined;
  const charge = pending
    ? endCharge(world, pending)
    : createCharge(world, { intent, method, status: 'succeeded', authenticated: options.authenticated ?? false });
  const paid = world.store.put('intents', {
    ...intent,
    amount_received: intent.amount,
    last_payment_error: null,
    latest_charge: charge.id,
    next_action: null,
    payment_method: method.id,
    status: 'succeeded',
  });
  emit(world, 'payment_intent.succeeded', paid);
  emit(world, 'charge.succeeded', charge);
  return { intent: paid, chargeId: charge.id };
}

/** The bank refused: `payment_intent.payment_failed`, `charge.failed`. The intent can be tried again. */
export function failIntent(
  world: World,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
  failure: Failure,
  options: { charge: boolean } = { charge: true },
): Stripe.PaymentIntent {
  const pending = intent.status === 'processing' ? world.store.get('charges', String(intent.latest_charge)) : undefined;
  let charge: Stripe.Charge | undefined;
  if (pending) charge = endCharge(world, pending, failure);
  else if (options.charge) charge = createCharge(world, { intent, method, status: 'failed', failure });
  const failed = world.store.put('intents', {
    ...intent,
    last_payment_error: {
      type: method.type === 'card' ? 'card_error' : 'invalid_request_error',
      ...(charge ? { charge: charge.id } : {}),
      code: failure.code,
      ...(failure.declineCode ? { decline_code: failure.declineCode } : {}),
      doc_url: `https://docs.stripe.com/error-codes/${failure.code.replaceAll('_', '-')}`,
      message: failure.message,
      payment_method: method,
    } as Stripe.PaymentIntent.LastPaymentError,
    latest_charge: charge?.id ?? intent.latest_charge,
    next_action: null,
    payment_method: null,
    status: 'requires_payment_method',
  });
  emit(world, 'payment_intent.payment_failed', failed);
  if (charge) emit(world, 'charge.failed', charge);
  return failed;
}

/** The person must do something first: 3-D Secure, or the page of a redirect method. */
export function requireAction(
  world: World,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
  url: string,
): Stripe.PaymentIntent {
  const waiting = world.store.put('intents', {
    ...intent,
    last_payment_error: null,
    next_action: { type: 'redirect_to_url', redirect_to_url: { return_url: url, url } },
    payment_method: method.id,
    status: 'requires_action',
  });
  emit(world, 'payment_intent.requires_action', waiting);
  return waiting;
}

/** A delayed method was approved and the money is on its way. */
export function processIntent(
  world: World,
  intent: Stripe.PaymentIntent,
  method: Stripe.PaymentMethod,
): Stripe.PaymentIntent {
  const charge = createCharge(world, { intent, method, status: 'pending' });
  const processing = world.store.put('intents', {
    ...intent,
    latest_charge: charge.id,
    next_action: null,
    payment_method: method.id,
    status: 'processing',
  });
  emit(world, 'payment_intent.processing', processing);
  emit(world, 'charge.pending', charge);
  return processing;
}

/** Cancels an intent that has not ended. */
export function cancelIntent(
  world: World,
  intent: Stripe.PaymentIntent,
  reason: Stripe.PaymentIntent.CancellationReason | null,
): Stripe.PaymentIntent {
  const canceled = world.store.put('intents', {
    ...intent,
    canceled_at: world.clock.unix(),
    cancellation_reason: reason,
    next_action: null,
    status: 'canceled',
  });
  emit(world, 'payment_intent.canceled', canceled);
  return canceled;
}

/** Books the charge that paid an intent. */
export const bookIntent = (world: World, paid: { chargeId: string }): void => bookCharge(world, paid.chargeId);
