import { startFlags } from '#domain/flags/index.ts';
import { createInbox } from '#domain/webhooks/index.ts';
import { startAdminServer, versionOf } from '#platform/admin/index.ts';
import { type Clock, systemClock } from '#platform/clock/index.ts';
import { loadSettings, needSecret, type Secret, type Settings } from '#platform/config/index.ts';
import { createDb, databaseReadiness } from '#platform/db/index.ts';
import { armFailpoint } from '#platform/failpoint/index.ts';
import { createLifecycle, type Lifecycle, runMain } from '#platform/lifecycle/index.ts';
import { createLogger, type Logger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { createQueueWorker } from '#platform/queue/index.ts';
import { startTelemetry } from '#platform/telemetry/index.ts';
import { type Handlers, type WorkerDeps, workerHandlers } from './handlers.ts';
import { startHeartbeat, startOperationsGauges } from './heartbeat.ts';
import { startInboxLoop } from './inbox-loop.ts';

export type WorkerInput = {
  settings: Settings;
  log?: Logger;
  clock?: Clock;
  /** false: no admin port of its own (all-in-one). Default true. */
  listen?: boolean;
  /** Metrics shared with the other parts of the all-in-one. */
  metrics?: Metrics;
  /** Other handlers than the table's, for tests. */
  handlers?: (deps: WorkerDeps) => Handlers;
  /** How long a killed worker's events wait. */
  leaseMs?: number;
};

export type RunningWorker = {
  adminPort: number;
  metrics: Metrics;
  readiness: Lifecycle['readiness'];
  /** Events were stored by this very process: look now instead of at the next poll. */
  wake(): void;
  stop(reason?: string): Promise<void>;
};

/** Starts the worker: inbox handlers, queues, heartbeat. It waits for a database that is not there yet. */
export async function startWorker(input: WorkerInput): Promise<RunningWorker> {
  const { settings } = input;
  armFailpoint(settings.KLAR_FAILPOINT);
  const clock = input.clock ?? systemClock;
  const log =
    input.log ?? createLogger({ process: 'worker', level: settings.LOG_LEVEL, redact: settings.meta.secretValues });
  const lifecycle = createLifecycle({ log }); // no endpoint delay: nothing is routed to a worker
  const metrics = input.metrics ?? createMetrics({ process: 'worker', nodeMetrics: true });
  const watching = settings.meta.watch();
  const telemetry = await startTelemetry({ settings, log });
  const url: Secret = settings.DATABASE_URL_WORKER ?? needSecret(settings, 'DATABASE_URL');
  const db = createDb({
    url: () => url.current(),
    role: 'klar_worker',
    // The inbox, the queues and the loops share it; a smaller pool would make a flood of events starve the mails.
    poolSize: Math.max(settings.DB_POOL_SIZE, 10),
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar worker',
    clock,
    log,
    metrics,
  });
  url.onChange(() => void db.reconnect());
  databaseReadiness(lifecycle, db);

  const handlers = (input.handlers ?? workerHandlers)({ settings, db, clock, log, metrics });
  const inbox = createInbox({
    db,
    handlers: handlers.events,
    log,
    metrics,
    ...(input.leaseMs === undefined ? {} : { leaseMs: input.leaseMs }),
  });
  const queues = createQueueWorker({ db, log, metrics });
  for (const queue of handlers.queues) queue.register((def, handler, options) => queues.work(def, handler, options));

  const flags = await startFlags({ scope: 'worker', file: settings.KLAR_FLAGS_FILE, db, clock, log, metrics });
  const mayHandle = () => flags.isOn('webhook-handling-enabled');
  const inboxLoop = startInboxLoop({ inbox, log, metrics, mayHandle });
  const heartbeat = startHeartbeat({ db, inbox, clock, log, metrics });
  const operations = startOperationsGauges({ db, log, metrics });
  // Not awaited: it waits for the database as long as it takes, and /livez must answer meanwhile.
  void queues.start();

  const admin =
    input.listen === false
      ? undefined
      : await startAdminServer({
          port: settings.ADMIN_PORT,
          metrics,
          readiness: lifecycle.readiness,
          version: () => ({ ...versionOf(settings), flags: flags.version() }),
          log,
        });
  lifecycle.onStop('work', 'inbox', () => inboxLoop.stop());
  lifecycle.onStop('work', 'queues', () => queues.stop());
  lifecycle.onStop('work', 'heartbeat', () => heartbeat.stop());
  lifecycle.onStop('work', 'operations', () => operations.stop());
  lifecycle.onStop('work', 'flags', () => flags.close());
  lifecycle.onStop('pools', 'database', () => db.close());
  lifecycle.onStop('flush', 'secrets', () => watching.close());
  lifecycle.onStop('flush', 'telemetry', () => telemetry.stop());
  lifecycle.onStop('flush', 'admin', () => admin?.close());
  lifecycle.onStop('flush', 'log', () => log.flush());
  log.info('worker is up', { admin_port: admin?.port ?? 0, event_types: handlers.events.length });
  return {
    adminPort: admin?.port ?? 0,
    metrics,
    readiness: lifecycle.readiness,
    wake: () => inboxLoop.wake(),
    stop: (reason = 'stop') => lifecycle.stop(reason),
  };
}

if (import.meta.main) await runMain(() => startWorker({ settings: loadSettings('worker') }));
