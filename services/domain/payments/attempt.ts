import type { Observation } from './gateway.ts';
import { type AttemptState, isOpen } from './state.ts';

/** How Stripe Checkout is shown, in the words of the pinned API version. */
export const UI_MODES = ['hosted_page', 'embedded_page', 'elements', 'form'] as const;
export type UiMode = (typeof UI_MODES)[number];

/** Why an attempt that brought no money ended, or is being ended. */
export type CloseReason = 'replaced' | 'canceled' | 'paid_elsewhere' | 'timed_out' | 'refused' | 'declined' | 'lost';

/** Closed by us to make room: it says nothing about the payment. */
const DOES_NOT_COUNT: ReadonlySet<CloseReason> = new Set(['replaced', 'refused', 'lost', 'paid_elsewhere']);

export interface AttemptView {
  readonly id: string;
  readonly order_id: string;
  readonly state: AttemptState;
  readonly close_reason: CloseReason | null;
  readonly account: string;
  readonly livemode: boolean;
  readonly amount: number;
  readonly currency: string;
  readonly session_id: string | null;
  readonly captured: number;
  readonly refunded: number;
}

/** Fields of an observation that are not what we asked for. */
export type Difference = 'session' | 'order' | 'attempt' | 'amount' | 'captured' | 'currency' | 'livemode' | 'account';

/** Compares what the provider has with what we asked it for. Everything that decides over fulfilment is here. */
export function differences(attempt: AttemptView, seen: Observation): Difference[] {
  const wrong: [Difference, boolean][] = [
    ['session', attempt.session_id !== null && attempt.session_id !== seen.sessionId],
    ['order', seen.orderId !== attempt.order_id],
    ['attempt', seen.attemptId !== attempt.id],
    ['amount', seen.amount !== attempt.amount],
    ['captured', seen.money === 'paid' && seen.captured !== attempt.amount],
    ['currency', seen.currency !== attempt.currency],
    ['livemode', seen.livemode !== attempt.livemode],
    ['account', seen.account !== attempt.account],
  ];
  return wrong.filter(([, differs]) => differs).map(([field]) => field);
}

/** What an observation means for our attempt. */
export type Decision =
  | {
      readonly kind: 'take';
      readonly state: AttemptState;
      readonly closeReason: CloseReason | null;
      readonly captured: number;
      readonly refunded: number;
    }
  | { readonly kind: 'mismatch'; readonly fields: readonly Difference[] };

/** Pure: the same row and the same observation give the same decision, whichever event brought it. */
export function decide(attempt: AttemptView, seen: Observation): Decision {
  const fields = differences(attempt, seen);
  // A session that ended without money can be wrong in any way: there is nothing to hold.
  if (fields.length > 0 && !(seen.status === 'expired' && seen.money === 'none')) return { kind: 'mismatch', fields };
  return { kind: 'take', ...next(attempt, seen) };
}

interface Next {
  state: AttemptState;
  closeReason: CloseReason | null;
  captured: number;
  refunded: number;
}

function next(attempt: AttemptView, seen: Observation): Next {
  const { captured, refunded } = attempt;
  const keep: Next = { state: attempt.state, closeReason: attempt.close_reason, captured, refunded };
  if (seen.money === 'paid')
    return { state: 'paid', closeReason: null, captured: seen.captured, refunded: seen.refunded };
  // Captured money only grows; and an attempt that has ended is reopened by money alone, never by a page.
  if (captured > 0 || !isOpen(attempt.state)) return keep;
  if (seen.money === 'processing') return { ...keep, state: 'pending' };
  if (seen.money === 'failed') return { ...keep, state: 'failed', closeReason: 'declined' };
  if (seen.status === 'expired') {
    const reason = attempt.close_reason ?? 'timed_out';
    return { ...keep, state: DOES_NOT_COUNT.has(reason) ? 'void' : 'expired', closeReason: reason };
  }
  return { ...keep, state: attempt.close_reason === null ? 'open' : 'expiring' };
}
