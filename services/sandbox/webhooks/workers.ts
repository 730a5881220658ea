/** A few tasks at a time, in the order they came, and tasks for later. */
export type Workers = {
  run(task: () => Promise<void>): void;
  /** Calls after real milliseconds; returns how to take it back. */
  later(ms: number, call: () => void): () => void;
  /** Resolves when nothing runs, queues or waits for its time. */
  idle(): Promise<void>;
  /** Drops what queues or waits. */
  forget(): void;
  readonly stopping: AbortSignal;
  stop(): Promise<void>;
};

export function createWorkers(width: number): Workers {
  const stop = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  let queue: (() => Promise<void>)[] = [];
  let running = 0;
  let idlers: (() => void)[] = [];

  const settle = () => {
    if (running > 0 || queue.length > 0 || timers.size > 0) return;
    const waiting = idlers;
    idlers = [];
    for (const resolve of waiting) resolve();
  };
  const pump = () => {
    while (running < width && !stop.signal.aborted) {
      const task = queue.shift();
      if (!task) break;
      running += 1;
      void task().finally(() => {
        running -= 1;
        pump();
      });
    }
    settle();
  };
  const forget = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    queue = [];
    settle();
  };

  return {
    stopping: stop.signal,
    run(task) {
      queue.push(task);
      pump();
    },
    later(ms, call) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        call();
        settle();
      }, ms);
      timers.add(timer);
      return () => {
        clearTimeout(timer);
        timers.delete(timer);
      };
    },
    idle: () =>
      new Promise((resolve) => {
        idlers.push(resolve);
        settle();
      }),
    forget,
    stop() {
      stop.abort();
      forget();
      return new Promise((resolve) => {
        idlers.push(resolve);
        settle();
      });
    },
  };
}
