/** What of the inbox is over. By functions that alone may touch a stored event; their floors hold whatever is asked. */
import { statement, type Tx } from '#platform/db/index.ts';

type Batch = { found: number; purged: number };

const dropPayloads = statement<Batch>(
  'webhooks.drop_payloads',
  'select b.found, b.purged from inbox.drop_payloads($1, $2) b',
);
const purgeEvents = statement<Batch>(
  'webhooks.purge_events',
  'select b.found, b.purged from inbox.purge_events($1, $2) b',
);
const countOld = statement<{ count: number }>(
  'webhooks.count_old_events',
  'select inbox.count_old_events($1, $2) as count',
);

// The newest heartbeat stays whatever its age: it says since when no worker lives.
const OLD_BEAT = `h.beat_at < now() - make_interval(days => $1)
    and h.beat_at < (select max(n.beat_at) from ops.worker_heartbeats n)`;
const purgeBeats = statement<Batch>(
  'webhooks.purge_heartbeats',
  `with old as (select h.worker_id from ops.worker_heartbeats h where ${OLD_BEAT} limit $2),
        gone as (delete from ops.worker_heartbeats h using old where h.worker_id = old.worker_id returning 1)
   select (select count(*) from old) as found, (select count(*) from gone) as purged`,
);
const countBeats = statement<{ count: number }>(
  'webhooks.count_old_heartbeats',
  `select count(*) as count from ops.worker_heartbeats h where ${OLD_BEAT}`,
);

/** Payloads of events that were received so many days ago and ended, but not `dead`: those somebody still has to read. */
export const oldPayloads = (days: number) => ({
  purge: (tx: Tx, limit: number) => tx.one(dropPayloads, [days, limit]),
  count: async (tx: Tx) => (await tx.one(countOld, [days, true])).count,
});

/** The rows of events whose payload is gone. */
export const oldEvents = (days: number) => ({
  purge: (tx: Tx, limit: number) => tx.one(purgeEvents, [days, limit]),
  count: async (tx: Tx) => (await tx.one(countOld, [days, false])).count,
});

export const oldHeartbeats = (days: number) => ({
  purge: (tx: Tx, limit: number) => tx.one(purgeBeats, [days, limit]),
  count: async (tx: Tx) => (await tx.one(countBeats, [days])).count,
});
