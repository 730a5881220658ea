/** What of the records of operations is over. */
import { statement, type Tx } from '#platform/db/index.ts';

type Batch = { found: number; purged: number };

/** Statements of one table: what is over, by `$1` days. */
function pair(name: string, table: string, over: string) {
  return {
    purge: statement<Batch>(
      `operations.purge_${name}`,
      `with old as (select o.id from ${table} o where ${over} limit $2),
            gone as (delete from ${table} t using old where t.id = old.id returning 1)
       select (select count(*) from old) as found, (select count(*) from gone) as purged`,
    ),
    count: statement<{ count: number }>(
      `operations.count_old_${name}`,
      `select count(*) as count from ${table} o where ${over}`,
    ),
  };
}

// The last success of each task stays: the metrics tell its age.
const runs = pair(
  'task_runs',
  'ops.task_runs',
  `o.finished_at < now() - make_interval(days => $1) and o.id not in (
     select distinct on (l.task) l.id from ops.task_runs l
      where l.status = 'succeeded' order by l.task, l.finished_at desc)`,
);
const backups = pair('backups', 'ops.backups', 'o.pruned_at < now() - make_interval(days => $1)');
const proofs = pair(
  'restore_proofs',
  'ops.restore_proofs',
  `o.finished_at < now() - make_interval(days => $1)
     and o.finished_at < (select max(l.finished_at) from ops.restore_proofs l where l.ok)`,
);

const purgeOf = (statements: typeof runs) => (days: number) => ({
  purge: (tx: Tx, limit: number) => tx.one(statements.purge, [days, limit]),
  count: async (tx: Tx) => (await tx.one(statements.count, [days])).count,
});

export const oldTaskRuns = purgeOf(runs);
export const oldBackupRows = purgeOf(backups);
export const oldRestoreProofs = purgeOf(proofs);
