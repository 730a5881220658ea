/** What the metrics show of ops.*: written by pods that are gone when a scrape comes. */
import { statement, type Tx } from '#platform/db/index.ts';

export interface TaskGauges {
  task: string;
  /** Seconds since 1970; null when it never succeeded. */
  last_success: number | null;
  /** How the newest run that ended did; null when none has. */
  last_end: 'succeeded' | 'failed' | null;
  /** Age of the oldest run that is not over, dead ones included; 0 when there is none. */
  running_s: number;
}

export interface ProofGauges {
  backup_at: number | null;
  backup_bytes: number | null;
  /** When a restore last proved a backup. */
  proof_at: number | null;
  /** How the newest proof did. */
  proof_ok: boolean | null;
  rto_s: number | null;
  rpo_s: number | null;
}

const tasks = statement<TaskGauges>(
  'operations.task_gauges',
  `select t.task,
     (select extract(epoch from r.finished_at)::double precision from ops.task_runs r
       where r.task = t.task and r.status = 'succeeded' order by r.started_at desc limit 1) as last_success,
     (select r.status from ops.task_runs r
       where r.task = t.task and r.status in ('succeeded', 'failed') order by r.started_at desc limit 1) as last_end,
     coalesce((select extract(epoch from clock_timestamp() - min(r.started_at))::double precision from ops.task_runs r
       where r.task = t.task and r.status = 'running'), 0) as running_s
   from unnest($1::text[]) as t(task)`,
);

const proofs = statement<ProofGauges>(
  'operations.proof_gauges',
  `select extract(epoch from b.committed_at)::double precision as backup_at, b.bytes as backup_bytes,
     extract(epoch from good.finished_at)::double precision as proof_at, newest.ok as proof_ok,
     good.rto_seconds as rto_s, good.rpo_seconds as rpo_s
   from (select 1) as one
   left join lateral (select o.committed_at, o.bytes from ops.backups o order by o.committed_at desc limit 1) b on true
   left join lateral (select o.ok from ops.restore_proofs o order by o.finished_at desc limit 1) newest on true
   left join lateral (select o.finished_at, o.rto_seconds, o.rpo_seconds from ops.restore_proofs o
                       where o.ok order by o.finished_at desc limit 1) good on true`,
);

export const readTaskGauges = (tx: Tx, names: readonly string[]): Promise<TaskGauges[]> => tx.rows(tasks, [names]);
export const readProofGauges = (tx: Tx): Promise<ProofGauges> => tx.one(proofs);
