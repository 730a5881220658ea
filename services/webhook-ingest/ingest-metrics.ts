import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { Provider, Refusal } from './verify/provider.ts';
import { REFUSALS } from './verify/provider.ts';

/** Why an event was not taken though its sender did nothing wrong: always a 503. */
export const SHED_REASONS = [
  'not_configured',
  'no_memory',
  'queue_full',
  'too_old',
  'unconfirmed',
  'unstorable',
  'internal',
] as const;
export type ShedReason = (typeof SHED_REASONS)[number];

const ACK_BUCKETS_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const ROW_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Between two log lines of one reason: a flood of forged requests must not become a flood of lines. */
const QUIET_MS = 10_000;

export function createIngestMetrics(metrics: Metrics, providers: readonly Provider[], log: Logger) {
  const acked = metrics.counter('klar_ingest_acked_total', 'Events acknowledged with 200', ['provider']);
  const refused = metrics.counter('klar_ingest_refused_total', 'Requests refused, by reason', ['provider', 'reason']);
  const shed = metrics.counter('klar_ingest_shed_total', 'Requests answered 503, by reason', ['provider', 'reason']);
  const ack = metrics.histogram('klar_ingest_ack_seconds', 'From the request line to the 200', [], ACK_BUCKETS_S);
  const rows = metrics.histogram('klar_ingest_batch_rows', 'Events in one INSERT', [], ROW_BUCKETS);
  const seconds = metrics.histogram('klar_ingest_batch_seconds', 'Duration of one INSERT with its commit', ['outcome']);
  const queue = metrics.gauge('klar_ingest_queue_events', 'Events waiting for a batch');
  for (const { name } of providers) {
    // From zero on: an alert on an increase cannot see the first event of a series that did not exist.
    acked.inc({ provider: name }, 0);
    for (const reason of REFUSALS) refused.inc({ provider: name, reason }, 0);
    for (const reason of SHED_REASONS) shed.inc({ provider: name, reason }, 0);
  }
  const acks = new Map(providers.map(({ name }) => [name, acked.labels({ provider: name })]));
  const quiet = new Map<string, { until: number; count: number }>();

  function tell(level: 'info' | 'warn', msg: string, provider: string, reason: string): void {
    const now = performance.now();
    const key = `${provider} ${reason}`;
    const state = quiet.get(key) ?? { until: 0, count: 0 };
    state.count += 1;
    if (now >= state.until) {
      log[level](msg, { provider, reason, count: state.count });
      state.count = 0;
      state.until = now + QUIET_MS;
    }
    quiet.set(key, state);
  }

  return {
    acked(provider: string, tookS: number): void {
      acks.get(provider)?.inc();
      ack.observe(tookS);
    },
    refused(provider: string, reason: Refusal): void {
      refused.inc({ provider, reason });
      tell('info', 'webhook refused', provider, reason);
    },
    shed(provider: string, reason: ShedReason): void {
      shed.inc({ provider, reason });
      tell('warn', 'webhook not taken', provider, reason);
    },
    batch(batch: { rows: number; seconds: number; error?: unknown }): void {
      rows.observe(batch.rows);
      seconds.observe({ outcome: batch.error === undefined ? 'stored' : 'failed' }, batch.seconds);
      if (batch.error !== undefined) log.warn('batch failed', { rows: batch.rows, error: batch.error });
    },
    watchQueue(depth: () => number): void {
      // Read when Prometheus asks: setting a gauge per event would be work nobody reads.
      Object.assign(queue, { collect: () => queue.set(depth()) });
    },
  };
}
