import { statement, type Tx } from '#platform/db/index.ts';
import type { FailureState } from '../lockout.ts';

export interface ThrottleRow {
  failures: number;
  age_s: number;
  locked_s: number;
}

// The update changes nothing: it takes the row's lock, so that two processes count one after the other.
const lockThrottle = statement<ThrottleRow>(
  'identity.lock_throttle',
  `insert into auth.throttles as t (key) values ($1) on conflict (key) do update set key = excluded.key
   returning t.failures, extract(epoch from clock_timestamp() - t.last_failure_at)::float8 as age_s,
     case when t.locked_until > clock_timestamp() then extract(epoch from t.locked_until - clock_timestamp())::float8
       else 0 end as locked_s`,
);
const setFailures = statement(
  'identity.set_failures',
  `update auth.throttles set failures = $2, last_failure_at = clock_timestamp(),
     locked_until = case when $3 > 0 then clock_timestamp() + make_interval(secs => $3) else '-infinity' end
   where key = $1`,
);
const clearThrottles = statement('identity.clear_throttles', `delete from auth.throttles where key = any($1::bytea[])`);
// A fixed window: `failures` counts uses, `locked_until` is the window's end.
const countUse = statement<{ uses: number; left_s: number }>(
  'identity.count_use',
  `insert into auth.throttles as t (key, failures, locked_until) values ($1, 1, clock_timestamp() + make_interval(secs => $2))
   on conflict (key) do update set
     failures = case when t.locked_until > clock_timestamp() then t.failures + 1 else 1 end,
     locked_until = case when t.locked_until > clock_timestamp() then t.locked_until
       else clock_timestamp() + make_interval(secs => $2) end,
     last_failure_at = clock_timestamp()
   returning t.failures as uses, extract(epoch from t.locked_until - clock_timestamp())::float8 as left_s`,
);

export interface LockedThrottle extends FailureState {
  /** Seconds until the account may try again; 0: now. */
  lockedS: number;
}

/** The failures of one account, locked until the transaction ends. Works the same for an account that does not exist. */
export async function lock(tx: Tx, key: Buffer): Promise<LockedThrottle> {
  const row = await tx.one(lockThrottle, [key]);
  return { failures: row.failures, ageS: row.age_s, lockedS: row.locked_s };
}

export async function fail(tx: Tx, key: Buffer, next: { failures: number; lockS: number }): Promise<void> {
  await tx.run(setFailures, [key, next.failures, next.lockS]);
}

export async function clear(tx: Tx, keys: readonly Buffer[]): Promise<void> {
  await tx.run(clearThrottles, [keys]);
}

/** Counts one use in a window of `windowS`; false when there were more than `limit`. */
export async function use(
  tx: Tx,
  key: Buffer,
  limit: number,
  windowS: number,
): Promise<{ allowed: boolean; retryAfterS: number }> {
  const row = await tx.one(countUse, [key, windowS]);
  return { allowed: row.uses <= limit, retryAfterS: Math.max(1, Math.ceil(row.left_s)) };
}
