import { statement, type Tx } from '#platform/db/index.ts';
import type { RestoreFailureCode } from '../backups/restore-failures.ts';

/** As the migrator's lock in platform/db: shared by backups, so that the schema stands still while a dump begins. */
export const holdMigrations = statement(
  'operations.backup_hold_migrations',
  `select 1 where pg_try_advisory_lock_shared(hashtext('klar.migrate'))`,
);

const letMigrate = statement<{ held: boolean }>(
  'operations.backup_let_migrate',
  `select pg_advisory_unlock_shared(hashtext('klar.migrate')) as held`,
);

/** False when the lock was lost meanwhile: a migration may have run. */
export async function letMigrationsGo(tx: Tx): Promise<boolean> {
  return (await tx.one(letMigrate)).held;
}

// A table that somebody locks must not make us queue behind it for ever, with everybody else behind us. Standing idle
// is what this transaction is for; a server that ends such sessions would take the snapshot away under the dump.
const bounds = statement(
  'operations.backup_bounds',
  `select set_config('lock_timeout', '60s', true), set_config('idle_in_transaction_session_timeout', '0', true)`,
);

export interface Snapshot {
  /** For `pg_dump --snapshot`; good as long as the transaction is open. */
  snapshot: string;
  /** Not after the snapshot: the age of the data is never told too small. */
  snapshot_at: Date;
  server_version: string;
  server_major: number;
  /** Whether row level security hides nothing from this login. */
  reads_all: boolean;
  login: string;
}

const exportSnapshot = statement<Snapshot>(
  'operations.backup_snapshot',
  `select pg_export_snapshot() as snapshot, now() as snapshot_at, current_setting('server_version') as server_version,
     current_setting('server_version_num')::integer / 10000 as server_major, r.rolbypassrls or r.rolsuper as reads_all,
     r.rolname::text as login
   from pg_roles r where r.rolname = current_user`,
);

/** Makes the snapshot of this transaction one that others may use. */
export async function openSnapshot(tx: Tx): Promise<Snapshot> {
  await tx.run(bounds);
  return tx.one(exportSnapshot);
}

const facts = statement<ServerVersion>(
  'operations.backup_server_version',
  `select current_setting('server_version') as server_version,
     current_setting('server_version_num')::integer / 10000 as server_major, clock_timestamp() as now`,
);

export interface ServerVersion {
  server_version: string;
  server_major: number;
  /** By the database's clock: two pods' clocks may differ, and a backup from the future would hide later ones. */
  now: Date;
}

export function readServerVersion(tx: Tx): Promise<ServerVersion> {
  return tx.one(facts);
}

export interface BackupRow {
  id: string;
  store: string;
  started_at: Date;
  snapshot_at: Date;
  bytes: number;
  schema_version: number;
  encrypted: boolean;
  detail: object;
}

const insert = statement(
  'operations.backup_insert',
  `insert into ops.backups (id, store, started_at, snapshot_at, committed_at, bytes, schema_version, encrypted, detail)
   values ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7, $8) on conflict (id) do nothing`,
);

/** Writes down what was committed to the store. */
export async function insertBackup(tx: Tx, row: BackupRow): Promise<void> {
  const { id, store, started_at, snapshot_at, bytes, schema_version, encrypted, detail } = row;
  await tx.run(insert, [id, store, started_at, snapshot_at, bytes, schema_version, encrypted, detail]);
}

const pruned = statement(
  'operations.backup_pruned',
  `update ops.backups set pruned_at = clock_timestamp() where id = $1 and pruned_at is null`,
);

export async function markPruned(tx: Tx, id: string): Promise<void> {
  await tx.run(pruned, [id]);
}

export interface ProofState {
  backup_id: string;
  /** Of the newest proof that says something of the backup. */
  ok: boolean;
  finished_at: Date;
}

const proofs = statement<ProofState>(
  'operations.backup_proof_states',
  `select distinct on (p.backup_id) p.backup_id, p.ok, p.finished_at
   from ops.restore_proofs p
   where not exists (select from jsonb_array_elements(p.checks) c where c ->> 'code' = any($1))
   order by p.backup_id, p.finished_at desc, p.id desc`,
);

/** The newest proof of each backup that has one; those that failed by one of the codes `ofThePlace` are none. */
export function readProofStates(tx: Tx, ofThePlace: readonly RestoreFailureCode[]): Promise<ProofState[]> {
  return tx.rows(proofs, [ofThePlace]);
}
