import type Stripe from 'stripe';
import type { MoneyPhase, Observation, SessionRequest } from './gateway.ts';
import { fromStripe, toStripe } from './stripe-money.ts';

/** What is fetched with a session, so that one answer holds the money, the refunds and the receipt. */
export const SESSION_EXPAND = ['payment_intent.latest_charge'];

/**
 * The parameters of a session; pure, so that a repeat with the same idempotency key sends the same ones.
 * @throws KlarError unprocessable `amount_not_payable`
 */
export function sessionParams(request: SessionRequest): Stripe.Checkout.SessionCreateParams {
  const { orderId, attemptId, currency, uiMode, email } = request;
  const metadata = { order_id: orderId, attempt_id: attemptId };
  return {
    mode: 'payment',
    ui_mode: uiMode,
    client_reference_id: orderId,
    metadata,
    payment_intent_data: { metadata },
    line_items: request.lines.map(({ title, unitAmount, quantity }) => {
      const unit = toStripe({ amount: unitAmount, currency });
      return {
        quantity,
        price_data: {
          currency: unit.currency,
          unit_amount: unit.amount,
          // Our prices include tax: the charge must equal the order's total whatever tax settings the account has.
          tax_behavior: 'inclusive',
          product_data: { name: title },
        },
      };
    }),
    // The order is priced in one currency, and that one is compared before anything is handed over.
    adaptive_pricing: { enabled: false },
    ...(email === undefined ? {} : { customer_email: email }),
    ...(uiMode === 'hosted_page'
      ? { success_url: request.successUrl, cancel_url: request.cancelUrl }
      : { return_url: request.successUrl }),
    expand: SESSION_EXPAND,
  };
}

/** What of a session is read: a payment without a session can be shown as one. */
type SessionLike = Pick<
  Stripe.Checkout.Session,
  | 'id'
  | 'status'
  | 'payment_status'
  | 'payment_intent'
  | 'amount_total'
  | 'currency'
  | 'livemode'
  | 'metadata'
  | 'url'
  | 'client_secret'
  | 'expires_at'
  | 'customer'
>;

/** A payment intent as if a session without an id had made it. */
export function asSession(intent: Stripe.PaymentIntent): SessionLike {
  const { amount, currency, livemode, metadata, customer, created } = intent;
  return {
    id: '',
    status: 'complete',
    payment_status: intent.status === 'succeeded' ? 'paid' : 'unpaid',
    payment_intent: intent,
    amount_total: amount,
    currency,
    livemode,
    metadata,
    url: null,
    client_secret: null,
    expires_at: created,
    customer,
  };
}

/**
 * A fetched session in our words. Pure.
 * @param paidBy the payment that is known to have paid it, where the session names another by now
 */
export function observe(session: SessionLike, account: string, paidBy?: Stripe.PaymentIntent): Observation {
  const named = typeof session.payment_intent === 'object' ? session.payment_intent : null;
  const intent = paidBy ?? named;
  const charge = typeof intent?.latest_charge === 'object' ? intent.latest_charge : null;
  // The payment's own: the same number in another currency is other money.
  const stripeCurrency = intent?.currency ?? session.currency ?? '';
  const ours = (amount: number | null | undefined) =>
    fromStripe({ amount: amount ?? 0, currency: stripeCurrency })?.amount;
  const money = moneyPhase(session, intent);
  const details = charge?.payment_method_details ?? null;
  return {
    sessionId: session.id,
    status: sessionStatus(session),
    money,
    livemode: session.livemode,
    account,
    amount: session.amount_total === null ? undefined : ours(session.amount_total),
    currency: stripeCurrency.toUpperCase(),
    orderId: session.metadata?.order_id,
    attemptId: session.metadata?.attempt_id,
    captured: money === 'paid' ? (ours(intent?.amount_received ?? session.amount_total) ?? 0) : 0,
    refunded: ours(charge?.amount_refunded) ?? 0,
    url: session.url ?? undefined,
    clientSecret: session.client_secret ?? undefined,
    expiresAt: new Date(session.expires_at * 1000),
    paymentIntentId: paidBy?.id ?? idOf(session.payment_intent),
    chargeId: idOf(intent?.latest_charge),
    customerId: idOf(session.customer),
    methodType: details?.type,
    methodBrand: details?.card?.brand ?? undefined,
    methodLast4: details?.card?.last4 ?? undefined,
    receiptUrl: charge?.receipt_url ?? undefined,
    lastError: intent?.last_payment_error?.decline_code ?? intent?.last_payment_error?.code,
    ...(paidBy !== undefined && named?.status === 'succeeded'
      ? { stray: { paymentIntentId: named.id, captured: ours(named.amount_received) ?? 0 } }
      : {}),
  };
}

function sessionStatus({ status }: SessionLike): Observation['status'] {
  if (status === 'complete') return 'complete';
  return status === 'expired' ? 'expired' : 'open';
}

/**
 * Where the money is. `payment_status` decides alone when it says paid; an unpaid session that was completed is a
 * delayed method, and its intent tells whether it is on its way or came back.
 * https://docs.stripe.com/payments/checkout/fulfillment#delayed-notification
 */
function moneyPhase(session: SessionLike, intent: Stripe.PaymentIntent | null): MoneyPhase {
  if (session.payment_status === 'paid') return 'paid';
  if (intent?.status === 'processing') return 'processing';
  if (session.status !== 'complete') return 'none';
  return intent?.status === 'requires_payment_method' || intent?.status === 'canceled' ? 'failed' : 'processing';
}

function idOf(reference: string | { id: string } | null | undefined): string | undefined {
  return typeof reference === 'string' ? reference : reference?.id;
}
