import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { decide, type Mode, type Standing } from './access.ts';
import type { Permission } from './permissions.ts';
import type { Grant, Principal } from './principal.ts';
import * as store from './store/standing.ts';

/**
 * Whether `principal` may do `permission` in this transaction's tenant, read in this very transaction by one
 * statement (issued without waiting, so that it travels with BEGIN): a revoked key, a removed member, a block
 * and a suspension count from their commit on, without any cache.
 *
 * @param mode 'write' for whatever changes something: refused in a suspended school
 * @throws KlarError not_found (no such tenant, not a member, a platform administrator: the same answer),
 *   unauthenticated `invalid_api_key`, forbidden `tenant_blocked` | `permission_denied`, payment_required `tenant_suspended`
 */
export async function authorize(
  tx: TenantTx,
  principal: Principal,
  permission: Permission,
  mode: Mode,
): Promise<Grant> {
  const standing = await standingOf(tx, principal);
  const decision = decide(standing, permission, mode);
  if (decision instanceof Error) throw decision;
  return decision;
}

async function standingOf(tx: TenantTx, principal: Principal): Promise<Standing | undefined> {
  // Platform administrators act by the admin routes only; in a school they are strangers.
  if (principal.kind === 'platform') return undefined;
  if (principal.kind === 'person') return store.ofPerson(tx, principal.personId);
  // A key shown to another tenant than its own: as unknown as the tenant.
  if (principal.tenantId !== tx.tenantId) return undefined;
  const standing = await store.ofKey(tx, principal.keyId);
  if (standing !== undefined && standing.scopes === null) {
    throw fail.unauthenticated('invalid_api_key', 'This API key is not valid.');
  }
  return standing;
}
