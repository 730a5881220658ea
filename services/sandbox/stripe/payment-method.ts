import type Stripe from 'stripe';
import type { MethodType } from '../records.ts';
import { stripeId } from './stripe-id.ts';
import type { TestCard } from './test-cards.ts';
import type { World } from './world.ts';

/** Who pays, as typed at the checkout page. */
export type Payer = { email: string | null; name: string | null; country: string | null };

export const NO_PAYER: Payer = { email: null, name: null, country: null };

/** The billing details of a payer; everything the page does not ask for is null. */
export function billingDetails(payer: Payer) {
  return {
    address: { city: null, country: payer.country, line1: null, line2: null, postal_code: null, state: null },
    email: payer.email,
    name: payer.name,
    phone: null,
    tax_id: null,
  };
}

/** Stores a payment method. The number of a card is never kept, only what Stripe shows of it. */
export function createMethod(
  world: World,
  input: { type: MethodType; card?: TestCard; payer: Payer; customer?: string | null },
): Stripe.PaymentMethod {
  const details = {
    card: input.card ? { card: cardFacts(input.card) } : {},
    klarna: { klarna: {} },
    paypal: {
      paypal: { country: input.payer.country, payer_email: input.payer.email, payer_id: 'SANDBOXPAYER1' },
    },
  }[input.type];
  const method = {
    id: stripeId('pm'),
    object: 'payment_method',
    allow_redisplay: 'limited',
    billing_details: billingDetails(input.payer),
    created: world.clock.unix(),
    customer: input.customer ?? null,
    customer_account: null,
    livemode: false,
    metadata: {},
    type: input.type,
    ...details,
  } as unknown as Stripe.PaymentMethod;
  return world.store.put('methods', method);
}

function cardFacts(card: TestCard) {
  return {
    brand: card.brand,
    checks: { address_line1_check: null, address_postal_code_check: null, cvc_check: 'pass' },
    country: 'US',
    display_brand: card.brand === 'amex' ? 'american_express' : card.brand,
    exp_month: 12,
    exp_year: 2034,
    fingerprint: `sandbox${card.number.slice(-8)}`,
    funding: 'credit',
    generated_from: null,
    last4: card.number.slice(-4),
    networks: { available: [card.brand], preferred: null },
    regulated_status: 'unregulated',
    three_d_secure_usage: { supported: true },
    wallet: null,
  };
}

/** `payment_method_details` of a charge. */
export function methodDetails(
  method: Stripe.PaymentMethod,
  authenticated: boolean,
): Stripe.Charge.PaymentMethodDetails {
  if (method.type === 'card' && method.card) {
    const { brand, checks, country, exp_month, exp_year, fingerprint, funding, last4, wallet } = method.card;
    return {
      type: 'card',
      card: {
        amount_authorized: null,
        authorization_code: null,
        brand,
        checks,
        country,
        exp_month,
        exp_year,
        fingerprint,
        funding,
        installments: null,
        last4,
        mandate: null,
        network: brand,
        network_token: { used: false },
        network_transaction_id: '000000000000000',
        regulated_status: 'unregulated',
        three_d_secure: authenticated
          ? { authentication_flow: 'challenge', result: 'authenticated', result_reason: null, version: '2.2.0' }
          : null,
        wallet,
      },
    } as unknown as Stripe.Charge.PaymentMethodDetails;
  }
  if (method.type === 'klarna') {
    return {
      type: 'klarna',
      klarna: { payer_details: null, payment_method_category: 'pay_later', preferred_locale: 'en-US' },
    } as unknown as Stripe.Charge.PaymentMethodDetails;
  }
  return { type: method.type, [method.type]: { ...method.paypal } } as unknown as Stripe.Charge.PaymentMethodDetails;
}
