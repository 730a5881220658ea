/**
 * The listener: read, verify, queue, answer after the commit. On bare node:http, as a framework would halve what one
 * core can acknowledge.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { compareKeys, type NewEvent } from '#domain/webhooks/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import { sqlState } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { acknowledge, problem } from './answer.ts';
import { Batcher, type BatchLimits, type Outcome } from './batcher.ts';
import { BodyReader, type BodyResult } from './body.ts';
import { createIngestMetrics, type ShedReason } from './ingest-metrics.ts';
import { PROVIDERS, providerAt } from './providers.ts';
import type { AcceptedSecret, Provider, Refusal } from './verify/provider.ts';

export type IngestDeps = {
  /** The secrets accepted now; empty or undefined: not set up here, which is our fault and a 503. */
  secrets: (provider: string) => readonly AcceptedSecret[] | undefined;
  /** Told which generation signed. */
  used?: ((provider: string, generation: string) => void) | undefined;
  /** Stores all events and commits, or throws. */
  insert: (events: readonly NewEvent[]) => Promise<unknown>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** Called after events were committed: the all-in-one wakes its worker. */
  onStored?: (() => void) | undefined;
  limits?: Partial<BatchLimits> | undefined;
};

export type IngestListener = {
  (request: IncomingMessage, response: ServerResponse): void;
  /** Whether a path (without query) is a webhook path: the all-in-one sends those here and the rest to the api. */
  handles(path: string): boolean;
  /** Resolves when every accepted event is stored or refused. */
  drain(): Promise<void>;
};

/** A provider waits at least this long before it sends again; a second is enough for a queue of ours to drain. */
const RETRY_AFTER = { 'Retry-After': '1' };

const SHED_DETAIL: Record<ShedReason, string> = {
  not_configured: 'Webhooks of this provider are not set up here.',
  no_memory: 'Too much is being received at once.',
  queue_full: 'Too many events are waiting.',
  too_old: 'The event waited too long to be stored.',
  unconfirmed: 'The event could not be stored.',
  unstorable: 'The event could not be stored.',
  internal: 'Something went wrong on our side.',
};

/** @returns a listener for node:http; its batcher belongs to it, so make one per process */
export function createIngestListener(deps: IngestDeps): IngestListener {
  const { clock, log } = deps;
  const metrics = createIngestMetrics(deps.metrics, PROVIDERS, log);
  const bodies = new BodyReader();
  const batcher = new Batcher<NewEvent>({
    insert: async (events) => {
      await deps.insert(events);
      deps.onStored?.();
    },
    compare: compareKeys,
    sizeOf: (event) => event.raw.length,
    isDataError,
    nowMs: () => performance.now(),
    onBatch: metrics.batch,
    ...(deps.limits ? { limits: deps.limits } : {}),
  });
  metrics.watchQueue(() => batcher.depth);

  function refuse(provider: Provider, response: ServerResponse, reason: Refusal, endless = false): void {
    metrics.refused(provider.name, reason);
    if (reason === 'too_large') {
      // Whoever goes on sending is not listening for an answer either: the connection ends.
      const close: Record<string, string> = endless ? { Connection: 'close' } : {};
      problem(response, 'too_large', 'too_large', 'The body is larger than 1 MiB.', close);
      if (endless) response.once('finish', () => response.socket?.destroySoon());
      return;
    }
    problem(response, 'invalid', reason, REFUSAL_DETAIL[reason]);
  }

  function shed(provider: Provider, response: ServerResponse, reason: ShedReason): void {
    metrics.shed(provider.name, reason);
    problem(response, 'unavailable', reason, SHED_DETAIL[reason], RETRY_AFTER);
  }

  function settle(provider: Provider, response: ServerResponse, since: number, outcome: Outcome): void {
    if (outcome !== 'stored') {
      shed(provider, response, outcome);
      return;
    }
    metrics.acked(provider.name, (performance.now() - since) / 1_000);
    acknowledge(response);
  }

  function received(
    provider: Provider,
    request: IncomingMessage,
    response: ServerResponse,
    since: number,
    body: Buffer,
  ): void {
    const secrets = deps.secrets(provider.name);
    if (!secrets || secrets.length === 0) {
      shed(provider, response, 'not_configured');
      return;
    }
    const receivedAt = clock.now();
    const verified = provider.verify({ headers: request.headers, body, secrets, nowMs: receivedAt.getTime() });
    if (!verified.ok) {
      refuse(provider, response, verified.reason);
      return;
    }
    deps.used?.(provider.name, verified.generation);
    const event: NewEvent = {
      ...verified.key,
      id: newId('evt', receivedAt.getTime()),
      provider: provider.name,
      raw: body,
      receivedAt,
      verdict: verified.generation,
    };
    batcher.submit(event, (outcome) => settle(provider, response, since, outcome));
  }

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const provider = providerAt(pathOf(request));
    if (!provider) {
      problem(response, 'not_found', 'not_found', 'There is nothing here.');
      return;
    }
    if (request.method !== 'POST') {
      problem(response, 'method_not_allowed', 'method_not_allowed', 'Send POST.', { Allow: 'POST' });
      return;
    }
    const since = performance.now();
    bodies.read(request, (result: BodyResult) => {
      try {
        if (result.kind === 'body') received(provider, request, response, since, result.body);
        else if (result.kind === 'too_large') refuse(provider, response, 'too_large', result.endless);
        else if (result.kind === 'no_memory') shed(provider, response, 'no_memory');
      } catch (error) {
        // Never a 400: the provider would think that it sent something wrong, and give the event up.
        log.error('ingest failed', { provider: provider.name, error });
        shed(provider, response, 'internal');
      }
    });
  };
  return Object.assign(listener, {
    handles: (path: string) => providerAt(path) !== undefined,
    drain: () => batcher.drain(),
  });
}

const REFUSAL_DETAIL: Record<Exclude<Refusal, 'too_large'>, string> = {
  missing_signature: 'The signature header is missing.',
  malformed_signature: 'The signature header cannot be read.',
  bad_signature: 'No accepted secret made this signature.',
  stale: 'The signature is older than 300 s.',
  future: 'The signature is dated more than 300 s ahead.',
  malformed_body: 'The body is not an event.',
};

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** Data exception, integrity, program limit: the statement can pass without the row that caused it. */
function isDataError(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && /^(22|23|54)/.test(state);
}
