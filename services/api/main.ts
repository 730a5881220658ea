import type { RequestListener } from 'node:http';
import { startFlags } from '#domain/flags/index.ts';
import { createIdentity } from '#domain/identity/index.ts';
import { createPayments, createStripeGateway } from '#domain/payments/index.ts';
import { createTenancy } from '#domain/tenancy/index.ts';
import { startAdminServer, versionOf } from '#platform/admin/index.ts';
import { type Clock, systemClock } from '#platform/clock/index.ts';
import { loadSettings, needSecret, type Secret, type Settings } from '#platform/config/index.ts';
import { createDb, type Db, databaseReadiness, type GroupRole } from '#platform/db/index.ts';
import { listen, setCursorKeys } from '#platform/http/index.ts';
import { createLifecycle, type Lifecycle, runMain } from '#platform/lifecycle/index.ts';
import { createLogger, type Logger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { startTelemetry } from '#platform/telemetry/index.ts';
import type { ApiDeps } from './deps.ts';
import { createApiListener } from './listener.ts';
import type { apiRoutes } from './routes/index.ts';

export interface ApiInput {
  settings: Settings;
  log?: Logger;
  clock?: Clock;
  /** Metrics shared with the other parts of the all-in-one. */
  metrics?: Metrics;
  /** false: no port of its own; the caller serves `listener` (all-in-one). Default true. */
  listen?: boolean;
  /** Parts to put in the place of the real ones, for tests. */
  overrides?: Partial<ApiDeps>;
  /** Other routes than all of them, for the tests that show what a missing guard lets in. */
  routes?: typeof apiRoutes;
}

export interface RunningApi {
  /** 0 when not listening. */
  port: number;
  adminPort: number;
  listener: RequestListener;
  readiness: Lifecycle['readiness'];
  /** What `/versionz` says of the flags here. */
  flags: () => object;
  stop(reason?: string): Promise<void>;
}

/** Above the 6 s statement_timeout of klar_api and klar_auth, below the 10 s that people wait; docs/adr/0014. */
const ANSWER_TIMEOUT_MS = 7_500;

/** Starts the api: the public HTTP interface. */
export async function startApi(input: ApiInput): Promise<RunningApi> {
  const { settings } = input;
  const clock = input.clock ?? systemClock;
  const log =
    input.log ?? createLogger({ process: 'api', level: settings.LOG_LEVEL, redact: settings.meta.secretValues });
  const lifecycle = createLifecycle({ log, delayMs: settings.SHUTDOWN_DELAY_MS });
  const metrics = input.metrics ?? createMetrics({ process: 'api', nodeMetrics: true });
  const watching = settings.meta.watch();
  const telemetry = await startTelemetry({ settings, log });
  const connect = (role: GroupRole, url: Secret) => openPool({ settings, role, url, clock, log, metrics });
  const db = connect('klar_api', settings.DATABASE_URL_API ?? needSecret(settings, 'DATABASE_URL'));
  const authDb = connect('klar_auth', settings.DATABASE_URL_AUTH ?? needSecret(settings, 'DATABASE_URL'));
  databaseReadiness(lifecycle, db);

  const flags = await startFlags({ scope: 'api', file: settings.KLAR_FLAGS_FILE, db, clock, log, metrics });
  const pepper = needSecret(settings, 'API_SECRET_SALT');
  setCursorKeys(() => pepper.accepted().map(({ value }) => value));
  const identity = createIdentity({ settings, db: authDb, apiDb: db, clock, log, metrics });
  const deps: ApiDeps = {
    settings,
    log,
    metrics,
    clock,
    db,
    identity,
    tenancy: createTenancy({ db, pepper, clock, log }),
    payments: createPayments({
      db,
      log,
      metrics,
      publicBaseUrl: settings.PUBLIC_BASE_URL,
      gateway: createStripeGateway({
        secretKey: () => settings.STRIPE_SECRET_KEY?.current(),
        apiBase: settings.STRIPE_API_BASE,
        livemode: settings.BILLING_MODE === 'production',
        metrics,
      }),
    }),
    flags,
    readiness: lifecycle.readiness,
    ...input.overrides,
  };
  const api = createApiListener(deps, input.routes);
  identity.start();

  const server = input.listen === false ? undefined : await listen(api.listener, { port: settings.PORT });
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
  lifecycle.onStop('drain', 'listener', () => api.close());
  lifecycle.onStop('work', 'identity', () => identity.stop());
  lifecycle.onStop('work', 'flags', () => flags.close());
  lifecycle.onStop('pools', 'database', () => Promise.all([db.close(), authDb.close()]));
  lifecycle.onStop('flush', 'secrets', () => watching.close());
  lifecycle.onStop('flush', 'telemetry', () => telemetry.stop());
  lifecycle.onStop('flush', 'admin', () => admin?.close());
  lifecycle.onStop('flush', 'log', () => log.flush());
  log.info('api is up', { port: server?.port ?? 0, admin_port: admin?.port ?? 0 });
  return {
    port: server?.port ?? 0,
    adminPort: admin?.port ?? 0,
    listener: api.listener,
    readiness: lifecycle.readiness,
    flags: flags.version,
    stop: (reason = 'stop') => lifecycle.stop(reason),
  };
}

function openPool(input: {
  settings: Settings;
  role: GroupRole;
  url: Secret;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}): Db {
  const { settings, url, ...rest } = input;
  const db = createDb({
    ...rest,
    url: () => url.current(),
    poolSize: settings.DB_POOL_SIZE,
    prepared: settings.DB_PREPARED === 'on',
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    appName: `klar api ${input.role}`,
  });
  url.onChange(() => void db.reconnect());
  return db;
}

if (import.meta.main) await runMain(() => startApi({ settings: loadSettings('api') }));
