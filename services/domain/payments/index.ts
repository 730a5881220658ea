/** Payments, attempts, refunds, incidents; Stripe's gateway. See README.md. */
export { UI_MODES, type UiMode } from './attempt.ts';
export type { PaymentsDeps } from './deps.ts';
export {
  type Gateway,
  GatewayError,
  type GatewayOutcome,
  type Observation,
  type RefundObservation,
  type SessionRequest,
} from './gateway.ts';
export { refundDuplicateQueue, resolveAttemptQueue } from './jobs.ts';
export { type CheckoutSession, createPayments, type OrderAction, type Payments } from './service.ts';
export { PAYMENT_STATES, type PaymentState } from './state.ts';
export { type IncidentKind, type IncidentRow, listIncidents } from './store/incidents.ts';
export { listPayments, type PaymentListRow } from './store/payments.ts';
export { createStripeGateway, STRIPE_API_VERSION, type StripeGatewayInput } from './stripe.ts';
export { stripeEventHandlers } from './stripe-events.ts';
