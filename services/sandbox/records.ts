import type Stripe from 'stripe';

/** Where the sandbox writes its own log; every logger of the project fits. */
export type SandboxLog = {
  info(message: string, fields?: Record<string, unknown>): unknown;
  warn(message: string, fields?: Record<string, unknown>): unknown;
  error(message: string, fields?: Record<string, unknown>): unknown;
};

/** Seconds since 1970, as Stripe writes times. */
export type UnixSeconds = number;

/** A way of paying that the checkout page offers. */
export type MethodType = 'card' | 'klarna' | 'paypal';

/** A Checkout Session and what Stripe keeps beside it. */
export type SessionRecord = {
  id: string;
  session: Stripe.Checkout.Session;
  line_items: Stripe.LineItem[];
  /** The name the checkout page shows: `branding_settings.display_name`, or the account's. */
  merchant: string;
  /** From `payment_intent_data`: copied to the intent when a payment is first tried. */
  intent_data: { metadata: Record<string, string>; description: string | null; receipt_email: string | null };
  /** A payment that waits for the person: 3-D Secure, or the page of a redirect method. */
  step?: { kind: 'three_d_secure' | 'klarna' | 'paypal' } | undefined;
  /** A delayed payment that will end by itself; `at` in sandbox milliseconds. */
  settle?: { at: number; succeeds: boolean } | undefined;
};

/** One attempt to deliver an event. `status` is absent when no answer came. */
export type DeliveryAttempt = { at: string; status?: number; error?: string; ms: number };

/** An event on its way to one endpoint. */
export type Delivery = {
  endpoint: string;
  url: string;
  /** When it was first to be sent. */
  since: string;
  state: 'pending' | 'delivered' | 'failed' | 'dropped';
  attempts: DeliveryAttempt[];
};

export type EventRecord = { id: string; event: Stripe.Event };

/** Where an event went; apart from the event, which is large and never changes. `id` is the event's. */
export type DeliveriesRecord = { id: string; deliveries: Delivery[] };

export type EndpointRecord = { id: string; endpoint: Stripe.WebhookEndpoint; secret: string };

/** A stored answer; `expires_at` in sandbox milliseconds (Stripe keeps keys for at least 24 h). */
export type IdempotencyRecord = {
  id: string;
  fingerprint: string;
  path: string;
  request_id: string;
  status: number;
  body: unknown;
  expires_at: number;
};

/** A refund that changes by itself later, as those of two test cards do; `at` in sandbox milliseconds. */
export type RefundRecord = {
  id: string;
  refund: Stripe.Refund;
  settle?: { at: number; status: 'succeeded' | 'failed' } | undefined;
};

export type MailRecord = {
  id: string;
  at: string;
  from: string;
  to: string[];
  subject: string;
  text: string;
  html: string | null;
  links: string[];
  headers: Record<string, string>;
  /** The message as received, base64, because a mail is bytes and not text. */
  raw: string;
};

/** The kinds of record the store keeps. */
export type Records = {
  sessions: SessionRecord;
  intents: Stripe.PaymentIntent;
  charges: Stripe.Charge;
  refunds: RefundRecord;
  customers: Stripe.Customer;
  methods: Stripe.PaymentMethod;
  transactions: Stripe.BalanceTransaction;
  disputes: Stripe.Dispute;
  events: EventRecord;
  deliveries: DeliveriesRecord;
  endpoints: EndpointRecord;
  idempotency: IdempotencyRecord;
  mails: MailRecord;
  meta: { id: string; value: number };
};
