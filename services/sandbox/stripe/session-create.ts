import type Stripe from 'stripe';
import type { SessionRecord } from '../records.ts';
import { DYNAMIC_TYPES } from './intent.ts';
import { mergeMetadata } from './params.ts';
import { lineItems } from './session-lines.ts';
import { refuse } from './stripe-error.ts';
import { randomLetters, stripeId } from './stripe-id.ts';
import type { World } from './world.ts';

type Create = Stripe.Checkout.SessionCreateParams;

/** A session lives between 30 minutes and 24 hours. */
const SHORTEST_SECONDS = 30 * 60;
const LONGEST_SECONDS = 24 * 3600;

/** Makes a session of checked parameters: Stripe's rules between them are here, those of one alone in the fields. */
export function createSession(world: World, params: Create): SessionRecord {
  requireMode(params);
  const types = offeredTypes(params);
  requireUrls(params, types);
  const id = stripeId('cs');
  const created = world.clock.unix();
  const { items, currency, total } = lineItems(params, created);
  const expires = params.expires_at ?? created + LONGEST_SECONDS;
  requireExpiry(expires, created);
  if (params.customer && !world.store.get('customers', params.customer)) {
    throw refuse.noSuch('customer', params.customer, 'customer', 400);
  }
  if (params.customer && params.customer_email) {
    throw refuse.invalid('You may only specify one of these parameters: customer, customer_email.', {
      param: 'customer_email',
      code: 'parameters_exclusive',
    });
  }
  if (params.customer_email && !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(params.customer_email)) {
    throw refuse.invalid(`Invalid email address: ${params.customer_email}`, {
      param: 'customer_email',
      code: 'email_invalid',
    });
  }
  const hosted = (params.ui_mode ?? 'hosted_page') === 'hosted_page';
  const session = {
    ...FIXED,
    id,
    allowed_payment_method_types: params.allowed_payment_method_types ?? null,
    amount_subtotal: total,
    amount_total: total,
    cancel_url: params.cancel_url ?? null,
    client_reference_id: params.client_reference_id ?? null,
    client_secret: hosted ? null : `${id}_secret_${randomLetters(40)}`,
    created,
    currency,
    customer: params.customer ?? null,
    customer_creation: params.customer ? null : (params.customer_creation ?? 'if_required'),
    customer_email: params.customer_email ?? null,
    customer_details: params.customer_email ? customerDetails(params.customer_email, null, null) : null,
    expires_at: expires,
    integration_identifier: params.integration_identifier ?? null,
    metadata: mergeMetadata({}, params.metadata),
    payment_method_types: [...types],
    payment_status: total === 0 ? 'no_payment_required' : 'unpaid',
    redirect_on_completion: hosted ? undefined : (params.redirect_on_completion ?? 'always'),
    return_url: params.return_url,
    submit_type: params.submit_type ?? null,
    success_url: params.success_url ?? null,
    ui_mode: params.ui_mode ?? 'hosted_page',
    url: hosted ? `${world.publicUrl()}/c/pay/${id}` : null,
  } as unknown as Stripe.Checkout.Session;
  const data = params.payment_intent_data ?? {};
  return world.store.put('sessions', {
    id,
    session,
    line_items: items,
    merchant: params.branding_settings?.display_name ?? 'Klar sandbox',
    intent_data: {
      metadata: mergeMetadata({}, data.metadata),
      description: data.description ?? null,
      receipt_email: data.receipt_email ?? null,
    },
  });
}

/** What every session says alike. */
const FIXED = {
  object: 'checkout.session',
  adaptive_pricing: null,
  after_expiration: null,
  allow_promotion_codes: null,
  automatic_tax: { enabled: false, liability: null, provider: null, status: null },
  billing_address_collection: null,
  collected_information: null,
  consent: null,
  consent_collection: null,
  currency_conversion: null,
  custom_fields: [],
  custom_text: { after_submit: null, shipping_address: null, submit: null, terms_of_service_acceptance: null },
  customer_account: null,
  discounts: [],
  invoice: null,
  invoice_creation: null,
  livemode: false,
  locale: null,
  managed_payments: null,
  mode: 'payment',
  origin_context: null,
  payment_intent: null,
  payment_link: null,
  payment_method_collection: 'if_required',
  payment_method_configuration_details: null,
  payment_method_options: { card: { request_three_d_secure: 'automatic' } },
  permissions: null,
  recovered_from: null,
  saved_payment_method_options: null,
  setup_intent: null,
  shipping_address_collection: null,
  shipping_cost: null,
  shipping_options: [],
  status: 'open',
  subscription: null,
  total_details: { amount_discount: 0, amount_shipping: 0, amount_tax: 0 },
  wallet_options: null,
};

export function customerDetails(email: string | null, name: string | null, country: string | null) {
  return {
    address: country ? { city: null, country, line1: null, line2: null, postal_code: null, state: null } : null,
    business_name: null,
    email,
    individual_name: null,
    name,
    phone: null,
    tax_exempt: 'none',
    tax_ids: [],
  } as Stripe.Checkout.Session.CustomerDetails;
}

function requireMode(params: Create): void {
  if (params.mode === undefined) throw refuse.missing('mode');
  if (params.mode !== 'payment') {
    throw refuse.invalid(`The sandbox plays mode \`payment\` only, not \`${params.mode}\`.`, { param: 'mode' });
  }
}

function offeredTypes(params: Create): readonly string[] {
  const { allowed_payment_method_types: allowed, excluded_payment_method_types: excluded } = params;
  const types = DYNAMIC_TYPES.filter((type) => (!allowed || allowed.includes(type)) && !excluded?.includes(type));
  if (types.length > 0) return types;
  throw refuse.invalid(
    'No valid payment method types for this Checkout Session. Please ensure that you have activated payment methods compatible with your chosen currency in your dashboard.',
    { param: allowed ? 'allowed_payment_method_types' : 'excluded_payment_method_types' },
  );
}

function requireUrls(params: Create, types: readonly string[]): void {
  const mode = params.ui_mode ?? 'hosted_page';
  const forbid = (name: 'success_url' | 'cancel_url' | 'return_url' | 'redirect_on_completion') => {
    if (params[name] === undefined) return;
    throw refuse.invalid(`\`${name}\` is not allowed when \`ui_mode\` is \`${mode}\`.`, { param: name });
  };
  if (mode === 'hosted_page') {
    forbid('return_url');
    forbid('redirect_on_completion');
    if (params.success_url === undefined) throw refuse.missing('success_url');
    return;
  }
  forbid('success_url');
  forbid('cancel_url');
  if (mode !== 'embedded_page') forbid('redirect_on_completion');
  if (params.redirect_on_completion === 'never') {
    forbid('return_url');
    return;
  }
  // A card needs no way back; a method with a page of its own does.
  const redirects = mode === 'embedded_page' || types.some((type) => type !== 'card');
  if (redirects && params.return_url === undefined) throw refuse.missing('return_url');
}

function requireExpiry(expires: number, created: number): void {
  const param = 'expires_at';
  // Stripe forgives the seconds that a request is on its way.
  if (expires < created + SHORTEST_SECONDS - 10) {
    throw refuse.invalid('The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.', {
      param,
    });
  }
  if (expires > created + LONGEST_SECONDS + 10) {
    throw refuse.invalid('The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.', {
      param,
    });
  }
}
