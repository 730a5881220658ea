import type { SandboxLog } from '../records.ts';
import type { SandboxClock } from '../sandbox-clock.ts';
import type { Store } from '../store.ts';

/** The version the pinned stripe-node speaks; events carry it, and a test compares it with the SDK's. */
export const API_VERSION = '2026-10-28.endive';

/** The one account of the sandbox. */
export const ACCOUNT_ID = 'acct_1SandboxKlar0001';

/** What stood behind a change: the API request, or nulls when the person at the checkout page or time did it. */
export type Cause = { id: string | null; idempotency_key: string | null };

/** What every part of the Stripe stand-in works with. */
export type World = {
  store: Store;
  clock: SandboxClock;
  log: SandboxLog;
  /** Where people reach the sandbox, without a slash at the end. */
  publicUrl(): string;
  /** How long a delayed payment stays unpaid before it ends by itself, in sandbox milliseconds. */
  delayedSettleMs: number;
  /** When `passTime` last looked, in sandbox milliseconds. */
  lookedAt: number;
  /** The request that is being handled. Handlers are synchronous, so one field is enough. */
  cause: Cause;
  /** Called with each new event, to deliver it. */
  onEvent(eventId: string): void;
};

export const NOBODY: Cause = { id: null, idempotency_key: null };

/** Runs a handler so that the events it makes name the request. */
export function becauseOf<T>(world: World, cause: Cause, work: () => T): T {
  const before = world.cause;
  world.cause = cause;
  try {
    return work();
  } finally {
    world.cause = before;
  }
}
