import type { UiMode } from './attempt.ts';

/** What a session is made of. Stored with the attempt before the call, so that a repeat sends the same bytes. */
export interface SessionRequest {
  readonly orderId: string;
  readonly attemptId: string;
  /** Minor units of an ISO 4217 currency; the charge is exactly this, tax included. */
  readonly amount: number;
  readonly currency: string;
  readonly uiMode: UiMode;
  readonly lines: readonly { readonly title: string; readonly unitAmount: number; readonly quantity: number }[];
  readonly email?: string | undefined;
  /** Where the browser goes afterwards. Redirects decide nothing. */
  readonly successUrl: string;
  readonly cancelUrl: string;
}

/** How far the money of a session is, whatever event told us to look. */
export type MoneyPhase = 'none' | 'processing' | 'paid' | 'failed';

/** A provider's session with its payment, as fetched, in our words and units. */
export interface Observation {
  readonly sessionId: string;
  readonly status: 'open' | 'complete' | 'expired';
  readonly money: MoneyPhase;
  readonly livemode: boolean;
  readonly account: string;
  /** Undefined where the provider's amount does not fit our units. */
  readonly amount: number | undefined;
  readonly currency: string;
  /** Our ids, as the provider carries them in the session's metadata. */
  readonly orderId: string | undefined;
  readonly attemptId: string | undefined;
  readonly captured: number;
  readonly refunded: number;
  readonly url: string | undefined;
  readonly clientSecret: string | undefined;
  readonly expiresAt: Date;
  readonly paymentIntentId: string | undefined;
  readonly chargeId: string | undefined;
  readonly customerId: string | undefined;
  readonly methodType: string | undefined;
  readonly methodBrand: string | undefined;
  readonly methodLast4: string | undefined;
  readonly receiptUrl: string | undefined;
  /** Code of the last decline. */
  readonly lastError: string | undefined;
  /** Another payment that succeeded under the same session: money that came twice. */
  readonly stray?: { readonly paymentIntentId: string; readonly captured: number } | undefined;
}

export interface RefundObservation {
  readonly providerRefundId: string;
  readonly state: 'pending' | 'succeeded' | 'failed';
  readonly lastError: string | undefined;
}

/** Limits of one call. Every call is abandoned after the gateway's own timeout as well. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A payment provider that shows a page and takes the money. Implementations: `stripe.ts`. */
export interface Gateway {
  readonly provider: 'stripe';
  /** The provider's connected account; '' is the platform's own. */
  readonly account: string;
  /** Whether real money moves; every object fetched must say the same. */
  readonly livemode: boolean;
  /** Repeated with the same request within 24 h it answers with the same session. */
  createSession(request: SessionRequest, options?: CallOptions): Promise<Observation>;
  /** @param session.paidBy the payment that we know has paid it: the answer is about that one, others are stray */
  fetchSession(
    session: { sessionId: string; paidBy?: string | undefined },
    options?: CallOptions,
  ): Promise<Observation>;
  /** A payment without a session of its own; `sessionId` of the answer is ''. */
  fetchPayment(paymentIntentId: string, options?: CallOptions): Promise<Observation>;
  /**
   * Closes a session that is open, and answers with what it is then: paid meanwhile is a possible answer.
   * @param close.key idempotency key, new for every try: providers repeat a stored 500 under the old one for a day
   */
  expireSession(close: { sessionId: string; key: string }, options?: CallOptions): Promise<Observation>;
  /** Looks a session up by our attempt id, for when the idempotency key has been forgotten by the provider. */
  findSession(attempt: { attemptId: string; createdAt: Date }, options?: CallOptions): Promise<Observation | undefined>;
  /** Gives money back; repeated with the same `refundId` it is one refund. */
  refund(
    input: { refundId: string; paymentIntentId: string; amount: number; currency: string; createdAt: Date },
    options?: CallOptions,
  ): Promise<RefundObservation>;
}

/**
 * What is known after a call that failed.
 * - `refused`: the provider understood and declined; nothing was done, and repeating will not help.
 * - `busy`: nothing was done; repeating later will help.
 * - `unknown`: the answer was lost; it may have been done. Only a repeat with the same key tells.
 * - `misconfigured`: our key or settings are wrong; nothing was done.
 */
export type GatewayOutcome = 'refused' | 'busy' | 'unknown' | 'misconfigured';

export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly outcome: GatewayOutcome;
  /** The provider's code, safe to show. */
  readonly code: string;
  constructor(outcome: GatewayOutcome, code: string, cause?: unknown) {
    super(`${outcome}: ${code}`, { cause });
    this.outcome = outcome;
    this.code = code;
  }
}
