/** The rotation part of the controller as a process of its own, for tests that kill it. */
import { checkTerm } from '#domain/operations/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { environment } from '#platform/config/index.ts';
import { createDb } from '#platform/db/index.ts';
import { armFailpoint } from '#platform/failpoint/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { systemTiming } from '../../../services/controller/kube/timing.ts';
import { createFolderStore } from '../../../services/controller/rotation/folder-store.ts';
import { createKinds } from '../../../services/controller/rotation/kinds.ts';
import { takeLocalTerm } from '../../../services/controller/rotation/local-term.ts';
import { createRotationMetrics } from '../../../services/controller/rotation/metrics.ts';
import { clusterPods } from '../../../services/controller/rotation/pods-view.ts';
import { createRotations } from '../../../services/controller/rotation/rotations.ts';

const env = environment() as Record<string, string>;
armFailpoint(env.KLAR_FAILPOINT);
const LEASE = 'test';
const log = createLogger({ process: 'controller', level: 'info' });
// A machine that is busy takes seconds to open a connection; the process itself would just be started again.
const db = createDb({
  url: env.CONTROLLER_URL ?? '',
  role: 'klar_controller',
  poolSize: 4,
  log,
  acquireTimeoutMs: 30_000,
});
const registry = createMetrics();
const names = (env.SECRETS ?? '').split(',');
const pods = JSON.parse(env.PODS ?? '[]') as { pod: string; component: string; url: string }[];
const observe = (signal: AbortSignal) =>
  Promise.all(
    pods.map(async ({ url, ...pod }) => {
      const answer = await fetch(`${url}/versionz`, { signal }).catch(() => undefined);
      return { ...pod, ready: true, ...(answer?.ok ? { versionz: await answer.json() } : { problem: 'silent' }) };
    }),
  );
const rotations = createRotations({
  db,
  store: createFolderStore(env.FOLDER ?? '', (name) => names.includes(name)),
  pods: clusterPods(observe),
  kinds: createKinds({
    apiBase: env.API ?? '',
    issuer: env.ISSUER ?? '',
    clock: systemClock,
    ...(env.LIVEKIT ? { livekit: { ...JSON.parse(env.LIVEKIT), apiKey: () => 'APIold' } } : {}),
    ...(env.STRIPE ? { stripe: { ...JSON.parse(env.STRIPE), apiKey: () => 'sk_test_rotation' } } : {}),
  }),
  metrics: createRotationMetrics(registry),
  log,
  fence: (tx, token) => checkTerm(tx, LEASE, token),
  redact: (text) => text,
  policyFile: env.POLICIES,
  clock: systemClock,
  timing: systemTiming,
  registry,
});
const { signal } = new AbortController();
// A leader that was stopped while another one took over: its token is smaller.
const stale = { token: 1, signal, check() {} };
await rotations.lead(env.STALE ? stale : await takeLocalTerm(db, LEASE, systemClock, signal));
