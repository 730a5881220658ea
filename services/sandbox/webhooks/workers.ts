/** Runs tasks a few at a time or one after another, and tasks for later. After `stop` nothing starts any more. */
export type Workers = {
  /** At once, as far as the width allows. */
  run(task: () => Promise<void>): void;
  /** After the ordered task before it, or when that has held the line for too long. */
  runInOrder(task: () => Promise<void>): void;
  /** Calls after real milliseconds; returns how to take it back. */
  later(ms: number, call: () => void): () => void;
  /** Resolves when nothing runs, queues or waits for its time. */
  idle(): Promise<void>;
  /** Drops what queues or waits. */
  forget(): void;
  readonly stopping: AbortSignal;
  stop(): Promise<void>;
};

type Task = () => Promise<void>;

/** One silent endpoint must not hold everything behind it up. */
const LONGEST_HOLD_MS = 500;

export function createWorkers(width: number): Workers {
  const stop = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  let queue: Task[] = [];
  let ordered: Task[] = [];
  let lineBusy = false;
  let running = 0;
  let idlers: (() => void)[] = [];

  const settle = () => {
    if (running > 0 || queue.length > 0 || ordered.length > 0 || timers.size > 0) return;
    const waiting = idlers;
    idlers = [];
    for (const resolve of waiting) resolve();
  };
  const start = (task: Task, ended: () => void) => {
    running += 1;
    void task().finally(() => {
      running -= 1;
      ended();
      settle();
    });
  };
  const pump = () => {
    while (running < width) {
      const task = queue.shift();
      if (!task) return;
      start(task, pump);
    }
  };
  const pumpOrdered = () => {
    const task = lineBusy ? undefined : ordered.shift();
    if (!task) return;
    lineBusy = true;
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      clearTimeout(hold);
      lineBusy = false;
      pumpOrdered();
    };
    const hold = setTimeout(release, LONGEST_HOLD_MS);
    start(task, release);
  };
  const forget = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    queue = [];
    ordered = [];
    settle();
  };
  const idle = () =>
    new Promise<void>((resolve) => {
      idlers.push(resolve);
      settle();
    });

  return {
    stopping: stop.signal,
    run(task) {
      if (stop.signal.aborted) return;
      queue.push(task);
      pump();
    },
    runInOrder(task) {
      if (stop.signal.aborted) return;
      ordered.push(task);
      pumpOrdered();
    },
    later(ms, call) {
      if (stop.signal.aborted) return () => {};
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
    idle,
    forget,
    stop() {
      stop.abort();
      forget();
      return idle();
    },
  };
}
