import { createHmac } from 'node:crypto';
import type { Clock } from '#platform/clock/index.ts';
import { type ProbeAnswer, probe } from './http-probe.ts';
import { NotYet, type StepInput } from './kind.ts';
import { callStripe, listStripe, type StripeAccess, StripeRefusal } from './stripe-call.ts';

/** Stripe tries for three days; older events have failed for good, whatever happens to the endpoint. */
const RETRIED_S = 3 * 24 * 3_600;
/** A visit ends before its bound (kube/controller.ts). */
const VISIT_MS = 30_000;

/** Sends our own ingest what Stripe would send, signed under one value. */
export function sendSigned(url: string, secret: string, body: string, signal: AbortSignal): Promise<ProbeAnswer> {
  const time = Math.floor(Date.now() / 1_000);
  const digest = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex');
  const headers = { 'content-type': 'application/json', 'stripe-signature': `t=${time},v1=${digest}` };
  return probe(url, { method: 'POST', headers, body }, signal);
}

type StripeEvent = { id: string; type: string };

export type UndeliveredInput = StripeAccess & {
  /** Our ingest. */
  url: string;
  clock: Clock;
  /** How long one visit hands over. */
  visitMs?: number;
};

/**
 * Retries of an event end with the endpoint that it waits for, and a later endpoint is not sent it. So before an endpoint is
 * switched off or deleted, what Stripe calls undelivered is handed to our own ingest, by its front door: it stores each event
 * once, so that one that came after all, or was never meant for us (`pending_webhooks` counts the endpoints of others too, which
 * is why that is not waited for), does no harm. It ends: it goes from the newest to the oldest, and what is newer goes to the other
 * endpoint.
 */
export function createUndelivered({ url, clock, visitMs = VISIT_MS, ...access }: UndeliveredInput) {
  let walk: { of: string; since: number; after: string; handed: number } | undefined;

  async function handPage(at: StepInput, secret: string, types: readonly string[], page: StripeEvent[], until: number) {
    if (walk === undefined) return;
    for (const event of page) {
      if (types.includes('*') || types.includes(event.type)) {
        const { status, code } = await sendSigned(url, secret, JSON.stringify(event), at.signal);
        // What our ingest cannot read it would not have taken from Stripe either.
        if (status !== 200 && status !== 413 && code !== 'malformed_body') {
          throw new Error(`our ingest answers ${status} ${code} to an event that Stripe holds`);
        }
        walk.handed += 1;
      }
      walk.after = event.id;
      // After each: pages of what we never wanted would else outlast the visit, and the next one begin anew.
      if (performance.now() >= until) {
        throw new NotYet(`events that Stripe has not delivered are handed over: ${walk.handed} so far`);
      }
    }
  }

  return {
    /** @throws Error when the key has no right to read events */
    async mayRead({ signal }: StepInput): Promise<void> {
      await callStripe(access, { method: 'GET', path: '/v1/events', fields: { limit: '1' }, signal }).catch(explained);
    },
    /** @param types of events that we subscribe to; `*` is every one */
    async handOver(at: StepInput, secret: string, types: readonly string[]): Promise<void> {
      const until = performance.now() + visitMs;
      if (walk?.of !== at.key) {
        walk = { of: at.key, since: Math.floor(clock.now().getTime() / 1_000) - RETRIED_S, after: '', handed: 0 };
      }
      const fields = { delivery_success: 'false', 'created[gte]': String(walk.since) };
      const list = { path: '/v1/events', fields, signal: at.signal };
      try {
        for await (const page of listStripe<StripeEvent>(access, list, walk.after)) {
          await handPage(at, secret, types, page, until);
        }
        walk = undefined;
      } catch (error) {
        // One that was delivered meanwhile is no place to go on from; after anything else the next visit goes on behind the
        // last one that was taken, or a long walk would begin anew with each failure.
        if (error instanceof StripeRefusal) walk = undefined;
        explained(error);
      }
    },
  };
}

function explained(error: unknown): never {
  if (error instanceof StripeRefusal && error.status === 403) {
    throw new Error('STRIPE_ROTATION_KEY may not read events: without it what Stripe tries again would be lost');
  }
  throw error;
}
