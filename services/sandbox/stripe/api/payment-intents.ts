import type Stripe from 'stripe';
import { bookCharge } from '../charge.ts';
import { requireChargeable, requireCurrency } from '../currency.ts';
import { cancelIntent, createIntent, DYNAMIC_TYPES, failIntent, requireAction, succeedIntent } from '../intent.ts';
import { inRange, listPage } from '../list.ts';
import {
  cosmetic,
  expand,
  type Fields,
  flag,
  integer,
  mergeMetadata,
  metadata,
  page,
  text,
  unsupported,
} from '../params.ts';
import { createMethod, NO_PAYER } from '../payment-method.ts';
import { refuse } from '../stripe-error.ts';
import { cardByNumber, TEST_METHODS } from '../test-cards.ts';
import type { World } from '../world.ts';
import { type Endpoint, endpoint } from './endpoint.ts';

const PATH = '/v1/payment_intents';
const types = { type: 'list', of: text({ max: 40 }) } as const;

const common = {
  allowed_payment_method_types: types,
  amount_details: unsupported,
  capture_method: text({ oneOf: ['automatic', 'automatic_async'] }),
  customer_account: unsupported,
  excluded_payment_method_types: types,
  expand,
  hooks: unsupported,
  payment_details: cosmetic,
  payment_method: text(),
  payment_method_data: unsupported,
  payment_method_options: cosmetic,
  receipt_email: text({ max: 512, unset: true }),
  setup_future_usage: unsupported,
  shipping: cosmetic,
} as const;

const createFields: Fields<Stripe.PaymentIntentCreateParams> = {
  ...common,
  amount: integer({ required: true, min: 1 }),
  application_fee_amount: unsupported,
  automatic_payment_methods: {
    type: 'object',
    fields: { enabled: { type: 'boolean', required: true }, allow_redirects: text({ oneOf: ['always', 'never'] }) },
  },
  confirm: flag,
  confirmation_method: text({ oneOf: ['automatic', 'manual'] }),
  confirmation_token: unsupported,
  currency: text({ required: true, max: 3 }),
  customer: text(),
  description: text({ max: 1000 }),
  error_on_requires_action: unsupported,
  mandate: unsupported,
  mandate_data: unsupported,
  metadata,
  off_session: cosmetic,
  on_behalf_of: unsupported,
  payment_method_configuration: unsupported,
  radar_options: cosmetic,
  return_url: text({ url: true }),
  statement_descriptor: cosmetic,
  statement_descriptor_suffix: cosmetic,
  transfer_data: unsupported,
  transfer_group: cosmetic,
  use_stripe_sdk: cosmetic,
};

const confirmFields: Fields<Stripe.PaymentIntentConfirmParams> = {
  ...common,
  amount_to_confirm: unsupported,
  confirmation_token: unsupported,
  error_on_requires_action: unsupported,
  mandate: unsupported,
  mandate_data: unsupported,
  off_session: cosmetic,
  radar_options: cosmetic,
  return_url: text({ url: true }),
  use_stripe_sdk: cosmetic,
};

const updateFields: Fields<Stripe.PaymentIntentUpdateParams> = {
  ...common,
  amount: integer({ min: 1 }),
  application_fee_amount: unsupported,
  currency: unsupported,
  customer: unsupported,
  description: text({ max: 1000 }),
  metadata,
  payment_method_configuration: unsupported,
  statement_descriptor: cosmetic,
  statement_descriptor_suffix: cosmetic,
  transfer_data: unsupported,
  transfer_group: cosmetic,
};

const listFields: Fields<Stripe.PaymentIntentListParams> = {
  ...page,
  created: { type: 'range' },
  customer: text(),
  customer_account: unsupported,
};

const cancelFields: Fields<Stripe.PaymentIntentCancelParams> = {
  expand,
  cancellation_reason: text({ oneOf: ['abandoned', 'duplicate', 'fraudulent', 'requested_by_customer'] }),
};

const OPEN = ['requires_payment_method', 'requires_confirmation', 'requires_action'];

function requireIntent(world: World, id: string): Stripe.PaymentIntent {
  const intent = world.store.get('intents', id);
  if (!intent) throw refuse.noSuch('payment_intent', id, 'intent');
  return intent;
}

function requireOpen(intent: Stripe.PaymentIntent, verb: string): void {
  if (OPEN.includes(intent.status)) return;
  throw refuse.conflict(
    `You cannot ${verb} this PaymentIntent because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be used here: ${OPEN.join(', ')}.`,
    { code: 'payment_intent_unexpected_state' },
  );
}

/** Pays by a stored method or one of the ready-made `pm_card_*`. A refusal by the bank is a 402, as at Stripe. */
function confirm(world: World, intent: Stripe.PaymentIntent, methodId: string | undefined): Stripe.PaymentIntent {
  requireOpen(intent, 'confirm');
  const chosen = methodId ?? (typeof intent.payment_method === 'string' ? intent.payment_method : undefined);
  if (!chosen) {
    throw refuse.conflict(
      'You cannot confirm this PaymentIntent because it is missing a payment method. Update the PaymentIntent with a payment method and then confirm it again.',
      { code: 'payment_intent_unexpected_state' },
    );
  }
  const number = TEST_METHODS[chosen];
  const stored = world.store.get('methods', chosen);
  if (!stored && number === undefined) throw refuse.noSuch('PaymentMethod', chosen, 'payment_method', 400);
  const card = cardByNumber(number ?? '4242424242424242');
  const method = stored ?? createMethod(world, { type: 'card', card, payer: NO_PAYER });
  if (card.outcome.kind === 'three_d_secure') {
    return requireAction(world, intent, method, `${world.publicUrl()}/c/intent/${intent.id}/step`);
  }
  if (card.outcome.kind === 'declined') {
    const { code, declineCode, message } = card.outcome;
    const failed = failIntent(world, intent, method, card.outcome);
    throw refuse.card(message, code, {
      charge: failed.latest_charge,
      ...(declineCode ? { decline_code: declineCode } : {}),
      payment_intent: structuredClone(failed),
      payment_method: structuredClone(method),
    });
  }
  const paid = succeedIntent(world, intent, method);
  bookCharge(world, paid.chargeId);
  return paid.intent;
}

/** https://docs.stripe.com/api/payment_intents */
export const paymentIntents: Endpoint[] = [
  endpoint('POST', PATH, createFields, (world, params) => {
    const currency = requireCurrency(params.currency, 'currency');
    requireChargeable(params.amount, currency, 'Amount', 'amount');
    if (params.customer && !world.store.get('customers', params.customer)) {
      throw refuse.noSuch('customer', params.customer, 'customer', 400);
    }
    const allowed = params.allowed_payment_method_types ?? null;
    const offered = params.automatic_payment_methods?.allow_redirects === 'never' ? ['card'] : DYNAMIC_TYPES;
    const intent = createIntent(world, {
      amount: params.amount,
      currency,
      metadata: mergeMetadata({}, params.metadata),
      description: params.description ?? null,
      receipt_email: params.receipt_email ?? null,
      customer: params.customer ?? null,
      allowed,
      types: offered.filter((type) => !allowed || allowed.includes(type)),
    });
    return params.confirm ? confirm(world, intent, params.payment_method) : intent;
  }),
  endpoint('GET', PATH, listFields, (world, params) => {
    const wanted = world.store
      .all('intents')
      .filter(
        (intent) =>
          inRange(intent.created, params.created) && (!params.customer || intent.customer === params.customer),
      );
    return listPage(wanted, params, { url: PATH, kind: 'payment_intent' });
  }),
  endpoint('GET', `${PATH}/:id`, { expand, client_secret: text() }, (world, _params, id) => requireIntent(world, id)),
  endpoint('POST', `${PATH}/:id`, updateFields, (world, params, id) => {
    const intent = requireIntent(world, id);
    if (params.amount !== undefined) requireOpen(intent, 'update');
    return world.store.put('intents', {
      ...intent,
      amount: params.amount ?? intent.amount,
      description: params.description ?? intent.description,
      metadata: mergeMetadata(intent.metadata, params.metadata),
    });
  }),
  endpoint('POST', `${PATH}/:id/confirm`, confirmFields, (world, params, id) =>
    confirm(world, requireIntent(world, id), params.payment_method),
  ),
  endpoint('POST', `${PATH}/:id/cancel`, cancelFields, (world, params, id) => {
    const intent = requireIntent(world, id);
    if (world.store.all('sessions').some((record) => record.session.payment_intent === id)) {
      throw refuse.conflict(
        'You cannot cancel this PaymentIntent because it was created by Checkout. To cancel it, expire the Checkout Session.',
        { code: 'payment_intent_unexpected_state' },
      );
    }
    requireOpen(intent, 'cancel');
    return cancelIntent(world, intent, params.cancellation_reason ?? null);
  }),
];
