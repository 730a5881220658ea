import type { Db } from '#platform/db/index.ts';
import type { Gauge, Metrics } from '#platform/metrics/index.ts';
import { readProofGauges, readTaskGauges } from './store/gauges.ts';
import { TASK_NAMES, taskOf } from './tasks.ts';

/**
 * Metrics of what runs unattended, read from the tables: the pods that did it are gone when a scrape comes. What never
 * happened has no series, so that "never" and "long ago" are different alerts.
 * @returns what reads them once
 */
export function createOperationsGauges(db: Db, metrics: Metrics): () => Promise<void> {
  const gauge = (name: string, help: string, labels: string[] = []) =>
    metrics.gauge(`klar_operations_${name}`, help, labels);
  const lastSuccess = gauge('task_last_success_timestamp_seconds', 'When a task last succeeded', ['task']);
  const lastEnd = gauge('task_last_end_status', '1 for how the newest ended run of a task did', ['task', 'status']);
  const running = gauge('task_running_seconds', 'Age of the oldest run of a task that is not over', ['task']);
  const backupAt = gauge('backup_last_committed_timestamp_seconds', 'When the newest backup was committed');
  const backupBytes = gauge('backup_bytes', 'Size of the newest backup in its store');
  const proofAt = gauge('restore_proof_timestamp_seconds', 'When a restore last proved a backup');
  const proofOk = gauge('restore_proof_ok', '1 when the newest proof by restore was good');
  const rto = gauge('restore_rto_seconds', 'How long the restore of the last good proof took');
  const rpo = gauge('restore_rpo_seconds', 'How old the data of the last good proof was when its restore began');
  const names = TASK_NAMES.filter((name) => taskOf(name).planned !== true);
  // A gauge without labels begins at 0, which would be a backup in 1970.
  for (const bare of [backupAt, backupBytes, proofAt, proofOk, rto, rpo]) bare.remove();

  return async () => {
    const { tasks, proofs } = await db.withTx(
      async (tx) => {
        const [tasks, proofs] = await Promise.all([readTaskGauges(tx, names), readProofGauges(tx)]);
        return { tasks, proofs };
      },
      { readOnly: true },
    );
    for (const { task, last_success, last_end, running_s } of tasks) {
      if (last_success !== null) lastSuccess.set({ task }, last_success);
      if (last_end !== null) {
        for (const status of ['succeeded', 'failed']) lastEnd.set({ task, status }, last_end === status ? 1 : 0);
      }
      running.set({ task }, running_s);
    }
    show(backupAt, proofs.backup_at);
    show(backupBytes, proofs.backup_bytes);
    show(proofAt, proofs.proof_at);
    show(proofOk, proofs.proof_ok === null ? null : Number(proofs.proof_ok));
    show(rto, proofs.rto_s);
    show(rpo, proofs.rpo_s);
  };
}

function show(gauge: Gauge<string>, value: number | null): void {
  if (value === null) gauge.remove();
  else gauge.set(value);
}
