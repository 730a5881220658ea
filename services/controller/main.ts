import { hostname } from 'node:os';
import { startAdminServer, versionOf } from '#platform/admin/index.ts';
import { type Clock, systemClock } from '#platform/clock/index.ts';
import { loadSettings, needSecret, type Secret, type Settings } from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { createDb } from '#platform/db/index.ts';
import { armFailpoint } from '#platform/failpoint/index.ts';
import { createLifecycle, type Lifecycle, runMain } from '#platform/lifecycle/index.ts';
import { createLogger, createRedactor, type Logger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { startTelemetry } from '#platform/telemetry/index.ts';
import { createKubeClient } from './kube/client.ts';
import { inClusterEndpoint, type KubeEndpoint, kubeconfigEndpoint } from './kube/endpoint.ts';
import { createEventRecorder } from './kube/events.ts';
import { createLeaderElection, type Term } from './kube/leader.ts';
import { systemTiming } from './kube/timing.ts';
import { createPodReader, type PodReader } from './pods.ts';
import type { ControllerDeps, Reconciler } from './reconciler.ts';
import { reconcilers } from './reconcilers.ts';

export type ControllerInput = {
  settings: Settings;
  log?: Logger;
  clock?: Clock;
  /** Parts in the place of the real ones, for tests. */
  endpoint?: KubeEndpoint;
  pods?: PodReader;
  reconcilers?: (deps: ControllerDeps) => Reconciler[];
};

export type RunningController = {
  adminPort: number;
  metrics: Metrics;
  readiness: Lifecycle['readiness'];
  /** The reign of this process, while it leads. */
  term(): Term | undefined;
  stop(reason?: string): Promise<void>;
};

/** Few statements, one after the other; the rest is for a rotation beside the flags. */
const POOL_SIZE = 3;
/** Above the 15 s statement_timeout of klar_controller. */
const ANSWER_TIMEOUT_MS = 20_000;

/** Starts the controller: a candidate for the lease, which reconciles while it leads. */
export async function startController(input: ControllerInput): Promise<RunningController> {
  const { settings } = input;
  armFailpoint(settings.KLAR_FAILPOINT);
  const clock = input.clock ?? systemClock;
  const timing = systemTiming;
  const redactor = createRedactor(settings.meta.secretValues);
  const redact = (text: string) => String(redactor(text));
  const log =
    input.log ?? createLogger({ process: 'controller', level: settings.LOG_LEVEL, redact: settings.meta.secretValues });
  const lifecycle = createLifecycle({ log }); // no endpoint delay: nothing is routed to a controller
  const metrics = createMetrics({ process: 'controller', nodeMetrics: true });
  const leads = metrics.gauge('klar_controller_leader', '1 while this process leads.');
  leads.set(0);
  const watching = settings.meta.watch();
  const telemetry = await startTelemetry({ settings, log });
  const url: Secret = settings.DATABASE_URL_CONTROLLER ?? needSecret(settings, 'DATABASE_URL');
  const db = createDb({
    url: () => url.current(),
    role: 'klar_controller',
    poolSize: POOL_SIZE,
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar controller',
    clock,
    log,
    metrics,
  });
  url.onChange(() => void db.reconnect());

  const endpoint = input.endpoint ?? (await endpointOf(settings));
  const { namespace } = endpoint;
  const client = createKubeClient({ endpoint });
  const name = settings.KLAR_CONTROLLER_NAME;
  // A restarted pod keeps its name, and is another candidate.
  const identity = `${hostname()}_${randomToken(6)}`;
  const events = createEventRecorder({
    client,
    namespace,
    reportingController: 'klar.io/controller',
    reportingInstance: identity,
    clock,
    timing,
    log,
    redact,
  });
  const deps: ControllerDeps = {
    settings,
    client,
    namespace,
    name,
    lease: `${name}-controller`,
    db,
    clock,
    timing,
    log,
    metrics,
    events,
    redact,
    pods: input.pods ?? createPodReader({ client, namespace, selector: settings.KLAR_POD_SELECTOR }),
  };
  const all = (input.reconcilers ?? reconcilers)(deps);
  const election = createLeaderElection({
    client,
    namespace,
    name: deps.lease,
    identity,
    clock,
    timing,
    log,
    async lead(term) {
      leads.set(1);
      try {
        // One that ends early, or fails, ends the term: a controller that does half of its work must not keep the lease.
        const ended = new AbortController();
        const signal = AbortSignal.any([term.signal, ended.signal]);
        await Promise.all(
          all.map((one) => one.run({ ...term, signal }).finally(() => ended.abort(new Error(`${one.name} ended`)))),
        );
      } finally {
        leads.set(0);
      }
    },
  });
  election.start();

  const admin = await startAdminServer({
    port: settings.ADMIN_PORT,
    metrics,
    // Ready without database and API server: nobody is routed here, and a restart mends neither.
    readiness: lifecycle.readiness,
    version: () => ({ ...versionOf(settings), leads: election.term() !== undefined }),
    log,
  });
  lifecycle.onStop('work', 'election', () => election.stop());
  lifecycle.onStop('pools', 'events', () => events.stop());
  lifecycle.onStop('pools', 'database', () => db.close());
  lifecycle.onStop('flush', 'kubernetes', () => client.close());
  lifecycle.onStop('flush', 'secrets', () => watching.close());
  lifecycle.onStop('flush', 'telemetry', () => telemetry.stop());
  lifecycle.onStop('flush', 'admin', () => admin.close());
  lifecycle.onStop('flush', 'log', () => log.flush());
  log.info('controller is up', {
    admin_port: admin.port,
    namespace,
    identity,
    reconcilers: all.map((one) => one.name),
  });
  return {
    adminPort: admin.port,
    metrics,
    readiness: lifecycle.readiness,
    term: () => election.term(),
    stop: (reason = 'stop') => lifecycle.stop(reason),
  };
}

function endpointOf(settings: Settings): Promise<KubeEndpoint> {
  const { KUBECONFIG: file, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = settings;
  if (host !== undefined) return inClusterEndpoint({ host, port });
  if (file !== undefined) return kubeconfigEndpoint(file, settings.KLAR_NAMESPACE);
  throw new Error('there is no API server: neither KUBERNETES_SERVICE_HOST nor KUBECONFIG is set');
}

if (import.meta.main) await runMain(() => startController({ settings: loadSettings('controller') }));
