import type Stripe from 'stripe';
import type { Metrics } from '#platform/metrics/index.ts';
import { type Gateway, GatewayError, type Observation, type RefundObservation } from './gateway.ts';
import { toStripe } from './stripe-money.ts';
import { asSession, observe, SESSION_EXPAND, sessionParams } from './stripe-session.ts';

/** Pinned: fields and enum values are read as this version writes them, whatever the account's default is. */
export const STRIPE_API_VERSION = '2026-10-28.endive';

/** A person waits for the page: with one retry a call ends within the 30 s of the request. */
const TIMEOUT_MS = 10_000;
const RETRIES = 1;

/** How far around its attempt a lost session is searched, and how many pages of 100 are read at most. */
const SEARCH_BEFORE_S = 5 * 60;
const SEARCH_AFTER_S = 24 * 60 * 60;
const SEARCH_LIMIT = 5_000;

export interface StripeGatewayInput {
  /** Asked before every call, so that a rotated key is used at once. */
  secretKey: () => string | undefined;
  /** Another server that speaks Stripe's API. */
  apiBase?: string | undefined;
  livemode: boolean;
  metrics?: Metrics | undefined;
  timeoutMs?: number | undefined;
}

/** Stripe Checkout by its own SDK. https://docs.stripe.com/api */
export function createStripeGateway(input: StripeGatewayInput): Gateway {
  const account = '';
  const clientOf = clientFactory(input);
  const seconds = input.metrics?.histogram('klar_payments_provider_seconds', 'Duration of one provider call', [
    'provider',
    'operation',
    'outcome',
  ]);

  async function call<T>(
    operation: string,
    signal: AbortSignal | undefined,
    run: (stripe: Stripe) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const started = performance.now();
    let outcome = 'ok';
    try {
      return await run(await clientOf());
    } catch (error) {
      const translated = error instanceof GatewayError ? error : translate(error);
      outcome = translated instanceof GatewayError ? translated.outcome : 'error';
      throw translated;
    } finally {
      seconds?.observe({ provider: 'stripe', operation, outcome }, (performance.now() - started) / 1_000);
    }
  }

  const fetchIntent = (stripe: Stripe, id: string) => stripe.paymentIntents.retrieve(id, { expand: ['latest_charge'] });
  const fetchSession = (sessionId: string, paidBy?: string, signal?: AbortSignal): Promise<Observation> =>
    call('fetch_session', signal, async (stripe) => {
      const session = await stripe.checkout.sessions.retrieve(sessionId, { expand: SESSION_EXPAND });
      const named = typeof session.payment_intent === 'string' ? session.payment_intent : session.payment_intent?.id;
      if (paidBy === undefined || paidBy === named) return observe(session, account);
      return observe(session, account, await fetchIntent(stripe, paidBy));
    });

  return {
    provider: 'stripe',
    account,
    livemode: input.livemode,
    createSession: (request, options) =>
      call('create_session', options?.signal, async (stripe) => {
        const idempotencyKey = request.attemptId;
        return observe(await stripe.checkout.sessions.create(sessionParams(request), { idempotencyKey }), account);
      }),
    fetchSession: ({ sessionId, paidBy }, options) => fetchSession(sessionId, paidBy, options?.signal),
    fetchPayment: (id, options) =>
      call('fetch_payment', options?.signal, async (stripe) =>
        observe(asSession(await fetchIntent(stripe, id)), account),
      ),
    expireSession: async ({ sessionId, key }, options) => {
      try {
        return await call('expire_session', options?.signal, async (stripe) => {
          const request = { idempotencyKey: key };
          return observe(
            await stripe.checkout.sessions.expire(sessionId, { expand: SESSION_EXPAND }, request),
            account,
          );
        });
      } catch (error) {
        // "Returns an error if the session is not in an expireable state": it was paid or has expired. Look.
        if (error instanceof GatewayError && (error.outcome === 'refused' || error.outcome === 'busy')) {
          return await fetchSession(sessionId, undefined, options?.signal);
        }
        throw error;
      }
    },
    findSession: ({ attemptId, createdAt }, options) =>
      call('find_session', options?.signal, async (stripe) => {
        const created = Math.floor(createdAt.getTime() / 1_000);
        let seen = 0;
        const range = { gte: created - SEARCH_BEFORE_S, lte: created + SEARCH_AFTER_S };
        for await (const session of stripe.checkout.sessions.list({ created: range, limit: 100 })) {
          if (session.metadata?.attempt_id === attemptId) {
            return observe(await stripe.checkout.sessions.retrieve(session.id, { expand: SESSION_EXPAND }), account);
          }
          seen += 1;
          // Not found among too many is not "not there".
          if (seen >= SEARCH_LIMIT) throw new GatewayError('unknown', 'too_many_sessions');
        }
        return undefined;
      }),
    refund: (refund, options) =>
      call('refund', options?.signal, async (stripe): Promise<RefundObservation> => {
        const { refundId, paymentIntentId, currency } = refund;
        // Looked up first: the key of a refund that was made more than a day ago is forgotten.
        for await (const made of stripe.refunds.list({ payment_intent: paymentIntentId, limit: 100 })) {
          if (made.metadata?.refund_id === refundId) return refundObservation(made);
        }
        const { amount } = toStripe({ amount: refund.amount, currency });
        const params = { payment_intent: paymentIntentId, amount, metadata: { refund_id: refundId } };
        return refundObservation(await stripe.refunds.create(params, { idempotencyKey: refundId }));
      }),
  };
}

function clientFactory(input: StripeGatewayInput): () => Promise<Stripe> {
  let key: string | undefined;
  let client: Stripe | undefined;
  const base = input.apiBase === undefined ? undefined : new URL(input.apiBase);
  return async () => {
    const current = input.secretKey();
    if (current === undefined) throw new GatewayError('misconfigured', 'no_key');
    if (client === undefined || current !== key) {
      // Loaded with the first call: it is tens of megabytes that a process without payments never needs.
      const { default: StripeClient } = await import('stripe');
      key = current;
      client = new StripeClient(current, {
        apiVersion: STRIPE_API_VERSION,
        timeout: input.timeoutMs ?? TIMEOUT_MS,
        maxNetworkRetries: RETRIES,
        telemetry: false,
        ...(base === undefined
          ? {}
          : {
              host: base.hostname,
              port: base.port || (base.protocol === 'http:' ? 80 : 443),
              protocol: base.protocol === 'http:' ? 'http' : 'https',
            }),
      });
    }
    return client;
  };
}

function refundObservation(refund: Stripe.Refund): RefundObservation {
  const failed = refund.status === 'failed' || refund.status === 'canceled';
  return {
    providerRefundId: refund.id,
    // `requires_action` is money that has not left yet.
    state: failed ? 'failed' : refund.status === 'succeeded' ? 'succeeded' : 'pending',
    lastError: refund.failure_reason ?? undefined,
  };
}

/** What a failed call says about whether it was done. https://docs.stripe.com/error-low-level */
function translate(error: unknown): unknown {
  if (!isStripeError(error)) return error;
  const { statusCode: status, code = 'unknown' } = error;
  // A key that was used with other parameters: there is a session under it, only a search finds it.
  if (error.rawType === 'idempotency_error' && status === 400)
    return gatewayError('unknown', 'idempotency_mismatch', error);
  // Our request did not get in; 409 is a twin of it that is still running.
  if (status === 429 || status === 409) return gatewayError('busy', status === 429 ? 'rate_limited' : 'in_use', error);
  if (status === 401 || status === 403) return gatewayError('misconfigured', 'key_refused', error);
  if (status !== undefined && status >= 400 && status < 500) return gatewayError('refused', code, error);
  // "Treat the result of a 500 as indeterminate"; no status at all is a lost connection or a timeout.
  return gatewayError('unknown', status === undefined ? 'no_answer' : 'provider_error', error);
}

/** By its shape: the SDK's class is not loaded before its first call, and every error of it names its type. */
function isStripeError(error: unknown): error is Stripe.errors.StripeError {
  return error instanceof Error && 'type' in error && String(error.type).startsWith('Stripe');
}

const gatewayError = (outcome: GatewayError['outcome'], code: string, cause: unknown) =>
  new GatewayError(outcome, code, cause);
