import type { Clock } from '#platform/clock/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { type Gauge, type Metrics, whenScraped } from '#platform/metrics/index.ts';
import { retryAfterMs } from './errors.ts';
import { createWorkQueue, type QueueLimits } from './queue.ts';
import type { Timing } from './timing.ts';

export type Controller = {
  /** Says that a key changed. Before `start` and between terms keys are kept, so nothing said is lost. */
  add(key: string): void;
  addAfter(key: string, ms: number): void;
  /** Runs keys until the signal aborts; resolves when what was under way has ended. */
  run(signal: AbortSignal): Promise<void>;
};

export type ControllerInput = {
  /** Label of the metrics. */
  name: string;
  /**
   * Brings the world of one key closer to what is wanted: `observe -> decide(observed, now) -> act`. It may run again
   * at any time, for the same state. A throw is tried again after a pause; `afterMs` asks for a visit without a change,
   * which comes after 10 minutes at the latest: a time on the wall clock may be nearer than it was when it steps, or when
   * the machine was suspended, and the loop's own time notices neither.
   */
  reconcile(key: string, signal: AbortSignal): Promise<{ afterMs?: number } | undefined>;
  clock: Clock;
  timing: Timing;
  log: Logger;
  metrics: Metrics;
  concurrency?: number;
  /** After this the signal of a run aborts: a call that hangs must not keep its key for ever. */
  timeoutMs?: number;
  limits?: Partial<QueueLimits>;
};

const VISIT_MS = 600_000;

/** Keys, one run at a time for each, with metrics. Knows nothing of what a key names. */
export function createController(input: ControllerInput): Controller {
  const { name, timing, log } = input;
  const { concurrency = 2, timeoutMs = 120_000 } = input;
  const queue = createWorkQueue({ timing, ...(input.limits ? { limits: input.limits } : {}) });
  const measured = measure(input.metrics, name, () => queue.depth());
  /** Set while `run` is running: looks at the queue again. */
  let look: (() => void) | undefined;

  async function runKey(key: string, signal: AbortSignal): Promise<void> {
    const own = new AbortController();
    const abort = () => own.abort(signal.reason);
    signal.addEventListener('abort', abort);
    const cancel = timing.after(timeoutMs, () => own.abort(new Error(`${key}: no end within ${timeoutMs} ms`)));
    const began = timing.monotonic();
    try {
      const again = await input.reconcile(key, own.signal);
      measured.ended('success', timing.monotonic() - began);
      measured.lastSuccess(input.clock.now());
      queue.done(key, false);
      // NaN would never be due, and what a timer cannot hold (25 days) would be due at once.
      if (again?.afterMs !== undefined) queue.addAfter(key, Math.min(Math.max(again.afterMs, 0) || 0, VISIT_MS));
    } catch (error) {
      const stepDown = signal.aborted;
      measured.ended(stepDown ? 'aborted' : 'error', timing.monotonic() - began);
      queue.done(key, true, retryAfterMs(error));
      if (!stepDown) log.warn('reconcile failed; it is tried again', { controller: name, key, error });
    } finally {
      cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  return {
    add(key) {
      queue.add(key);
      look?.();
    },
    addAfter(key, ms) {
      queue.addAfter(key, ms);
      look?.();
    },
    run: (signal) =>
      new Promise((resolve) => {
        let running = 0;
        let cancel = () => {};
        const pump = () => {
          cancel();
          if (signal.aborted) {
            if (running > 0) return;
            signal.removeEventListener('abort', pump);
            if (look === pump) look = undefined;
            return resolve();
          }
          while (running < concurrency) {
            const next = queue.take();
            if (next === undefined) break;
            if ('inMs' in next) {
              cancel = timing.after(next.inMs, pump);
              break;
            }
            running += 1;
            void runKey(next.key, signal).then(() => {
              running -= 1;
              pump();
            });
          }
        };
        look = pump;
        signal.addEventListener('abort', pump);
        pump();
      }),
  };
}

/** By gauge and controller: one that is made anew in each term takes the place of the one before. */
const depths = new WeakMap<object, Map<string, () => number>>();

function depthOf(gauge: Gauge<string>): Map<string, () => number> {
  const known = depths.get(gauge);
  if (known) return known;
  const ready = new Map<string, () => number>();
  depths.set(gauge, ready);
  // Read at each scrape: a planned key becomes ready without an event.
  whenScraped(gauge, () => {
    for (const [controller, count] of ready) gauge.set({ controller }, count());
  });
  return ready;
}

function measure(metrics: Metrics, controller: string, ready: () => number) {
  const total = metrics.counter('klar_controller_reconcile_total', 'Reconciles that ended, by result.', [
    'controller',
    'result',
  ]);
  const duration = metrics.histogram('klar_controller_reconcile_duration_seconds', 'How long a reconcile took.', [
    'controller',
  ]);
  const depth = metrics.gauge(
    'klar_controller_workqueue_depth',
    'Keys that could be reconciled now and wait for their turn.',
    ['controller'],
  );
  const success = metrics.gauge(
    'klar_controller_last_success_timestamp_seconds',
    'When a reconcile last succeeded, in seconds since 1970.',
    ['controller'],
  );
  depthOf(depth).set(controller, ready);
  return {
    ended(result: 'success' | 'error' | 'aborted', ms: number) {
      total.inc({ controller, result });
      duration.observe({ controller }, ms / 1_000);
    },
    lastSuccess: (now: Date) => success.set({ controller }, now.getTime() / 1_000),
  };
}
