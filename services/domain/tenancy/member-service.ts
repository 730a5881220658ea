import * as audit from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { roleChangeRefusal } from './member.ts';
import { type Permission, permissionsOf, type Role } from './permissions.ts';
import { actorOf, type Principal } from './principal.ts';
import * as members from './store/members.ts';

export type Member = members.MemberRow;

/** All that the caller of a tenant route may do there. */
export function heldBy(principal: Principal, role: Role | undefined): readonly Permission[] {
  if (principal.kind === 'api_key') return principal.scopes;
  return role === undefined ? [] : permissionsOf(role);
}

/** Who changes members: the principal and all it may do. */
export interface By {
  principal: Principal;
  held: readonly Permission[];
}

export const listMembers = members.list;

/**
 * Gives a member another role.
 * @throws KlarError not_found, forbidden `role_not_yours_to_give`, conflict `last_owner`
 */
export async function changeRole(tx: TenantTx, by: By, memberId: string, role: Role): Promise<Member> {
  const member = await lockForChange(tx, by, memberId, role);
  if (member.role === role) return member;
  const [changed] = await Promise.all([
    members.setRole(tx, memberId, role),
    audit.append(tx, {
      action: 'members.change_role',
      actor: actorOf(by.principal),
      object: { type: 'membership', id: memberId },
      details: { person_id: member.personId, from: member.role, to: role },
    }),
  ]);
  return changed;
}

/**
 * Removes a member. What they did and bought stays; they may join again.
 * @throws KlarError not_found, forbidden `role_not_yours_to_give`, conflict `last_owner`
 */
export async function removeMember(tx: TenantTx, by: By, memberId: string): Promise<void> {
  const member = await lockForChange(tx, by, memberId, null);
  await Promise.all([
    members.remove(tx, member),
    audit.append(tx, {
      action: 'members.remove',
      actor: actorOf(by.principal),
      object: { type: 'membership', id: memberId },
      details: { person_id: member.personId, role: member.role },
    }),
  ]);
}

async function lockForChange(tx: TenantTx, by: By, memberId: string, to: Role | null): Promise<Member> {
  const locked = await members.lockOwnersAndMember(tx, memberId);
  const member = locked.find((row) => row.id === memberId);
  if (member === undefined) throw fail.notFound();
  const owners = locked.filter((row) => row.role === 'owner');
  const refusal = roleChangeRefusal({ held: by.held, from: member.role, to, owners: owners.length });
  if (refusal !== undefined) throw refusal;
  if (member.role === 'owner' || to === 'owner') requireStillOwner(by.principal, owners);
  return member;
}

/**
 * The caller's role was read before the lock was had. Two owners who remove each other at once must not both succeed
 * on a standing that one of them has lost meanwhile.
 */
function requireStillOwner(principal: Principal, owners: readonly Member[]): void {
  if (principal.kind === 'person' && !owners.some((owner) => owner.personId === principal.personId)) {
    throw fail.forbidden('role_not_yours_to_give', 'You are no longer an owner.');
  }
}
