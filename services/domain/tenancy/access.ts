import { fail, type KlarError } from '#platform/errors/index.ts';
import { isPermission, type Permission, permissionsOf, type Role } from './permissions.ts';
import type { BillingState, Grant } from './principal.ts';

/** A tenant and the caller's standing in it, as read in the request's transaction. */
export interface Standing {
  tenantId: string;
  slug: string;
  name: string;
  billingState: BillingState;
  blocked: boolean;
  role: Role | null;
  scopes: readonly string[] | null;
}

export type Mode = 'read' | 'write';

/** Why a tenant refuses this kind of use, whoever asks; undefined when it does not. */
export function tenantRefusal(tenant: Pick<Standing, 'blocked' | 'billingState'>, mode: Mode): KlarError | undefined {
  if (tenant.blocked) return fail.forbidden('tenant_blocked', 'This school is blocked. Contact the platform.');
  if (mode === 'write' && (tenant.billingState === 'suspended' || tenant.billingState === 'closed')) {
    return fail.paymentRequired(
      'tenant_suspended',
      'This school is suspended: reading and exporting work, changes do not until its account is settled.',
    );
  }
  return undefined;
}

/**
 * Decides. The order is part of the contract: a stranger learns nothing (not even that the school is blocked),
 * a member of a blocked school learns only that, and a missing permission is said before an unpaid bill.
 */
export function decide(standing: Standing | undefined, permission: Permission, mode: Mode): Grant | KlarError {
  if (standing === undefined || (standing.role === null && standing.scopes === null)) return fail.notFound();
  const { tenantId, slug, name, billingState } = standing;
  const blocked = tenantRefusal(standing, 'read');
  if (blocked !== undefined) return blocked;
  const scopes = standing.scopes?.filter(isPermission);
  const held = scopes ?? (standing.role === null ? [] : permissionsOf(standing.role));
  if (!held.includes(permission)) {
    return fail.forbidden('permission_denied', `This needs the permission "${permission}".`);
  }
  const refusal = tenantRefusal(standing, mode);
  if (refusal !== undefined) return refusal;
  return { tenantId, slug, name, billingState, role: standing.role ?? undefined, scopes, held };
}
