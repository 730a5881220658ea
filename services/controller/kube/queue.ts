import { backoffMs, type Timing } from './timing.ts';

export type QueueLimits = {
  /** First pause of a key that failed, and the longest. */
  baseMs: number;
  maxMs: number;
  /** A failed key that changes is tried before its pause is over, but not sooner than this after it failed. */
  mendedMs: number;
  /** All keys together: so many starts at once, then so many a second. */
  burst: number;
  perSecond: number;
};

const LIMITS: QueueLimits = { baseMs: 500, maxMs: 60_000, mendedMs: 1_000, burst: 50, perSecond: 20 };

type Entry = {
  /** When it wants to run next; undefined: not waiting. */
  dueAt: number | undefined;
  running: boolean;
  failures: number;
  failedAt: number;
};

export type WorkQueue = {
  /** Something about this key changed: run it soon, once, however often this is said. */
  add(key: string): void;
  /** Run it in so many ms, unless it runs sooner. */
  addAfter(key: string, ms: number): void;
  /** The next key that may run now, or in how many ms to ask again. Never a key that runs. */
  take(): { key: string } | { inMs: number } | undefined;
  /** The run of a key is over. A failed one waits for its pause. */
  done(key: string, failed: boolean, retryAfterMs?: number): void;
  /** Keys that wait, those in a pause included. */
  depth(): number;
};

/** A set of keys with times, as pure as a clock allows: it starts nothing and holds no timer. */
export function createWorkQueue(input: { timing: Timing; limits?: Partial<QueueLimits> }): WorkQueue {
  const { timing } = input;
  const limits = { ...LIMITS, ...input.limits };
  const entries = new Map<string, Entry>();
  let tokens = limits.burst;
  let refilledAt = timing.monotonic();

  const entryOf = (key: string): Entry => {
    const entry = entries.get(key) ?? { dueAt: undefined, running: false, failures: 0, failedAt: 0 };
    entries.set(key, entry);
    return entry;
  };
  const want = (key: string, at: number) => {
    const entry = entryOf(key);
    entry.dueAt = Math.min(entry.dueAt ?? Number.POSITIVE_INFINITY, at);
  };
  function refill(now: number): void {
    tokens = Math.min(limits.burst, tokens + ((now - refilledAt) / 1_000) * limits.perSecond);
    refilledAt = now;
  }

  return {
    add(key) {
      const entry = entryOf(key);
      const now = timing.monotonic();
      // A reconcile that fails and changes its own object would otherwise run without a pause.
      want(key, entry.failures > 0 ? Math.max(now, entry.failedAt + limits.mendedMs) : now);
    },
    addAfter: (key, ms) => want(key, timing.monotonic() + ms),
    take() {
      const now = timing.monotonic();
      refill(now);
      let first: { key: string; dueAt: number } | undefined;
      for (const [key, { dueAt, running }] of entries) {
        if (!running && dueAt !== undefined && dueAt < (first?.dueAt ?? Number.POSITIVE_INFINITY)) {
          first = { key, dueAt };
        }
      }
      if (!first) return undefined;
      const tokenMs = tokens >= 1 ? 0 : ((1 - tokens) / limits.perSecond) * 1_000;
      const inMs = Math.max(first.dueAt - now, tokenMs);
      if (inMs > 0) return { inMs };
      tokens -= 1;
      const entry = entryOf(first.key);
      entry.running = true;
      entry.dueAt = undefined;
      return { key: first.key };
    },
    done(key, failed, retryAfterMs = 0) {
      const entry = entryOf(key);
      entry.running = false;
      entry.failures = failed ? entry.failures + 1 : 0;
      if (failed) {
        entry.failedAt = timing.monotonic();
        const again = entry.failedAt + Math.max(retryAfterMs, backoffMs(entry.failures, limits, timing.random));
        const changed = entry.dueAt;
        entry.dueAt = changed === undefined ? again : Math.max(changed, entry.failedAt + limits.mendedMs);
      } else if (entry.dueAt === undefined) entries.delete(key);
    },
    depth: () => [...entries.values()].filter((entry) => entry.dueAt !== undefined).length,
  };
}
