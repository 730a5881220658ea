import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';

/** How a turn went: `again` starts the next one at once, `idle` waits for the period or a wake. */
export type Turn = 'again' | 'idle';

export type LoopInput = {
  name: string;
  everyMs: number;
  /** One turn. What it throws is logged and counted; the loop goes on. */
  run: (signal: AbortSignal) => Promise<Turn>;
  log: Logger;
  metrics: Metrics;
};

export type Loop = {
  /** Ends the current wait. However many wakes arrive during a turn, they cause one more turn. */
  wake(): void;
  /** Resolves when the current turn is over. */
  stop(): Promise<void>;
};

const FIRST_PAUSE_MS = 100;
/** Half of the two seconds in which work must resume after the database is back. */
const LONGEST_PAUSE_MS = 1_000;

/**
 * Runs turns until stopped. It never gives up: there is no error after which doing nothing would be better. The pause
 * after an error doubles up to a second, so that a database that is away is not hammered.
 */
export function startLoop(input: LoopInput): Loop {
  const { name, log } = input;
  const failures = input.metrics.counter('klar_worker_loop_failures_total', 'Turns of a loop that threw', ['loop']);
  failures.inc({ loop: name }, 0);
  const stopping = new AbortController();
  let woken = false;
  let endWait: (() => void) | undefined;

  /** @param deaf a wake does not end this wait: an outage full of wakes would become a busy loop */
  function wait(ms: number, deaf: boolean): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stopping.signal.removeEventListener('abort', done);
        endWait = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      stopping.signal.addEventListener('abort', done, { once: true });
      if (!deaf) endWait = done;
      if (stopping.signal.aborted || (woken && !deaf)) done();
    });
  }

  async function run(): Promise<void> {
    let pause = 0;
    while (!stopping.signal.aborted) {
      try {
        woken = false;
        const turn = await input.run(stopping.signal);
        if (pause > 0) log.info('loop works again', { loop: name });
        pause = 0;
        if (turn === 'idle') await wait(input.everyMs, false);
      } catch (error) {
        if (stopping.signal.aborted) return;
        failures.inc({ loop: name });
        // Once an outage, not once a turn.
        if (pause === 0) log.warn('loop failed, it goes on', { loop: name, error });
        pause = Math.min(LONGEST_PAUSE_MS, pause === 0 ? FIRST_PAUSE_MS : pause * 2);
        await wait(pause, true);
      }
    }
  }

  const running = run();
  return {
    wake() {
      woken = true;
      endWait?.();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
