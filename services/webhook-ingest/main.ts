import { startFlags } from '#domain/flags/index.ts';
import { insertNewEvents } from '#domain/webhooks/index.ts';
import { startAdminServer, versionOf } from '#platform/admin/index.ts';
import { type Clock, systemClock } from '#platform/clock/index.ts';
import { loadSettings, needSecret, type Secret, type Settings } from '#platform/config/index.ts';
import { createDb, databaseReadiness } from '#platform/db/index.ts';
import { armFailpoint, failpoint } from '#platform/failpoint/index.ts';
// Not the part's index: that brings express, which this process does without.
import { type HttpServer, listen } from '#platform/http/listener.ts';
import { createLifecycle, type Lifecycle, runMain } from '#platform/lifecycle/index.ts';
import { createLogger, type Logger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { startTelemetry } from '#platform/telemetry/index.ts';
import { createIngestListener, type IngestListener } from './app.ts';

export type IngestInput = {
  settings: Settings;
  log?: Logger;
  clock?: Clock;
  /** Called after events were committed. */
  onStored?: () => void;
  /** Metrics shared with the other parts of the all-in-one. */
  metrics?: Metrics;
  /** false: no port of its own; the caller serves `listener` (all-in-one). Default true. */
  listen?: boolean;
};

export type RunningIngest = {
  /** 0 when not listening. */
  port: number;
  adminPort: number;
  listener: IngestListener;
  readiness: Lifecycle['readiness'];
  stop(reason?: string): Promise<void>;
};

/** One connection a batch in flight, and one for the readiness check. */
const POOL_SIZE = 3;
/** Above the 5 s statement_timeout of klar_ingest: the server speaks first, unless the connection is dead. */
const ANSWER_TIMEOUT_MS = 7_000;

/** Starts webhook-ingest. It holds webhook secrets and a login that can insert events, and nothing else. */
export async function startIngest(input: IngestInput): Promise<RunningIngest> {
  const { settings } = input;
  armFailpoint(settings.KLAR_FAILPOINT);
  const log =
    input.log ??
    createLogger({ process: 'webhook-ingest', level: settings.LOG_LEVEL, redact: settings.meta.secretValues });
  const lifecycle = createLifecycle({ log, delayMs: settings.SHUTDOWN_DELAY_MS });
  const metrics = input.metrics ?? createMetrics({ process: 'webhook-ingest', nodeMetrics: true });
  const watching = settings.meta.watch();
  const telemetry = await startTelemetry({ settings, log });
  const url: Secret = settings.DATABASE_URL_INGEST ?? needSecret(settings, 'DATABASE_URL');
  const db = createDb({
    url: () => url.current(),
    role: 'klar_ingest',
    poolSize: POOL_SIZE,
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar webhook-ingest',
    log,
    metrics,
  });
  url.onChange(() => void db.reconnect());
  databaseReadiness(lifecycle, db);
  const clock = input.clock ?? systemClock;
  const flags = await startFlags({ scope: 'ingest', file: settings.KLAR_FLAGS_FILE, db, clock, log, metrics });

  const secrets: Record<string, Secret | undefined> = { stripe: settings.STRIPE_WEBHOOK_SECRET };
  const listener = createIngestListener({
    secrets: (provider) => secrets[provider]?.accepted(),
    used: (provider, generation) => secrets[provider]?.used(generation),
    insert: async (events) => {
      failpoint('ingest.before_insert');
      const stored = insertNewEvents(db, events);
      // The statement is on its way when this turn of the event loop ends.
      setImmediate(() => failpoint('ingest.inside_batch'));
      await stored;
      failpoint('ingest.after_commit');
    },
    onStored: input.onStored,
    clock,
    log,
    metrics,
  });

  const server: HttpServer | undefined =
    input.listen === false ? undefined : await listen(listener, { port: settings.INGEST_PORT });
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
  lifecycle.onStop('ready', 'http', () => server?.drain());
  lifecycle.onStop('listen', 'http', () => server?.close());
  lifecycle.onStop('drain', 'batches', () => listener.drain());
  lifecycle.onStop('work', 'flags', () => flags.close());
  lifecycle.onStop('pools', 'database', () => db.close());
  lifecycle.onStop('flush', 'secrets', () => watching.close());
  lifecycle.onStop('flush', 'telemetry', () => telemetry.stop());
  lifecycle.onStop('flush', 'admin', () => admin?.close());
  lifecycle.onStop('flush', 'log', () => log.flush());
  log.info('webhook-ingest is up', { port: server?.port ?? 0, admin_port: admin?.port ?? 0 });
  return {
    port: server?.port ?? 0,
    adminPort: admin?.port ?? 0,
    listener,
    readiness: lifecycle.readiness,
    stop: (reason = 'stop') => lifecycle.stop(reason),
  };
}

if (import.meta.main) await runMain(() => startIngest({ settings: loadSettings('webhook-ingest') }));
