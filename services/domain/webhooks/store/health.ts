/** Heartbeats and the numbers that metrics and alerts show. */
import { statement, type Tx } from '#platform/db/index.ts';

const beat = statement(
  'webhooks.beat',
  `insert into ops.worker_heartbeats (worker_id, started_at, beat_at)
   values ($1, $2, clock_timestamp())
   on conflict (worker_id) do update set beat_at = clock_timestamp()`,
);

/** A worker that has been silent for a day is not late, it is gone. */
const forget = statement(
  'webhooks.forget_workers',
  `delete from ops.worker_heartbeats h where h.beat_at < now() - interval '1 day'`,
);

export const heartbeats = {
  async beat(tx: Tx, workerId: string, startedAt: Date): Promise<void> {
    await Promise.all([tx.run(beat, [workerId, startedAt]), tx.run(forget)]);
  },
};

export type InboxNumbers = {
  received: number;
  ready: number;
  leased: number;
  unmatched: number;
  dead: number;
  /** Seconds that the longest-waiting due event is overdue. */
  oldest_s: number;
};

/** Every branch reads one partial index; a plain GROUP BY state would read the whole history. */
const numbers = statement<InboxNumbers>(
  'webhooks.numbers',
  `select
     (select count(*) from inbox.events e where e.state = 'received') as received,
     (select count(*) from inbox.events e where e.state = 'ready') as ready,
     (select count(*) from inbox.events e where e.state = 'leased') as leased,
     (select count(*) from inbox.events e where e.state = 'unmatched') as unmatched,
     (select count(*) from inbox.events e where e.state = 'dead') as dead,
     greatest(0, coalesce(extract(epoch from statement_timestamp() - least(
       (select min(e.next_attempt_at) from inbox.events e where e.state = 'received'),
       (select min(e.next_attempt_at) from inbox.events e where e.state = 'ready'))), 0))::double precision as oldest_s`,
);

export const readNumbers = (tx: Tx): Promise<InboxNumbers> => tx.one(numbers);
