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
  /** Named by `add` since its run began. */
  changed: boolean;
  failures: number;
  /** Of a failed key: when it runs again without a change, and not before when it may run with one. */
  pausedUntil: number;
  mendedFrom: number;
};

export type WorkQueue = {
  /** Something about this key changed: run it soon, once, however often this is said. */
  add(key: string): void;
  /** Run it in so many ms, unless it runs sooner. The pause of a key that failed is not shortened by it. */
  addAfter(key: string, ms: number): void;
  /** The next key that may run now, or in how many ms to ask again. Never a key that runs. */
  take(): { key: string } | { inMs: number } | undefined;
  /**
   * The run of a key is over. A failed one waits for its pause, or for what the server asked if that is longer; a visit
   * that was planned meanwhile is covered by the next try.
   */
  done(key: string, failed: boolean, retryAfterMs?: number): void;
  /** Keys that could run now: neither planned for later nor in a pause, nor running. */
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
    const entry = entries.get(key) ?? {
      dueAt: undefined,
      running: false,
      changed: false,
      failures: 0,
      pausedUntil: 0,
      mendedFrom: 0,
    };
    entries.set(key, entry);
    return entry;
  };
  const want = (entry: Entry, at: number) => {
    entry.dueAt = Math.min(entry.dueAt ?? Number.POSITIVE_INFINITY, at);
  };
  function refill(now: number): void {
    tokens = Math.min(limits.burst, tokens + ((now - refilledAt) / 1_000) * limits.perSecond);
    refilledAt = now;
  }

  return {
    add(key) {
      const entry = entryOf(key);
      entry.changed = true;
      // A reconcile that fails and changes its own object would otherwise run without a pause.
      want(entry, Math.max(timing.monotonic(), entry.mendedFrom));
    },
    addAfter(key, ms) {
      const entry = entryOf(key);
      want(entry, Math.max(timing.monotonic() + ms, entry.pausedUntil));
    },
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
      entry.changed = false;
      entry.dueAt = undefined;
      return { key: first.key };
    },
    done(key, failed, retryAfterMs = 0) {
      const entry = entryOf(key);
      entry.running = false;
      if (!failed) {
        Object.assign(entry, { failures: 0, pausedUntil: 0, mendedFrom: 0 });
        if (entry.dueAt === undefined) entries.delete(key);
        return;
      }
      entry.failures += 1;
      const now = timing.monotonic();
      const pauseMs = Math.max(retryAfterMs, backoffMs(entry.failures, limits, timing.random));
      entry.pausedUntil = now + pauseMs;
      entry.mendedFrom = now + Math.min(pauseMs, Math.max(retryAfterMs, limits.mendedMs));
      entry.dueAt = entry.changed ? entry.mendedFrom : entry.pausedUntil;
    },
    depth() {
      const now = timing.monotonic();
      return [...entries.values()].filter(({ dueAt, running }) => !running && dueAt !== undefined && dueAt <= now)
        .length;
    },
  };
}
