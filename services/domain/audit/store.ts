import { statement, type TenantTx } from '#platform/db/index.ts';

export interface PendingRow {
  id: string;
  action: string;
  actorKind: string;
  actorId: string;
  objectType: string;
  objectId: string;
  detailsJson: string;
  requestId: string | null;
}

// No RETURNING: run-time roles may insert into the log and nothing else, and RETURNING needs SELECT.
const insertPending = statement(
  'audit.insert_pending',
  `insert into app.audit_pending
     (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id)
   values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)
   on conflict do nothing`,
);

export async function insert(tx: TenantTx, row: PendingRow): Promise<void> {
  await tx.run(insertPending, [
    tx.tenantId,
    row.id,
    row.action,
    row.actorKind,
    row.actorId,
    row.objectType,
    row.objectId,
    row.detailsJson,
    row.requestId,
  ]);
}
