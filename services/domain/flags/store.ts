import { type Db, statement, type Tx } from '#platform/db/index.ts';

/** A set that was applied, as stored. */
export type StoredFlags = { sequence: number; version: string; document: string };

/** No row while nothing later than the sequence `$1` is live. */
const ASK_LIVE = statement<StoredFlags>(
  'flags.ask_live',
  'select l.sequence, l.version, l.document from ops.live_flags($1) l',
);

/** The live set, when it is later than `known` (0: any). */
export const liveFlags = (tx: Tx, known: number): Promise<StoredFlags | undefined> => tx.maybe(ASK_LIVE, [known]);

/** Whether one is: a single statement without a transaction, as it is asked each second and mostly in vain. */
export const hasLaterFlags = async (db: Db, known: number): Promise<boolean> =>
  (await db.execute(ASK_LIVE, [known])) > 0;

const HEAD = statement<Omit<StoredFlags, 'document'>>(
  'flags.stored_head',
  'select f.sequence, f.version from ops.flag_sets f order by f.sequence desc limit 1',
);

/** What the database holds as live, without its document. */
export const storedHead = (tx: Tx): Promise<Omit<StoredFlags, 'document'> | undefined> => tx.maybe(HEAD);

const INSERT = statement(
  'flags.insert_set',
  `insert into ops.flag_sets (sequence, version, document, term, changed_by) values ($1, $2, $3, $4, $5)
   on conflict (sequence) do nothing`,
);

/** Call `checkTerm` first in the same transaction. Applying the same set again changes nothing. */
export async function insertFlagSet(
  tx: Tx,
  set: StoredFlags & { term: number; changedBy: string | undefined },
): Promise<void> {
  await tx.run(INSERT, [set.sequence, set.version, set.document, set.term, set.changedBy]);
}

type Batch = { found: number; purged: number };

// The newest ones stay however old: the last is live, and the others say what was before it.
const OVER = `f.applied_at < now() - make_interval(days => $1)
     and f.sequence not in (select n.sequence from ops.flag_sets n order by n.sequence desc limit 10)`;
const PURGE = statement<Batch>(
  'flags.purge_sets',
  `with old as (select f.sequence from ops.flag_sets f where ${OVER} limit $2),
        gone as (delete from ops.flag_sets t using old where t.sequence = old.sequence returning 1)
   select (select count(*) from old) as found, (select count(*) from gone) as purged`,
);
const COUNT = statement<{ count: number }>(
  'flags.count_old_sets',
  `select count(*) as count from ops.flag_sets f where ${OVER}`,
);

export const oldFlagSets = (days: number) => ({
  purge: (tx: Tx, limit: number) => tx.one(PURGE, [days, limit]),
  count: async (tx: Tx) => (await tx.one(COUNT, [days])).count,
});
