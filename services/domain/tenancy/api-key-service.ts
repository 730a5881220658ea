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

export type ResealPage = {
  /** The `next` of the page before. */
  after?: string | undefined;
  limit?: number;
  /** Also keys that are marked as sealed under the current generation: each is opened. */
  everything?: boolean;
};

/**
 * Re-encrypts keys of this tenant that are sealed under another generation than the current one, without knowing a
 * single key; a page at a time, by id. Who holds a row is waited for: one that was passed over would die with the old value.
 * @returns `unreadable`: keys that no accepted generation opens; they are dead. `next`: where the next page begins
 */
export async function resealApiKeys(
  tx: TenantTx,
  pepper: Pepper,
  { after = '', limit = 500, everything = false }: ResealPage = {},
): Promise<{ resealed: number; unreadable: number; next: string | undefined }> {
  const current = `v${pepper.generation()}$`;
  const rows = await keys.sealed(tx, after, everything ? null : current, limit);
  let unreadable = 0;
  const writes: Promise<number>[] = [];
  for (const row of rows) {
    const place = placeOf(tx.tenantId, row.prefix);
    let under = '';
    const used = (generation: string) => {
      under = generation;
    };
    const hash = openHash(row.sealedHash, place, { ...pepper, used });
    if (hash === undefined) unreadable += 1;
    else if (under !== pepper.generation() || !row.sealedHash.startsWith(current))
      writes.push(keys.reseal(tx, row.id, row.sealedHash, sealHash(hash, place, pepper)));
  }
  await Promise.all(writes);
  return { resealed: writes.length, unreadable, next: rows.length === limit ? rows.at(-1)?.id : undefined };
}
