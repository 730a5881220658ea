import * as audit from '#domain/audit/index.ts';
import { sha256 } from '#platform/crypto/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { checkScopes, newApiKey, openHash, type Pepper, placeOf, sealHash } from './api-key.ts';
import type { By } from './member-service.ts';
import { defaultScopes } from './permissions.ts';
import { actorOf } from './principal.ts';
import * as keys from './store/api-keys.ts';
import { requirePlainName } from './tenant-service.ts';

export type ApiKey = keys.ApiKeyRow;

/**
 * Makes a key; `key` is the only time it can be read. Without `scopes` it may do what its maker may, but for handing
 * out access (members, invitations, further keys). It belongs to the school and outlives its maker's membership.
 * @throws KlarError invalid `unknown_scope` | `invalid_name`, forbidden `scope_not_yours_to_give`
 */
export async function createApiKey(
  tx: TenantTx,
  by: By,
  pepper: Pepper,
  input: { name: string; scopes?: readonly string[] | undefined },
): Promise<{ row: ApiKey; key: string }> {
  const scopes = input.scopes === undefined ? defaultScopes(by.held) : checkScopes(input.scopes, by.held);
  const name = requirePlainName(input.name);
  const { key, prefix } = newApiKey();
  const { kind, id: createdById } = actorOf(by.principal);
  const id = tx.newId('key');
  const [row] = await Promise.all([
    keys.insert(tx, {
      id,
      prefix,
      name,
      sealedHash: sealHash(sha256(key), placeOf(tx.tenantId, prefix), pepper),
      scopes,
      createdBy: { kind, id: createdById },
    }),
    audit.append(tx, {
      action: 'api_keys.create',
      actor: actorOf(by.principal),
      object: { type: 'api_key', id },
      details: { name, prefix, scopes },
    }),
  ]);
  return { row, key };
}

export const listApiKeys = keys.list;

/** Revokes a key, at once and everywhere: every request reads its row. Revoking it again changes nothing. */
export async function revokeApiKey(tx: TenantTx, by: By, id: string): Promise<void> {
  const revoked = await keys.revoke(tx, id);
  if (revoked === undefined) {
    if ((await keys.byId(tx, id)) === undefined) throw fail.notFound();
    return;
  }
  await audit.append(tx, {
    action: 'api_keys.revoke',
    actor: actorOf(by.principal),
    object: { type: 'api_key', id },
    details: { prefix: revoked.prefix },
  });
}

/**
 * Re-encrypts keys of this tenant that are sealed under another generation than the current one, without knowing a
 * single key; a rotation of the pepper calls it until it answers `resealed: 0`. Rows of concurrent callers are skipped.
 * @returns `unreadable`: keys that no accepted generation opens; they are dead
 */
export async function resealApiKeys(
  tx: TenantTx,
  pepper: Pepper,
  limit = 500,
): Promise<{ resealed: number; unreadable: number }> {
  const rows = await keys.sealedUnderAnother(tx, `v${pepper.generation()}$`, limit);
  let resealed = 0;
  for (const row of rows) {
    const place = placeOf(tx.tenantId, row.prefix);
    const hash = openHash(row.sealedHash, place, pepper);
    if (hash === undefined) continue;
    await keys.reseal(tx, row.id, sealHash(hash, place, pepper));
    resealed += 1;
  }
  return { resealed, unreadable: rows.length - resealed };
}

/** How many of this tenant's keys (of `limit`) one of these generations opens: none once a generation is dead. */
export async function countOpenableKeys(tx: TenantTx, pepper: Pepper, limit = 500): Promise<number> {
  const rows = await keys.sealedUnderAnother(tx, 'v of no generation', limit);
  return rows.filter((row) => openHash(row.sealedHash, placeOf(tx.tenantId, row.prefix), pepper) !== undefined).length;
}
