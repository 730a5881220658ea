import { type Statement, statement, type Tx } from '#platform/db/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';

/** One queue as it stands. */
export interface QueueStats {
  queue: string;
  /** Waiting jobs whose time has come. */
  ready: number;
  /** Waiting jobs whose time has not come (a backoff, a start time). */
  deferred: number;
  active: number;
  /** Seconds the longest-waiting ready job has been ready; 0 without one. */
  oldestReadyS: number;
  /** Jobs in its dead letter queue that nobody has redriven. */
  dead: number;
}

// `state` is an enum in the order created, retry, active, completed, cancelled, failed.
const queueStatsStatement: Statement<QueueStats> = statement(
  'queue.stats',
  `select q.name as queue,
     count(j.id) filter (where j.state < 'active' and j.start_after <= now()) as ready,
     count(j.id) filter (where j.state < 'active' and j.start_after > now()) as deferred,
     count(j.id) filter (where j.state = 'active') as active,
     coalesce(extract(epoch from now() - min(j.start_after) filter (where j.state < 'active' and j.start_after <= now())), 0)::float8
       as "oldestReadyS",
     (select count(*) from pgboss.job_common d where d.name = q.dead_letter and d.state < 'completed') as dead
   from pgboss.queue q
   left join pgboss.job_common j on j.name = q.name and j.state < 'completed'
   where q.dead_letter is not null
   group by q.name, q.dead_letter
   order by q.name`,
);

/** Every queue with its depth, age and dead letters; for klar_worker, klar_ops and klar_api. */
export function queueStats(tx: Tx): Promise<QueueStats[]> {
  return tx.rows(queueStatsStatement);
}

/** Puts the numbers into the gauges that the alerts read. */
export function recordQueueStats(metrics: Metrics, stats: readonly QueueStats[]): void {
  const gauge = (name: string, help: string) => metrics.gauge(name, help, ['queue']);
  const ready = gauge('klar_queue_ready_jobs', 'Jobs that could run now');
  const age = gauge('klar_queue_oldest_ready_seconds', 'How long the oldest ready job has waited');
  const active = gauge('klar_queue_active_jobs', 'Jobs being handled');
  const dead = gauge('klar_queue_dead_letter_jobs', 'Jobs that were given up');
  for (const row of stats) {
    const label = { queue: row.queue };
    ready.set(label, row.ready);
    age.set(label, row.oldestReadyS);
    active.set(label, row.active);
    dead.set(label, row.dead);
  }
}
