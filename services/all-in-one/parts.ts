import type { Settings } from '#platform/config/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { Progress } from './progress.ts';

/** What has to be stopped when a later step of the start fails, the newest last. */
export type Undo = (() => Promise<unknown>)[];

type Parts = [
  typeof import('../api/main.ts'),
  typeof import('../webhook-ingest/main.ts'),
  typeof import('../worker/main.ts'),
];

/** Loads the code of the processes. It takes this process a second, while PostgreSQL starts in another one. */
export function loadParts(): Promise<Parts> {
  return Promise.all([import('../api/main.ts'), import('../webhook-ingest/main.ts'), import('../worker/main.ts')]);
}

/** Starts the processes without ports of their own, by the functions that their `main.ts` call. */
export async function startParts(input: {
  parts: Promise<Parts>;
  settings: Settings;
  logFor: (process: string) => Logger;
  metrics: Metrics;
  progress: Progress;
  undo: Undo;
}) {
  const { settings, logFor, metrics, progress, undo } = input;
  const [{ startApi }, { startIngest }, { startWorker }] = await progress.step('Code of the parts', () => input.parts);
  const shared = { settings, metrics, listen: false };
  const worker = settings.KLAR_WORKER_ENABLED
    ? await progress.step('Worker', () => startWorker({ ...shared, log: logFor('worker') }))
    : undefined;
  if (worker) undo.push(() => worker.stop('start failed'));
  const ingest = await progress.step('Webhook ingest', () =>
    startIngest({
      ...shared,
      log: logFor('webhook-ingest'),
      ...(worker ? { onStored: () => worker.wake() } : {}),
    }),
  );
  undo.push(() => ingest.stop('start failed'));
  const api = await progress.step('API', () => startApi({ ...shared, log: logFor('api') }));
  undo.push(() => api.stop('start failed'));
  return { api, ingest, worker };
}
