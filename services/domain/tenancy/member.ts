import { fail, type KlarError } from '#platform/errors/index.ts';
import { mayGive, type Permission, type Role } from './permissions.ts';

/** What is known, under lock, when a member's role is changed (`to`) or the member is removed (`to` null). */
export interface RoleChange {
  held: readonly Permission[];
  from: Role;
  to: Role | null;
  /** Owners of the school now, the member included. */
  owners: number;
}

/** Why the change is refused; undefined when it is allowed. */
export function roleChangeRefusal({ held, from, to, owners }: RoleChange): KlarError | undefined {
  // Both ends: an admin must neither make an owner nor unmake one.
  for (const role of to === null ? [from] : [from, to]) {
    if (!mayGive(role, held)) {
      return fail.forbidden(
        'role_not_yours_to_give',
        `Only who may do all that the role "${role}" may can give or take it.`,
      );
    }
  }
  // A school without an owner can never be managed again.
  if (from === 'owner' && to !== 'owner' && owners <= 1) {
    return fail.conflict('last_owner', 'A school keeps at least one owner: make another one first.');
  }
  return undefined;
}
