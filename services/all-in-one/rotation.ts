import path from 'node:path';
import { checkTerm } from '#domain/operations/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { needSecret, type Settings, SPEC } from '#platform/config/index.ts';
import { createDb } from '#platform/db/index.ts';
import { createRedactor, type Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { sleep, systemTiming } from '../controller/kube/timing.ts';
import { createFolderStore } from '../controller/rotation/folder-store.ts';
import { createKinds, kindSettings } from '../controller/rotation/kinds.ts';
import { takeLocalTerm } from '../controller/rotation/local-term.ts';
import { createRotationMetrics } from '../controller/rotation/metrics.ts';
import { localPods } from '../controller/rotation/pods-view.ts';
import { createRotations } from '../controller/rotation/rotations.ts';

const LEASE = 'local';
const AGAIN_MS = 5_000;

/** The rotation of a laptop: the controller's own code on the folder of secrets, with this process as the only pod. */
export function startLocalRotation(input: {
  settings: Settings;
  /** Where this process is reached. */
  base: string;
  log: Logger;
  metrics: Metrics;
}): { stop(): Promise<void> } {
  const { settings, log } = input;
  const url = settings.DATABASE_URL_CONTROLLER ?? needSecret(settings, 'DATABASE_URL');
  const db = createDb({
    url: () => url.current(),
    role: 'klar_controller',
    poolSize: 2,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar rotation',
    log,
    metrics: input.metrics,
  });
  // What comes from the environment is somebody else's, e.g. the URLs of the embedded database.
  const fromFiles = new Set(
    settings.meta.secrets.filter(({ origin }) => origin !== 'env').map(({ name }) => name as string),
  );
  const redactor = createRedactor(settings.meta.secretValues);
  const rotations = createRotations({
    db,
    store: createFolderStore(settings.KLAR_SECRETS_DIR, (name) => name in SPEC && fromFiles.has(name)),
    pods: localPods(settings.meta.secrets),
    kinds: createKinds({ ...kindSettings(settings), apiBase: input.base, clock: systemClock }),
    metrics: createRotationMetrics(input.metrics),
    log,
    fence: (tx, token) => checkTerm(tx, LEASE, token),
    redact: (text) => String(redactor(text)),
    policyFile: settings.KLAR_ROTATION_FILE ?? path.resolve(import.meta.dirname, '../../rotation.yaml'),
    clock: systemClock,
    timing: systemTiming,
    registry: input.metrics,
  });
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = (async () => {
    while (!signal.aborted) {
      try {
        await rotations.lead(await takeLocalTerm(db, LEASE, systemClock, signal));
      } catch (error) {
        if (!signal.aborted) log.warn('rotation does not run; it is tried again', { error });
      }
      await sleep(systemTiming, AGAIN_MS, signal);
    }
  })();
  return {
    async stop() {
      stopping.abort(new Error('stopped'));
      await loop;
      await db.close();
    },
  };
}
