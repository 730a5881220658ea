import type { Timing } from '../../../services/controller/kube/timing.ts';

export type FakeTiming = Timing & {
  /** Moves on, running what becomes due in order and letting promises settle in between. */
  advance(ms: number): Promise<void>;
  pending(): number;
};

/** Lets everything that is ready run; no timer of ours is involved. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

/** Time for tests: stands still until told to move. */
export function fakeTiming(random = 0.5): FakeTiming {
  let now = 1_000;
  const timers = new Set<{ at: number; fn: () => void }>();
  return {
    monotonic: () => now,
    random: () => random,
    after(ms, fn) {
      const timer = { at: now + ms, fn };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const next = [...timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        now = Math.max(now, next.at);
        timers.delete(next);
        next.fn();
        await settle();
      }
      now = end;
      await settle();
    },
    pending: () => timers.size,
  };
}
