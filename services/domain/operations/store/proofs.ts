import { statement, type Tx } from '#platform/db/index.ts';

/** A row of ops.restore_proofs. */
export interface ProofRow {
  backupId: string;
  startedAt: Date;
  finishedAt: Date;
  ok: boolean;
  /** From the choice of the backup to the last check: how long getting the data back takes. Null without a good end. */
  rtoSeconds: number | null;
  /** Age of the data at the start: what would be lost if production ended then. Null when no manifest could be read. */
  rpoSeconds: number | null;
  /** Name, outcome and detail of each check. */
  checks: unknown;
}

const insert = statement(
  'operations.insert_restore_proof',
  `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok, rto_seconds, rpo_seconds, checks)
   values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
   on conflict (id) do nothing`,
);

/** Keeps what a restore has shown; with an id of the caller's it may be tried again when nobody knows whether it did. */
export async function insertProof(tx: Tx, row: ProofRow, id = tx.newId('prf')): Promise<string> {
  const { backupId, startedAt, finishedAt, ok, rtoSeconds, rpoSeconds, checks } = row;
  await tx.run(insert, [id, backupId, startedAt, finishedAt, ok, rtoSeconds, rpoSeconds, JSON.stringify(checks)]);
  return id;
}

const identifier = statement<{ system_identifier: string }>(
  'operations.system_identifier',
  'select c.system_identifier::text as system_identifier from pg_control_system() c',
);

/** Which server this is; two databases of one server have the same. Any role may ask. */
export async function readSystemIdentifier(tx: Tx): Promise<string> {
  return (await tx.one(identifier)).system_identifier;
}
