import { uptime } from 'node:os';

/**
 * Time as the loops of this folder see it. Durations are monotonic, so that a stepped clock starts, ends and
 * lengthens nothing; the wall clock (`#platform/clock`) is only for stamps that people read.
 */
export type Timing = {
  /** Milliseconds since an arbitrary moment; never goes back. */
  monotonic(): number;
  /** 0 <= x < 1. */
  random(): number;
  /** Runs `fn` once after `ms`; the answer cancels it. */
  after(ms: number, fn: () => void): () => void;
};

/** What the two clocks may differ by because one of them counts in 10 ms and reading them takes time. */
const SLEPT_MIN_MS = 500;

/**
 * Monotonic time that goes on while the machine is suspended, which the process's own does not: a leader that wakes up
 * must know that its lease is long over. Timers stand still all the same.
 * @param uptime milliseconds since the machine was started, suspended or not
 */
export function awakeTime(running: () => number, uptime: () => number): () => number {
  const apart = uptime() - running();
  let sleptMs = 0;
  return () => {
    const now = running();
    const behindMs = uptime() - now - apart;
    if (behindMs > sleptMs + SLEPT_MIN_MS) sleptMs = behindMs;
    return now + sleptMs;
  };
}

export const systemTiming: Timing = {
  monotonic: awakeTime(
    () => performance.now(),
    () => uptime() * 1_000,
  ),
  random: Math.random,
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms` or when the signal aborts, whichever is first. Leaves neither a timer nor a listener behind. */
export function sleep(timing: Timing, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = timing.after(ms, done);
    signal.addEventListener('abort', done);
  });
}

/**
 * Doubles from `baseMs` to `maxMs`, of which the upper half is random: replicas that lost one API server together
 * must not come back together.
 * @param failures from 1
 */
export function backoffMs(failures: number, limits: { baseMs: number; maxMs: number }, random: () => number): number {
  const full = Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
