/** Numbers of the module, with the reason for each. */

/** Five minutes (design section 4): how long a token lives on when nobody can be asked whether its session ended. */
export const ACCESS_TOKEN_S = 300;
/** A client that was offline for a holiday still is logged in; each refresh starts the time anew. */
export const SESSION_DAYS = 30;
/** However busy: after half a year the password is asked for again. */
export const SESSION_MAX_DAYS = 180;
/** A lost answer or a second tab repeats the previous refresh token within this time; a thief comes later. */
export const REFRESH_GRACE_MS = 30_000;

export const VERIFY_LINK_HOURS = 24;
/** Whoever reads the mail holds the account: an hour, not a day. */
export const RESET_LINK_MINUTES = 60;

/** Revocations are polled so often ... */
export const REVOCATION_POLL_MS = 2_000;
/** ... and when what is known is older than this, every request asks the database: together below the promised 5 s. */
export const REVOCATION_STALE_MS = 4_000;

/** An outside token that lives longer would outlive every record of its revocation; its issuer is set up wrongly. */
export const OUTSIDE_TOKEN_MAX_S = 86_400;
/** Clocks of other companies: 60 s both ways (issue rule). */
export const OUTSIDE_CLOCK_TOLERANCE_S = 60;
/** How long the person behind an outside account is believed without asking: below the promised 5 s. */
export const OUTSIDE_CACHE_MS = 3_000;
