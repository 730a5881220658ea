import type { Logger } from '#platform/log/index.ts';

/** Something done again and again, one run at a time. */
export interface Loop {
  start(): void;
  /** Waits for the run in progress. */
  stop(): Promise<void>;
  /** Runs soon; during a run: once more after it. */
  kick(): void;
}

export interface LoopInput {
  name: string;
  everyMs: number;
  log: Logger;
  /** May say after how many ms it wants to run again, sooner than `everyMs`. */
  runOnce(): Promise<number | undefined>;
}

/** After a failure: soon enough to be back within 2 s of a database that was away. */
const RETRY_MS = 1_000;

/** A run that throws is logged and the loop goes on: a database that was away must not leave a process half alive. */
export function createLoop({ name, everyMs, log, runOnce }: LoopInput): Loop {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let started = false;

  function schedule(inMs: number): void {
    clearTimeout(timer);
    // A loop alone never keeps a process alive.
    timer = setTimeout(run, inMs).unref();
  }

  function run(): void {
    again = false;
    let pauseMs = everyMs;
    running = runOnce()
      .then((sooner) => {
        pauseMs = sooner ?? everyMs;
      })
      .catch((error) => {
        pauseMs = Math.min(everyMs, RETRY_MS);
        log.warn(`${name}: a run failed; it is tried again`, { error });
      })
      .finally(() => {
        running = undefined;
        if (started) schedule(again ? 0 : pauseMs);
      });
  }

  return {
    start() {
      started = true;
      schedule(0);
    },
    async stop() {
      started = false;
      clearTimeout(timer);
      await running;
    },
    kick() {
      if (!started) return;
      if (running === undefined) schedule(0);
      else again = true;
    },
  };
}
