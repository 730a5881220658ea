import { setTimeout as pause } from 'node:timers/promises';
import express, { type Request, type Response, Router } from 'express';
import type { Fault, Faults } from '../faults.ts';
import type { RecordedRequest, RequestsLog } from '../requests-log.ts';
import { findEndpoint } from './api/endpoint.ts';
import { ENDPOINTS } from './api/endpoints.ts';
import { expandAnswer, requireExpandable } from './expand.ts';
import { canonical, type FormObject, parseForm } from './form.ts';
import { createIdempotency, type KeyVerdict } from './idempotency.ts';
import { createRateLimit } from './rate-limit.ts';
import { requireKey, requireVersion } from './request-checks.ts';
import { passTime } from './session-expiry.ts';
import { refuse, StripeRefusal } from './stripe-error.ts';
import { stripeId } from './stripe-id.ts';
import { becauseOf, type World } from './world.ts';

/** What the API stand-in needs besides the world. */
export type StripeAppInput = {
  world: World;
  faults: Faults;
  requests: RequestsLog;
  secretKeys: () => readonly string[];
  rateLimitPerSecond: number;
};

/** Stripe's largest request is far below this. */
const BODY_LIMIT = '1mb';

/** The API under `/v1`, as stripe-node talks to it. */
export function stripeApp({ world, faults, requests, secretKeys, rateLimitPerSecond }: StripeAppInput): Router {
  const router = Router();
  const allow = createRateLimit(rateLimitPerSecond);
  const idempotency = createIdempotency(world);
  router.use('/v1', express.text({ type: () => true, limit: BODY_LIMIT }), async (request, response) => {
    const recorded = requests.begin(recordOf(request, new Date(world.clock.realMs())));
    response.set({
      'Request-Id': recorded.id,
      'Cache-Control': 'no-cache, no-store',
      'Stripe-Version': requireVersion(undefined),
    });
    try {
      requireKey(request.get('authorization'), secretKeys());
      response.set('Stripe-Version', requireVersion(request.get('stripe-version')));
      if (!allow()) throw rateLimited();
      await answer(request, response, recorded);
    } catch (error) {
      if (!(error instanceof StripeRefusal)) world.log.error('sandbox: a request failed', { error: String(error) });
      send(response, recorded, refusalOf(error));
    }
  });

  async function answer(request: Request, response: Response, recorded: RecordedRequest): Promise<void> {
    const raw = paramsOf(request);
    recorded.params = raw;
    const found = findEndpoint(ENDPOINTS, recorded.method, recorded.path);
    if (!found) throw unrecognized(recorded);
    const fault = faults.strike({ api: { method: recorded.method, path: recorded.path } });
    if (fault) recorded.fault = fault.kind;
    if (fault?.kind === 'http_429') throw rateLimited();
    if (fault?.kind === 'http_500' && !fault.applied) throw serverError();
    if (fault?.kind === 'drop') return cut(response, recorded);
    const key = recorded.method === 'POST' ? recorded.idempotency_key : null;
    if (key !== null && key.length > 255) throw refuse.invalid('Idempotency keys can be up to 255 characters long.');
    const verdict = key === null ? undefined : idempotency(key, recorded.path, canonical(raw));
    if (key !== null) response.set('Idempotency-Key', key);
    if (verdict && !verdict.run) {
      recorded.replayed = true;
      response.set({ 'Idempotent-Replayed': 'true', 'Original-Request': verdict.stored.request_id });
      return send(response, recorded, { status: verdict.stored.status, body: verdict.stored.body, headers: {} });
    }
    const outcome = await execute(found, raw, recorded, fault, verdict);
    if (fault?.kind === 'timeout_after_applying') {
      await pause(fault.delay_ms);
      return cut(response, recorded);
    }
    send(response, recorded, outcome);
  }

  async function execute(
    { endpoint, id }: NonNullable<ReturnType<typeof findEndpoint>>,
    raw: FormObject,
    recorded: RecordedRequest,
    fault: Fault | undefined,
    verdict: Extract<KeyVerdict, { run: true }> | undefined,
  ): Promise<Outcome> {
    try {
      const handle = endpoint.prepare(raw);
      const expand = (raw.expand as string[] | undefined) ?? [];
      requireExpandable(recorded.path, isList(recorded), expand);
      if (fault?.kind === 'delay') await pause(fault.delay_ms);
      passTime(world);
      const cause = { id: recorded.id, idempotency_key: recorded.method === 'GET' ? null : recorded.idempotency_key };
      const answer = becauseOf(world, cause, () => handle(world, id));
      const expanded = expandAnswer(world, answer, expand);
      if (fault?.kind === 'http_500') throw serverError(true);
      verdict?.finish({ status: 200, body: expanded, request_id: recorded.id });
      return { status: 200, body: expanded, headers: {} };
    } catch (error) {
      const refusal = refusalOf(error);
      if (error instanceof StripeRefusal && error.executed) {
        verdict?.finish({ status: refusal.status, body: refusal.body, request_id: recorded.id });
        return refusal;
      }
      verdict?.abandon();
      throw error;
    }
  }

  return router;
}

type Outcome = { status: number; body: unknown; headers: Record<string, string> };

function recordOf(request: Request, at: Date): RecordedRequest {
  return {
    id: stripeId('req'),
    at: at.toISOString(),
    method: request.method,
    path: request.baseUrl + (request.path === '/' ? '' : request.path),
    params: null,
    idempotency_key: request.get('idempotency-key') ?? null,
    stripe_version: request.get('stripe-version') ?? null,
  };
}

/** A list's objects are under `data`; every GET without an id is one, but for the account and its balance. */
const isList = ({ method, path }: RecordedRequest) =>
  method === 'GET' && (path.endsWith('/line_items') || /^\/v1\/(checkout\/)?[a-z_]+s$/.test(path));

function paramsOf(request: Request): FormObject {
  const query = request.originalUrl.split('?')[1] ?? '';
  if (request.method !== 'POST') return parseForm(query);
  const body = typeof request.body === 'string' ? request.body : '';
  if (body !== '' && request.is('application/json')) {
    throw refuse.invalid('Invalid request: this API takes application/x-www-form-urlencoded bodies, not JSON.');
  }
  return parseForm(body);
}

function refusalOf(error: unknown): Outcome {
  const refusal = error instanceof StripeRefusal ? error : serverError();
  const { code } = refusal.body;
  const doc_url = code ? { doc_url: `https://docs.stripe.com/error-codes/${code.replaceAll('_', '-')}` } : {};
  return { status: refusal.status, body: { error: { ...refusal.body, ...doc_url } }, headers: refusal.headers };
}

function send(response: Response, recorded: RecordedRequest, { status, body, headers }: Outcome): void {
  recorded.status = status;
  response
    .status(status)
    .set(headers)
    .type('application/json')
    .send(`${JSON.stringify(body, null, 2)}\n`);
}

/** Ends the connection without an answer. */
function cut(response: Response, recorded: RecordedRequest): void {
  recorded.status = null;
  response.socket?.destroy();
}

const rateLimited = () =>
  new StripeRefusal(
    429,
    {
      type: 'invalid_request_error',
      code: 'rate_limit',
      message: 'Request rate limit exceeded. Learn more about rate limits here https://docs.stripe.com/rate-limits.',
    },
    { headers: { 'Stripe-Rate-Limited-Reason': 'global-rate' } },
  );

const serverError = (executed = false) =>
  new StripeRefusal(
    500,
    { type: 'api_error', message: 'An unknown error occurred' },
    { executed, headers: executed ? { 'Stripe-Should-Retry': 'false' } : {} },
  );

const unrecognized = ({ method, path }: RecordedRequest) =>
  new StripeRefusal(404, {
    type: 'invalid_request_error',
    message: `Unrecognized request URL (${method}: ${path}). The sandbox plays a part of Stripe's API; what it plays is listed in services/sandbox/README.md.`,
  });
