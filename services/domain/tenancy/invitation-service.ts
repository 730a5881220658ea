import * as audit from '#domain/audit/index.ts';
import { isAddress, notify } from '#domain/notifications/index.ts';
import { randomToken, sha256 } from '#platform/crypto/index.ts';
import { type Db, isUniqueViolation, type TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { tenantRefusal } from './access.ts';
import { decideAcceptance, INVITATION_DAYS, INVITATION_TOKEN, INVITATIONS_PER_DAY } from './invitation.ts';
import type { By } from './member-service.ts';
import { mayGive, type Role, strongerRole } from './permissions.ts';
import { actorOf, type PersonPrincipal } from './principal.ts';
import * as invitations from './store/invitations.ts';
import * as members from './store/members.ts';
import * as tenants from './store/tenants.ts';
import { normalizeEmail } from './tenant.ts';
import { newMember, type Tenant } from './tenant-service.ts';

export type Invitation = invitations.InvitationRow;

/**
 * Invites an address to a role. The link is in the mail only: neither the answer nor a table holds the token.
 * An open invitation to the same address is withdrawn.
 *
 * @param publicBaseUrl where the link leads, without a slash at its end
 * @throws KlarError unprocessable `invalid_address`, forbidden `role_not_yours_to_give`, conflict `already_member`,
 *   rate_limited `too_many_invitations`
 */
export async function invite(
  tx: TenantTx,
  by: By,
  input: { email: string; role: Role; publicBaseUrl: string },
): Promise<Invitation> {
  const email = normalizeEmail(input.email);
  if (!isAddress(email)) throw fail.unprocessable('invalid_address', 'This e-mail address cannot be written to.');
  if (!mayGive(input.role, by.held)) {
    throw fail.forbidden(
      'role_not_yours_to_give',
      `Only who may do all that the role "${input.role}" may can give it.`,
    );
  }
  const [tenant, isMember, recent] = await Promise.all([
    tenants.read(tx),
    members.emailIsMember(tx, email),
    invitations.recent(tx, INVITATIONS_PER_DAY),
  ]);
  if (tenant === undefined) throw fail.notFound();
  if (isMember) throw fail.conflict('already_member', 'This address belongs to a member.');
  if (recent >= INVITATIONS_PER_DAY) {
    throw fail.rateLimited(
      3600,
      'too_many_invitations',
      `A school invites at most ${INVITATIONS_PER_DAY} addresses a day.`,
    );
  }
  const token = randomToken(32);
  const invitation = await replaceOpen(tx, by, email, input.role, token);
  await Promise.all([
    notify(tx, {
      template: 'tenancy.invitation',
      to: { email },
      dedupeKey: `tenancy.invitation:${invitation.id}`,
      data: {
        school: tenant.name,
        role: input.role,
        // In the fragment, which browsers send to nobody: the token reaches no log and no referrer.
        url: `${input.publicBaseUrl}/accept-invitation#token=${token}`,
        valid_days: INVITATION_DAYS,
      },
    }),
    audit.append(tx, {
      action: 'invitations.create',
      actor: actorOf(by.principal),
      object: { type: 'invitation', id: invitation.id },
      details: { role: input.role },
    }),
  ]);
  return invitation;
}

async function replaceOpen(tx: TenantTx, by: By, email: string, role: Role, token: string): Promise<Invitation> {
  const { kind, id } = actorOf(by.principal);
  try {
    return await invitations.replace(tx, {
      id: tx.newId('inv'),
      email,
      role,
      tokenHash: sha256(token),
      invitedBy: { kind, id },
      days: INVITATION_DAYS,
    });
  } catch (error) {
    // Two invitations to one address in the same moment: the index keeps one, the other is told so.
    if (isUniqueViolation(error, 'invitations_one_open')) {
      throw fail.conflict('invitation_exists', 'This address is being invited already.');
    }
    throw error;
  }
}

export const listInvitations = invitations.list;

/** Withdraws an open invitation; withdrawing it again changes nothing. @throws KlarError not_found, conflict `invitation_used` */
export async function revokeInvitation(tx: TenantTx, by: By, id: string): Promise<void> {
  const revoked = await invitations.revoke(tx, id);
  if (revoked === undefined) {
    const found = await invitations.byId(tx, id);
    if (found === undefined) throw fail.notFound();
    if (found.state === 'accepted') throw fail.conflict('invitation_used', 'This invitation has been used.');
    return;
  }
  await audit.append(tx, {
    action: 'invitations.revoke',
    actor: actorOf(by.principal),
    object: { type: 'invitation', id },
  });
}

/**
 * Accepts an invitation: once, by the person whose verified address it was sent to. A member keeps the stronger of
 * the two roles. Accepting again repeats the answer.
 * @throws KlarError not_found, forbidden `invitation_for_another_address` | `email_unverified` | `tenant_blocked`,
 *   conflict `invitation_used`, gone `invitation_expired` | `invitation_revoked`, payment_required `tenant_suspended`
 */
export async function acceptInvitation(
  db: Db,
  person: PersonPrincipal,
  token: string,
): Promise<{ tenant: Tenant; role: Role }> {
  if (!INVITATION_TOKEN.test(token)) throw fail.notFound();
  const hash = sha256(token);
  const tenantId = await db.withTx((tx) => invitations.tenantOf(tx, hash), { readOnly: true });
  if (tenantId === undefined) throw fail.notFound();
  return db.withTenantTx(tenantId, async (tx) => {
    // The lock on the invitation makes parallel acceptances queue; all but the first find it accepted.
    const [tenant, invitation] = await Promise.all([tenants.read(tx), invitations.lock(tx, hash)]);
    if (tenant === undefined || invitation === undefined) throw fail.notFound();
    const decision = decideAcceptance({ invitation, person: { ...person, email: normalizeEmail(person.email) } });
    if (decision instanceof Error) throw decision;
    const refusal = tenantRefusal(tenant, 'write');
    if (refusal !== undefined) throw refusal;
    if (decision === 'again') return { tenant, role: await roleNow(tx, person.personId) };
    const [role] = await Promise.all([
      giveRole(tx, person, invitation.role),
      invitations.accept(tx, invitation.id, person.personId),
      audit.append(tx, {
        action: 'invitations.accept',
        actor: actorOf(person),
        object: { type: 'invitation', id: invitation.id },
        details: { role: invitation.role },
      }),
    ]);
    return { tenant, role };
  });
}

async function giveRole(tx: TenantTx, person: PersonPrincipal, invited: Role): Promise<Role> {
  const inserted = await members.insert(tx, newMember(tx, person, invited));
  if (inserted !== undefined) return invited;
  const member = await members.lockPerson(tx, person.personId);
  if (member === undefined) throw fail.conflict('member_changed', 'The membership is being changed; try again.');
  const role = strongerRole(member.role, invited);
  if (role !== member.role) await members.setRole(tx, member.id, role);
  return role;
}

async function roleNow(tx: TenantTx, personId: string): Promise<Role> {
  const member = await members.byPerson(tx, personId);
  // Accepted once, removed since: the invitation is spent and does not let anybody in again.
  if (member === undefined) throw fail.conflict('invitation_used', 'This invitation has been used.');
  return member.role;
}
