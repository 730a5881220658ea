/** What operators see and do. No statement here reads a payload but `showRaw`, which only klar_ops may run. */
import { statement, type Tx } from '#platform/db/index.ts';
import type { EventState } from '../event.ts';

export type EventRow = {
  id: string;
  provider: string;
  account: string;
  event_id: string;
  type: string;
  livemode: boolean | null;
  state: EventState;
  tenant_id: string | null;
  object_ids: string[];
  verdict: string;
  received_at: Date;
  run: number;
  attempts: number;
  next_attempt_at: Date;
  lease_until: Date | null;
  last_error: string | null;
  last_failed_at: Date | null;
  handled_at: Date | null;
  replayed_at: Date | null;
};

const COLUMNS = `e.id, e.provider, e.account, e.event_id, e.type, e.livemode, e.state, e.tenant_id, e.object_ids,
     e.verdict, e.received_at, e.run, e.attempts, e.next_attempt_at, e.lease_until, e.last_error, e.last_failed_at,
     e.handled_at, e.replayed_at`;

/** All given conditions must hold; an absent one holds always. */
export type EventFilter = {
  /** Our ids or the provider's. */
  ids?: readonly string[] | undefined;
  states?: readonly EventState[] | undefined;
  provider?: string | undefined;
  type?: string | undefined;
  tenantId?: string | undefined;
  objectId?: string | undefined;
  /** Received at or after. */
  since?: Date | undefined;
  /** Received before. */
  until?: Date | undefined;
};

const FILTER = `($1::text[] is null or e.id = any ($1) or e.event_id = any ($1))
     and ($2::text[] is null or e.state = any ($2))
     and ($3::text is null or e.provider = $3)
     and ($4::text is null or e.type = $4)
     and ($5::text is null or e.tenant_id = $5)
     and ($6::text is null or $6 = any (e.object_ids))
     and ($7::timestamptz is null or e.received_at >= $7)
     and ($8::timestamptz is null or e.received_at < $8)`;

const filterValues = (filter: EventFilter) => [
  filter.ids ?? null,
  filter.states ?? null,
  filter.provider ?? null,
  filter.type ?? null,
  filter.tenantId ?? null,
  filter.objectId ?? null,
  filter.since ?? null,
  filter.until ?? null,
];

const list = statement<EventRow>(
  'webhooks.list_events',
  `select ${COLUMNS}
   from inbox.events e
   where ${FILTER} and ($9::text is null or e.id < $9)
   order by e.id desc
   limit $10`,
);

const show = statement<EventRow>(
  'webhooks.show_event',
  `select ${COLUMNS}
   from inbox.events e
   where e.id = $1 or e.event_id = $1
   order by e.id
   limit 10`,
);

const showRaw = statement<{ raw: Buffer }>('webhooks.show_raw', `select e.raw from inbox.events e where e.id = $1`);

export type Candidate = { id: string; state: EventState; tenant_id: string | null; cooling: boolean; dropped: boolean };

const candidates = statement<Candidate>(
  'webhooks.list_candidates',
  `select e.id, e.state, e.tenant_id,
     coalesce(e.replayed_at > now() - make_interval(secs => $11), false) as cooling,
     e.raw_dropped_at is not null as dropped
   from inbox.events e
   where ${FILTER} and ($9::text is null or e.id > $9)
   order by e.id
   limit $10`,
);

/** The state is checked again: between the list and this another operator, or a worker, may have acted. */
const requeue = statement<{ id: string; run: number }>(
  'webhooks.requeue',
  `update inbox.events e
   set state = 'received', run = e.run + 1, attempts = 0, next_attempt_at = clock_timestamp(),
     last_error = null, replayed_at = clock_timestamp()
   where e.id = any ($1) and e.state = any ($2) and e.raw_dropped_at is null
   returning e.id, e.run`,
);

export const operator = {
  /** Newest first. */
  list: (tx: Tx, filter: EventFilter, page: { before: string | null; limit: number }) =>
    tx.rows(list, [...filterValues(filter), page.before, page.limit]),
  show: (tx: Tx, id: string) => tx.rows(show, [id]),
  raw: (tx: Tx, id: string) => tx.maybe(showRaw, [id]),
  /** Oldest first, so that a replay repeats the order of receipt. */
  candidates: (tx: Tx, filter: EventFilter, page: { after: string | null; limit: number; cooldownS: number }) =>
    tx.rows(candidates, [...filterValues(filter), page.after, page.limit, page.cooldownS]),
  requeue: (tx: Tx, ids: readonly string[], states: readonly EventState[]) => tx.rows(requeue, [ids, states]),
};
