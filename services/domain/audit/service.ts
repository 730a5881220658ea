import type { TenantTx } from '#platform/db/index.ts';
import { currentRequestId } from '#platform/log/index.ts';
import { type AuditEntry, detailsJson } from './entry.ts';
import * as store from './store.ts';

/**
 * Writes one audit row in the caller's transaction: either the operation and its row are committed, or
 * neither. May be issued without awaiting it before the next statement, but must be awaited in the end.
 * Throws TypeError for details that are too large or hold a secret.
 */
export async function append(tx: TenantTx, entry: AuditEntry): Promise<void> {
  await store.insert(tx, {
    id: entry.id ?? tx.newId('aud'),
    action: entry.action,
    actorKind: entry.actor.kind,
    actorId: entry.actor.id,
    objectType: entry.object.type,
    objectId: entry.object.id,
    detailsJson: detailsJson(entry.details),
    requestId: entry.requestId ?? currentRequestId() ?? null,
  });
}
