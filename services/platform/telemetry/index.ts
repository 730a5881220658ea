import { setTimeout as delay } from 'node:timers/promises';
import type { Settings } from '#platform/config/index.ts';
import type { Logger } from '#platform/log/index.ts';

export { recordSpan, withServerSpan, withSpan } from './trace.ts';

export type Telemetry = { stop(): Promise<void> };

/** The exporter repeats for half a minute what nobody takes; a stop does not wait for that. */
const FLUSH_MS = 3_000;

let running = 0;
let started: Promise<Telemetry[]> | undefined;

/**
 * Switches traces (OTEL_EXPORTER_OTLP_ENDPOINT) and error reports (SENTRY_DSN) on where the environment says so;
 * otherwise nothing is loaded. Parts that share a process share one of each; stop it in the group `flush`.
 */
export async function startTelemetry(input: { settings: Settings; log: Logger; process?: string }): Promise<Telemetry> {
  const { settings, log } = input;
  const process = input.process ?? settings.meta.process;
  running += 1;
  started ??= begin(settings, process, log);
  const parts = await started;
  let stopped = false;
  return {
    async stop() {
      if (stopped) return;
      stopped = true;
      running -= 1;
      if (running > 0) return;
      started = undefined;
      const flushed = Promise.all(
        parts.map((part) => part.stop().catch((error) => log.warn('telemetry did not flush', { error }))),
      );
      const timer = new AbortController();
      await Promise.race([flushed, delay(FLUSH_MS, undefined, { signal: timer.signal }).catch(() => {})]);
      timer.abort();
    },
  };
}

async function begin(settings: Settings, process: string, log: Logger): Promise<Telemetry[]> {
  const endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT;
  const dsn = settings.SENTRY_DSN;
  const commit = settings.KLAR_COMMIT;
  const parts = await Promise.all([
    endpoint ? import('./otel.ts').then((m) => m.startOtel({ endpoint, process, commit })) : undefined,
    dsn
      ? import('./sentry.ts').then((m) =>
          m.startSentry({ dsn: dsn.current(), process, environment: settings.KLAR_PROFILE, release: commit }),
        )
      : undefined,
  ]);
  if (endpoint) log.info('traces are on');
  if (dsn) log.info('error reports are on');
  return parts.filter((part) => part !== undefined);
}
