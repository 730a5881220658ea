/** The inbox as a queue: leases, and how an attempt ends. All times are the database's. */
import { statement, type Tx } from '#platform/db/index.ts';

export type ClaimedRow = {
  id: string;
  provider: string;
  account: string;
  event_id: string;
  type: string;
  livemode: boolean | null;
  raw: Buffer;
  received_at: Date;
  tenant_id: string;
  attempts: number;
};

/**
 * Takes due events of the next tenants after a cursor, each tenant the same share: a tenant with ten thousand events
 * waits for itself, not the others for it. The recursion hops from tenant to tenant on the index, so its cost is the
 * number of tenants asked for, not the number of events waiting.
 * statement_timestamp() and not clock_timestamp(): a volatile function cannot be an index condition.
 */
const claimDue = statement<ClaimedRow>(
  'webhooks.claim_due',
  `with recursive due as (
     (select e.tenant_id, 1 as place
      from inbox.events e
      where e.state = 'ready' and e.tenant_id > $1 and e.next_attempt_at <= statement_timestamp()
      order by e.tenant_id, e.next_attempt_at
      limit 1)
     union all
     select following.tenant_id, due.place + 1
     from due
     cross join lateral (
       select e.tenant_id
       from inbox.events e
       where e.state = 'ready' and e.tenant_id > due.tenant_id and e.next_attempt_at <= statement_timestamp()
       order by e.tenant_id, e.next_attempt_at
       limit 1) following
     where due.place < $2
   ),
   share as (select greatest(1, $2 / greatest(1, count(*)))::integer as rows from due),
   picked as (
     select oldest.id
     from due
     cross join share
     cross join lateral (
       select e.id
       from inbox.events e
       where e.state = 'ready' and e.tenant_id = due.tenant_id and e.next_attempt_at <= statement_timestamp()
       order by e.next_attempt_at
       limit share.rows
       for update of e skip locked) oldest
   )
   update inbox.events e
   set state = 'leased', attempts = e.attempts + 1, lease_token = $3,
     lease_until = clock_timestamp() + make_interval(secs => $4)
   from picked
   where e.id = picked.id
   returning e.id, e.provider, e.account, e.event_id, e.type, e.livemode, e.raw, e.received_at, e.tenant_id, e.attempts`,
);

const finish = statement(
  'webhooks.finish',
  `update inbox.events e
   set state = 'done', handled_at = clock_timestamp(), lease_token = null, lease_until = null, last_error = null
   where e.id = $1 and e.state = 'leased' and e.lease_token = $2`,
);

const failAttempt = statement(
  'webhooks.fail_attempt',
  `update inbox.events e
   set state = $3, next_attempt_at = clock_timestamp() + make_interval(secs => $4), last_error = $5,
     last_failed_at = clock_timestamp(), lease_token = null, lease_until = null
   where e.id = $1 and e.state = 'leased' and e.lease_token = $2`,
);

const release = statement(
  'webhooks.release',
  `update inbox.events e
   set state = 'ready', attempts = greatest(e.attempts - 1, 0),
     next_attempt_at = clock_timestamp() + make_interval(secs => $3), lease_token = null, lease_until = null
   where e.id = any ($1) and e.state = 'leased' and e.lease_token = $2`,
);

/** SKIP LOCKED: a row that is locked is being finished at this moment; waiting for it would stop the loop. */
const expireLeases = statement<{ id: string; state: string }>(
  'webhooks.expire_leases',
  `update inbox.events e
   set state = case when e.attempts >= $1 then 'dead' else 'ready' end, next_attempt_at = clock_timestamp(),
     last_error = 'the worker that held it went away', last_failed_at = clock_timestamp(),
     lease_token = null, lease_until = null
   where e.id in (
     select x.id
     from inbox.events x
     where x.state = 'leased' and x.lease_until < statement_timestamp()
     order by x.lease_until
     limit 200
     for update of x skip locked)
   returning e.id, e.state`,
);

export const queue = {
  /** Leases up to `limit` events of tenants after `cursor` ('' starts from the first), counting the attempt. */
  claim: (tx: Tx, input: { cursor: string; limit: number; token: string; leaseMs: number }) =>
    tx.rows(claimDue, [input.cursor, input.limit, input.token, input.leaseMs / 1_000]),

  /** Whether the lease was still ours. First statement of the effect's transaction: the fence and the lock in one. */
  finish: async (tx: Tx, id: string, token: string): Promise<boolean> => (await tx.run(finish, [id, token])) === 1,

  /** Ends an attempt that failed. False when the lease was lost meanwhile: then another has taken over. */
  fail: async (
    tx: Tx,
    input: { id: string; token: string; state: 'ready' | 'dead'; delayMs: number; error: string },
  ): Promise<boolean> =>
    (await tx.run(failAttempt, [input.id, input.token, input.state, input.delayMs / 1_000, input.error])) === 1,

  /** Gives events back as if never taken: the fault was ours, it must not use up an attempt. */
  release: (tx: Tx, ids: readonly string[], token: string, delayMs: number) =>
    tx.run(release, [ids, token, delayMs / 1_000]),

  expireLeases: (tx: Tx, maxAttempts: number) => tx.rows(expireLeases, [maxAttempts]),
};
