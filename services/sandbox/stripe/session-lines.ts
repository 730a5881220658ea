import type Stripe from 'stripe';
import { requireChargeable, requireCurrency } from './currency.ts';
import { mergeMetadata } from './params.ts';
import { refuse } from './stripe-error.ts';
import { stripeId } from './stripe-id.ts';

type Create = Stripe.Checkout.SessionCreateParams;
type Line = Stripe.Checkout.SessionCreateParams.LineItem;

/** The lines of a session with their sum. Prices and products made inline exist only inside them. */
export function lineItems(params: Create, created: number) {
  const lines = params.line_items ?? [];
  if (lines.length === 0) throw refuse.missing('line_items');
  const items = lines.map((line, index) => lineItem(line, index, created));
  const currency = items[0]?.currency ?? 'usd';
  const stranger = items.find((item) => item.currency !== currency);
  if (stranger) {
    throw refuse.invalid(
      `The \`line_items\` parameter has prices in different currencies: ${currency} and ${stranger.currency}. All prices of a Checkout Session must share one.`,
      { param: 'line_items' },
    );
  }
  if (params.currency && params.currency.toLowerCase() !== currency) {
    throw refuse.invalid(`\`currency\` is ${params.currency}, but the prices are in ${currency}.`, {
      param: 'currency',
    });
  }
  const total = items.reduce((sum, item) => sum + item.amount_total, 0);
  if (total > 0) requireChargeable(total, currency, "The Checkout Session's total amount due");
  return { items, currency, total };
}

function lineItem(line: Line, index: number, created: number): Stripe.LineItem {
  const at = `line_items[${index}]`;
  const data = line.price_data;
  if (!data) throw refuse.missing(`${at}[price]`);
  if (!data.product_data) throw refuse.missing(`${at}[price_data][product_data]`);
  if (data.unit_amount === undefined) throw refuse.missing(`${at}[price_data][unit_amount]`);
  if (line.quantity === undefined) throw refuse.missing(`${at}[quantity]`);
  const currency = requireCurrency(data.currency, `${at}[price_data][currency]`);
  const total = data.unit_amount * line.quantity;
  return {
    id: stripeId('li'),
    object: 'item',
    adjustable_quantity: null,
    amount_discount: 0,
    amount_subtotal: total,
    amount_tax: 0,
    amount_total: total,
    currency,
    description: data.product_data.name,
    metadata: mergeMetadata({}, line.metadata),
    price: {
      id: stripeId('price'),
      object: 'price',
      active: false,
      billing_scheme: 'per_unit',
      created,
      currency,
      custom_unit_amount: null,
      livemode: false,
      lookup_key: null,
      metadata: {},
      nickname: null,
      product: stripeId('prod'),
      recurring: null,
      tax_behavior: data.tax_behavior ?? 'unspecified',
      tiers_mode: null,
      transform_quantity: null,
      type: 'one_time',
      unit_amount: data.unit_amount,
      // A decimal travels as text.
      unit_amount_decimal: String(data.unit_amount),
    },
    quantity: line.quantity,
  } as unknown as Stripe.LineItem;
}
