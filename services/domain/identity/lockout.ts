/**
 * How failed logins slow an account down. Never permanent: a stranger who knows an address could otherwise lock its
 * owner out for good; and the owner can always leave the lock through a password reset.
 */

/** Failures before the first lock: a person who tries all their passwords is not an attack. */
export const FREE_FAILURES = 10;
const FIRST_LOCK_S = 30;
/** At four guesses an hour a thousand most common passwords take ten days and are seen by then. */
const LONGEST_LOCK_S = 900;
/** After a day without failures the count starts anew. */
export const FORGET_AFTER_S = 86_400;

export interface FailureState {
  failures: number;
  /** Seconds since the last failure. */
  ageS: number;
}

/** The count after one more failure, and the seconds to lock from now (0: not yet). */
export function afterFailure(state: FailureState): { failures: number; lockS: number } {
  const failures = (state.ageS > FORGET_AFTER_S ? 0 : state.failures) + 1;
  if (failures < FREE_FAILURES) return { failures, lockS: 0 };
  const doublings = Math.min(failures - FREE_FAILURES, 10);
  return { failures, lockS: Math.min(FIRST_LOCK_S * 2 ** doublings, LONGEST_LOCK_S) };
}
