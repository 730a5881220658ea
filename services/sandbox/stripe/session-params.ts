import type Stripe from 'stripe';
import { cosmetic, expand, type Fields, integer, metadata, type Spec, text, unsupported } from './params.ts';

/** Every way a session can be shown, in the words of the pinned API version. */
export const UI_MODES = ['elements', 'embedded_page', 'form', 'hosted_page'] as const;

type Create = Stripe.Checkout.SessionCreateParams;

const productData: Fields<Stripe.Checkout.SessionCreateParams.LineItem.PriceData.ProductData> = {
  name: text({ required: true, max: 5000 }),
  description: text({ max: 40_000 }),
  images: { type: 'list', of: text({ url: true, max: 2048 }), max: 8 },
  metadata,
  tax_code: cosmetic,
  tax_details: unsupported,
  unit_label: cosmetic,
};

const priceData: Fields<Stripe.Checkout.SessionCreateParams.LineItem.PriceData> = {
  currency: text({ required: true, max: 3 }),
  product: unsupported,
  product_data: { type: 'object', fields: productData },
  recurring: unsupported,
  tax_behavior: cosmetic,
  unit_amount: integer({ min: 0 }),
  unit_amount_decimal: unsupported,
};

const lineItem: Fields<Stripe.Checkout.SessionCreateParams.LineItem> = {
  adjustable_quantity: unsupported,
  metadata,
  price: unsupported,
  price_data: { type: 'object', fields: priceData },
  quantity: integer({ min: 1, max: 999_999 }),
  tax_rates: unsupported,
};

const intentData: Fields<Stripe.Checkout.SessionCreateParams.PaymentIntentData> = {
  application_fee_amount: unsupported,
  capture_method: unsupported,
  description: text({ max: 1000 }),
  metadata,
  on_behalf_of: unsupported,
  receipt_email: text({ max: 512 }),
  setup_future_usage: unsupported,
  shipping: cosmetic,
  statement_descriptor: cosmetic,
  statement_descriptor_suffix: cosmetic,
  transfer_data: unsupported,
  transfer_group: cosmetic,
};

const list = (of: Spec): Spec => ({ type: 'list', of });

/** The parameters of `POST /v1/checkout/sessions`: the SDK's, one by one. */
export const sessionCreateFields: Fields<Create> = {
  adaptive_pricing: cosmetic,
  after_expiration: unsupported,
  allow_promotion_codes: unsupported,
  allowed_payment_method_types: list(text({ max: 40 })),
  automatic_tax: unsupported,
  billing_address_collection: cosmetic,
  branding_settings: cosmetic,
  cancel_url: text({ url: true }),
  client_reference_id: text({ max: 200 }),
  consent_collection: unsupported,
  currency: text({ max: 3 }),
  custom_fields: unsupported,
  custom_text: cosmetic,
  customer: text(),
  customer_account: unsupported,
  customer_creation: text({ oneOf: ['always', 'if_required'] }),
  customer_email: text({ max: 800 }),
  customer_update: cosmetic,
  discounts: unsupported,
  excluded_payment_method_types: list(text({ max: 40 })),
  expand,
  expires_at: integer(),
  integration_identifier: text({ max: 500 }),
  invoice_creation: unsupported,
  line_items: { type: 'list', of: { type: 'object', fields: lineItem }, max: 100 },
  locale: cosmetic,
  managed_payments: unsupported,
  metadata,
  mode: text({ oneOf: ['payment', 'setup', 'subscription'] }),
  name_collection: cosmetic,
  optional_items: unsupported,
  origin_context: cosmetic,
  payment_intent_data: { type: 'object', fields: intentData },
  payment_method_collection: cosmetic,
  payment_method_configuration: unsupported,
  payment_method_data: cosmetic,
  payment_method_options: cosmetic,
  permissions: unsupported,
  phone_number_collection: cosmetic,
  redirect_on_completion: text({ oneOf: ['always', 'if_required', 'never'] }),
  return_url: text({ url: true }),
  saved_payment_method_options: cosmetic,
  setup_intent_data: unsupported,
  shipping_address_collection: unsupported,
  shipping_options: unsupported,
  submit_type: text({ oneOf: ['auto', 'book', 'donate', 'pay', 'subscribe'] }),
  subscription_data: unsupported,
  success_url: text({ url: true }),
  tax_id_collection: unsupported,
  ui_mode: text({ oneOf: UI_MODES }),
  wallet_options: cosmetic,
};

/** The parameters of `GET /v1/checkout/sessions`. */
export const sessionListFields: Fields<Stripe.Checkout.SessionListParams> = {
  created: { type: 'range' },
  customer: text(),
  customer_account: unsupported,
  customer_details: { type: 'object', fields: { email: text({ required: true }) } },
  ending_before: text(),
  expand,
  limit: integer({ min: 1, max: 100 }),
  payment_intent: text(),
  payment_link: unsupported,
  starting_after: text(),
  status: text({ oneOf: ['complete', 'expired', 'open'] }),
  subscription: unsupported,
};

/** The parameters of `POST /v1/checkout/sessions/:id`. */
export const sessionUpdateFields: Fields<Stripe.Checkout.SessionUpdateParams> = {
  collected_information: unsupported,
  expand,
  line_items: unsupported,
  metadata,
  payment_intent_data: unsupported,
  shipping_options: unsupported,
};

export const expireFields: Fields<Stripe.Checkout.SessionExpireParams> = { expand };
export const retrieveFields: Fields<Stripe.Checkout.SessionRetrieveParams> = { expand };
