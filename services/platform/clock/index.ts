/** Time is passed in, never read, in domain code. Leases, holds and windows use the database's time instead. */
export type Clock = { now(): Date };

export const systemClock: Clock = { now: () => new Date() };

export type FakeClock = Clock & { advance(ms: number): void; set(to: Date | string): void };

/** A clock for tests: stands still until told to move. */
export function fakeClock(start: Date | string = '2026-01-01T00:00:00.000Z'): FakeClock {
  let ms = new Date(start).getTime();
  return {
    now: () => new Date(ms),
    advance: (by) => {
      ms += by;
    },
    set: (to) => {
      ms = new Date(to).getTime();
    },
  };
}
