import { statement, type Tx } from '#platform/db/index.ts';
import type { OutboxPayload } from '../outbox.ts';

export interface OutboxRow {
  id: string;
  payload: OutboxPayload;
  attempts: number;
}

const insertRow = statement('identity.insert_outbox', `insert into auth.outbox (id, payload) values ($1, $2::jsonb)`);
const takeDue = statement<OutboxRow>(
  'identity.take_outbox',
  `select id, payload, attempts from auth.outbox where next_at <= now()
   order by next_at, id limit $1 for update skip locked`,
);
const deleteRows = statement('identity.delete_outbox', `delete from auth.outbox where id = any($1::text[])`);
const deferRow = statement(
  'identity.defer_outbox',
  `update auth.outbox set attempts = attempts + 1,
     next_at = now() + make_interval(secs => least(300, 2 ^ least(attempts, 8))) where id = $1`,
);
const depth = statement<{ waiting: number; oldest_s: number }>(
  'identity.outbox_depth',
  `select count(*)::int as waiting, coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest_s
   from auth.outbox`,
);

/** What is over. Each list is a column with an index; so much at a time that no lock is held for long. */
const cleanups = [
  statement(
    'identity.clean_revoked_sessions',
    `delete from auth.revoked_sessions where until < now() - interval '1 minute'`,
  ),
  statement(
    'identity.clean_sessions',
    `delete from auth.sessions where id in (select id from auth.sessions where expires_at < now() limit 1000)`,
  ),
  statement('identity.clean_verifications', `delete from auth.verifications where expires_at < now()`),
  statement('identity.clean_spent_codes', `delete from auth.spent_codes where expires_at < now()`),
  statement(
    'identity.clean_throttles',
    `delete from auth.throttles where last_failure_at < now() - interval '2 days' and locked_until < now()`,
  ),
];

export async function insert(tx: Tx, id: string, payload: OutboxPayload): Promise<void> {
  await tx.run(insertRow, [id, JSON.stringify(payload)]);
}

/** Due rows, locked; rows another process works on are skipped. */
export const take = (tx: Tx, limit: number) => tx.rows(takeDue, [limit]);

export async function remove(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.run(deleteRows, [ids]);
}

export async function defer(tx: Tx, id: string): Promise<void> {
  await tx.run(deferRow, [id]);
}

export const measure = (tx: Tx) => tx.one(depth);

export async function clean(tx: Tx): Promise<void> {
  for (const cleanup of cleanups) await tx.run(cleanup);
}
