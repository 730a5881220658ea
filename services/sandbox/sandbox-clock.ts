import type { Store } from './store.ts';

/** Real time as the process sees it. */
export type Clock = { now(): Date };

/** The provider's time: real time plus what `POST /sandbox/clock` has advanced it by, kept over restarts. */
export type SandboxClock = {
  /** Milliseconds since 1970 in the sandbox. */
  nowMs(): number;
  /** Seconds since 1970 in the sandbox, as Stripe writes them. */
  unix(): number;
  advance(ms: number): void;
  /** Real time: signatures carry it, because a receiver compares it with its own clock. */
  realMs(): number;
};

export function createSandboxClock(base: Clock, store: Store): SandboxClock {
  const offset = () => store.get('meta', 'clock_offset_ms')?.value ?? 0;
  return {
    nowMs: () => base.now().getTime() + offset(),
    unix: () => Math.floor((base.now().getTime() + offset()) / 1000),
    advance: (ms) => void store.put('meta', { id: 'clock_offset_ms', value: offset() + ms }),
    realMs: () => base.now().getTime(),
  };
}
