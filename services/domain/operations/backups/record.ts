import type { Db } from '#platform/db/index.ts';
import { insertBackup, type ProofState, readProofStates } from '../store/backups.ts';
import type { BackupReport } from './backup.ts';
import { OF_THE_PLACE } from './restore-failures.ts';

/** Writes a committed backup down, where the metrics see it. The store stays the truth. */
export async function recordBackup(db: Db, report: BackupReport): Promise<void> {
  const { id, store, started_at, snapshot_at, bytes, schema_version, encrypted, parts, tables, rows, seconds } = report;
  const detail = { parts, tables, rows, seconds };
  await db.withTx((tx) =>
    insertBackup(tx, { id, store, started_at, snapshot_at, bytes, schema_version, encrypted, detail }),
  );
}

/** The newest proof of each backup that has one. */
export function listProofs(db: Db): Promise<ProofState[]> {
  return db.withTx((tx) => readProofStates(tx, OF_THE_PLACE), { readOnly: true });
}
