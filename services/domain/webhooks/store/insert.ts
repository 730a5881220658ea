/** Ingest's one statement. */
import { byteaArray, type Db, statement } from '#platform/db/index.ts';

/** A verified event on its way into the inbox. */
export type NewEvent = {
  id: string;
  provider: string;
  account: string;
  eventId: string;
  type: string;
  livemode: boolean | null;
  raw: Buffer;
  receivedAt: Date;
  /** Generation of the secret that verified it. */
  verdict: string;
};

const insertEvents = statement(
  'webhooks.insert_events',
  `insert into inbox.events (id, provider, account, event_id, type, livemode, raw, received_at, verdict)
   select u.id, u.provider, u.account, u.event_id, u.type, u.livemode, u.raw, u.received_at, u.verdict
   from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::bytea[],
     $8::timestamptz[], $9::text[])
     as u (id, provider, account, event_id, type, livemode, raw, received_at, verdict)
   on conflict do nothing`,
);

/**
 * Stores events in one statement that commits by itself; resolves after the commit.
 * @returns how many were new; the others were there already, which is as good
 */
export function insertNewEvents(db: Db, events: readonly NewEvent[]): Promise<number> {
  return db.execute(insertEvents, [
    events.map((event) => event.id),
    events.map((event) => event.provider),
    events.map((event) => event.account),
    events.map((event) => event.eventId),
    events.map((event) => event.type),
    events.map((event) => event.livemode),
    byteaArray(events.map((event) => event.raw)),
    events.map((event) => event.receivedAt.toISOString()),
    events.map((event) => event.verdict),
  ]);
}

/**
 * Order of the unique key, the same in every process: two batches that hold the same events lock them in this order
 * and so never wait for each other in a circle.
 */
export function compareKeys(a: NewEvent, b: NewEvent): number {
  return order(a.provider, b.provider) || order(a.account, b.account) || order(a.eventId, b.eventId);
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
