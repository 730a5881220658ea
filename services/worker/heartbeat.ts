import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { createOperationsGauges } from '#domain/operations/index.ts';
import { heartbeats, type Inbox } from '#domain/webhooks/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { queueStats, recordQueueStats } from '#platform/queue/index.ts';
import { type Loop, startLoop } from './loop.ts';

const EVERY_MS = 5_000;
/** A scrape comes twice a minute. */
const OPERATIONS_EVERY_MS = 15_000;

/**
 * Says "this worker lives" in the database every 5 s, and reads the depths for the metrics in the same breath. Only a
 * worker does: a heartbeat written by anything else would hide that none is running. The row stays after a stop, so
 * that its age tells.
 */
export function startHeartbeat(input: {
  db: Db;
  inbox: Inbox;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  everyMs?: number;
}): Loop {
  const { db, inbox, metrics } = input;
  const workerId = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
  const startedAt = input.clock.now();
  let last = performance.now();
  const age = metrics.gauge('klar_worker_heartbeat_age_seconds', 'Since this worker last wrote its heartbeat');
  Object.assign(age, { collect: () => age.set((performance.now() - last) / 1_000) });
  return startLoop({
    name: 'heartbeat',
    everyMs: input.everyMs ?? EVERY_MS,
    run: async () => {
      await db.withTx((tx) => heartbeats.beat(tx, workerId, startedAt));
      last = performance.now();
      await inbox.measure();
      recordQueueStats(metrics, await db.withTx((tx) => queueStats(tx)));
      return 'idle';
    },
    log: input.log,
    metrics,
  });
}

/** Reads what other pods did unattended into this one's metrics; a loop of its own, as the heartbeat must not wait for it. */
export function startOperationsGauges(input: { db: Db; log: Logger; metrics: Metrics; everyMs?: number }): Loop {
  const read = createOperationsGauges(input.db, input.metrics);
  return startLoop({
    name: 'operations',
    everyMs: input.everyMs ?? OPERATIONS_EVERY_MS,
    run: async () => {
      await read();
      return 'idle';
    },
    log: input.log,
    metrics: input.metrics,
  });
}
