import type { CloseReason, UiMode } from './attempt.ts';
import type { AttemptState } from './state.ts';

/** Stripe keeps an idempotency key for at least 24 h; an hour of it is left for clocks and slow calls. */
export const REPEAT_WINDOW_MS = 23 * 60 * 60 * 1000;

/** A session with less than this left is replaced: nobody should be sent to a page that closes while they type. */
export const MIN_SESSION_LEFT_MS = 2 * 60 * 1000;

/** How long after the end of a session its event may still be on its way. */
const EVENT_LATE_MS = 10 * 60 * 1000;

/** A delayed method takes days to say how it ended. */
const LOOK_EVERY_MS = 24 * 60 * 60 * 1000;

export interface OpenAttempt {
  readonly state: AttemptState;
  readonly ui_mode: UiMode;
  readonly close_reason: CloseReason | null;
  readonly session_id: string | null;
  readonly expires_at: Date | null;
  readonly created_at: Date;
  /** Somebody is calling the provider about it at this moment. */
  readonly leased: boolean;
}

/**
 * The next step towards what the caller wants: `want` is a session in that mode, or none at all.
 * - `make`: insert an attempt; `hand_out`: its session is the answer; `call`: repeat the creating call with its key;
 *   `look_up`: the key is forgotten, search the provider; `close`: expire its session; `wait`: somebody else is on it
 * - `held`, `pending`: refused, the money is on its way or under review; `nothing`: there is none, as wanted
 */
export type Step = 'make' | 'hand_out' | 'call' | 'look_up' | 'close' | 'wait' | 'held' | 'pending' | 'nothing';

/** Pure. @param open the order's one open attempt, if any */
export function planCheckout(open: OpenAttempt | undefined, want: UiMode | 'none', now: Date): Step {
  if (open === undefined) return want === 'none' ? 'nothing' : 'make';
  if (open.state === 'held') return 'held';
  if (open.state === 'pending') return 'pending';
  if (open.leased) return 'wait';
  if (open.state === 'created' || open.state === 'unknown') {
    return now.getTime() - open.created_at.getTime() < REPEAT_WINDOW_MS ? 'call' : 'look_up';
  }
  const left = open.expires_at === null ? 0 : open.expires_at.getTime() - now.getTime();
  const wanted = open.state === 'open' && open.close_reason === null && open.ui_mode === want;
  return wanted && left >= MIN_SESSION_LEFT_MS ? 'hand_out' : 'close';
}

/** Our own doing, not finished: nothing else can be made for the order until it is. */
export function isUnfinished(state: AttemptState): boolean {
  return state === 'created' || state === 'unknown' || state === 'expiring';
}

/** Pure. Whether the provider should have told by now how this ended: events get lost, and nobody else would ask. */
export function isSilent({ state, expires_at }: Pick<OpenAttempt, 'state' | 'expires_at'>, now: Date): boolean {
  if (state === 'open') return (expires_at?.getTime() ?? 0) + EVENT_LATE_MS <= now.getTime();
  return state === 'pending';
}

/** Pure. When the provider is asked next without an event; undefined for an attempt that has ended or is held. */
export function nextLook(
  { state, expires_at }: Pick<OpenAttempt, 'state' | 'expires_at'>,
  now: Date,
): Date | undefined {
  if (state === 'open') {
    const end = expires_at?.getTime() ?? now.getTime();
    // Doubled: a provider that never ends its sessions is not asked every ten minutes for ever.
    return new Date(Math.max(end, now.getTime()) + Math.max(EVENT_LATE_MS, now.getTime() - end));
  }
  // For as long as the provider says that it is on its way.
  return state === 'pending' ? new Date(now.getTime() + LOOK_EVERY_MS) : undefined;
}
