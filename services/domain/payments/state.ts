/**
 * The state of a payment is a pure function of amounts and attempts. Amounts are the truth; a state is never set, it is
 * computed, and the step from the last one is checked against the one transition table.
 */

export const PAYMENT_STATES = [
  'created',
  'pending',
  'unknown',
  'paid',
  'failed',
  'expired',
  'refunded',
  'partially_refunded',
  'disputed',
] as const;
export type PaymentState = (typeof PAYMENT_STATES)[number];

/**
 * - `created`: our row exists, the provider has not answered yet.
 * - `unknown`: the provider's answer was lost; it may have acted.
 * - `open`: a session that can be paid.
 * - `expiring`: we are closing the session; nothing new is made before that is confirmed.
 * - `pending`: paid by a method that answers later.
 * - `held`: money arrived that does not match the order; a person decides.
 * - `paid`, `failed`, `expired`: ended.
 * - `void`: ended without counting: replaced by another, or refused by the provider before it existed.
 */
export const ATTEMPT_STATES = [
  'created',
  'unknown',
  'open',
  'expiring',
  'pending',
  'held',
  'paid',
  'failed',
  'expired',
  'void',
] as const;
export type AttemptState = (typeof ATTEMPT_STATES)[number];

/** Attempts that forbid another one: the partial unique index of the table lists the same states. */
export const OPEN_STATES = ['created', 'unknown', 'open', 'expiring', 'pending', 'held'] as const;

export function isOpen(state: AttemptState): boolean {
  return (OPEN_STATES as readonly AttemptState[]).includes(state);
}

/** Minor units of the payment's currency. `disputed`: withheld by a dispute that is open; `lost`: taken by one that ended. */
export interface Amounts {
  readonly captured: number;
  readonly refunded: number;
  readonly disputed: number;
  readonly lost: number;
}

export const NO_AMOUNTS: Amounts = { captured: 0, refunded: 0, disputed: 0, lost: 0 };

export interface AttemptFacts extends Amounts {
  readonly state: AttemptState;
}

export function sumAmounts(attempts: readonly Amounts[]): Amounts {
  const sum = (pick: (a: Amounts) => number) => attempts.reduce((total, attempt) => total + pick(attempt), 0);
  return {
    captured: sum((a) => a.captured),
    refunded: sum((a) => a.refunded),
    disputed: sum((a) => a.disputed),
    lost: sum((a) => a.lost),
  };
}

/**
 * @param due what the order costs
 * @param attempts all attempts of the payment, oldest first
 */
export function paymentState(due: number, attempts: readonly AttemptFacts[]): PaymentState {
  const amounts = sumAmounts(attempts);
  if (amounts.captured > 0) return moneyState(due, amounts);
  // Without money the youngest attempt that counts speaks.
  const last = attempts.findLast((attempt) => attempt.state !== 'void');
  return last === undefined ? 'created' : WITHOUT_MONEY[last.state];
}

function moneyState(due: number, { captured, refunded, disputed, lost }: Amounts): PaymentState {
  if (disputed > 0) return 'disputed';
  const kept = captured - refunded - lost;
  // Money that came twice and went back once still pays the order in full.
  if (kept >= due) return 'paid';
  // What a dispute took is not a refund of ours.
  if (lost > 0) return 'disputed';
  return kept <= 0 ? 'refunded' : 'partially_refunded';
}

const WITHOUT_MONEY = {
  created: 'created',
  unknown: 'unknown',
  open: 'pending',
  expiring: 'pending',
  pending: 'pending',
  held: 'unknown',
  // Unreachable without an amount; read as "ask again" rather than as paid.
  paid: 'unknown',
  failed: 'failed',
  expired: 'expired',
  void: 'created',
} as const satisfies Record<AttemptState, PaymentState>;

const UNPAID = ['created', 'pending', 'unknown', 'failed', 'expired'] as const;
const MONEY = ['paid', 'refunded', 'partially_refunded', 'disputed'] as const;

/**
 * Which state may follow which. Captured money only grows: every unpaid state can become any money state (late money,
 * or money that was already given back when we first saw it), and no money state becomes unpaid again.
 */
export const PAYMENT_TRANSITIONS = {
  created: [...UNPAID, ...MONEY],
  pending: [...UNPAID, ...MONEY],
  unknown: [...UNPAID, ...MONEY],
  failed: [...UNPAID, ...MONEY],
  expired: [...UNPAID, ...MONEY],
  paid: MONEY,
  refunded: MONEY,
  partially_refunded: MONEY,
  disputed: MONEY,
} as const satisfies Record<PaymentState, readonly PaymentState[]>;

export function maySucceed(from: PaymentState, to: PaymentState): boolean {
  return (PAYMENT_TRANSITIONS[from] as readonly PaymentState[]).includes(to);
}

/** What the buyer sees: an order knows no `created` and no `unknown`. */
export const ORDER_STATUS_OF = {
  created: 'pending',
  pending: 'pending',
  unknown: 'pending',
  paid: 'paid',
  failed: 'failed',
  expired: 'expired',
  refunded: 'refunded',
  partially_refunded: 'partially_refunded',
  disputed: 'disputed',
} as const satisfies Record<PaymentState, string>;
