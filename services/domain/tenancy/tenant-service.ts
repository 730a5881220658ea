import * as audit from '#domain/audit/index.ts';
import type { Db, TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { newId } from '#platform/ids/index.ts';
import { tenantRefusal } from './access.ts';
import type { Role } from './permissions.ts';
import { actorOf, type PersonPrincipal, type Principal } from './principal.ts';
import * as members from './store/members.ts';
import * as tenants from './store/tenants.ts';
import { isPlainName, normalizeEmail, slugProblem } from './tenant.ts';

export type Tenant = tenants.TenantRow;
export type Membership = { tenant: Tenant; role: Role };

/** The name, trimmed. @throws KlarError invalid `invalid_name` */
export function requirePlainName(name: string): string {
  const trimmed = name.trim();
  if (!isPlainName(trimmed)) {
    throw fail.invalid(
      'invalid_name',
      'A name has 1 to 120 characters, not all of them blank, and no control characters.',
    );
  }
  return trimmed;
}

/**
 * Opens a school; whoever opens it owns it.
 * @throws KlarError invalid `invalid_slug` | `invalid_name`, conflict `slug_taken` (reserved words included: which words
 *   are reserved is nobody's business)
 */
export async function createTenant(
  db: Db,
  person: PersonPrincipal,
  input: { name: string; slug: string },
): Promise<Membership> {
  const problem = slugProblem(input.slug);
  if (problem === 'invalid_slug') {
    throw fail.invalid('invalid_slug', 'A slug has 3 to 40 lower-case letters, digits and single hyphens inside.');
  }
  if (problem === 'slug_reserved') throw slugTaken();
  const name = requirePlainName(input.name);
  return db.withTenantTx(newId('ten'), async (tx) => {
    if (!(await tenants.claimSlug(tx, input.slug))) throw slugTaken();
    const [tenant] = await Promise.all([
      tenants.insert(tx, input.slug, name),
      members.insert(tx, newMember(tx, person, 'owner')),
      audit.append(tx, {
        action: 'tenants.create',
        actor: actorOf(person),
        object: { type: 'tenant', id: tx.tenantId },
        details: { slug: input.slug, name },
      }),
    ]);
    return { tenant, role: 'owner' };
  });
}

const slugTaken = () => fail.conflict('slug_taken', 'This slug is taken.');

export function newMember(tx: TenantTx, person: PersonPrincipal, role: Role): members.NewMember {
  return {
    id: tx.newId('mem'),
    personId: person.personId,
    role,
    email: normalizeEmail(person.email),
    name: person.name.slice(0, 200),
  };
}

/** The tenant of this transaction. */
export async function currentTenant(tx: TenantTx): Promise<Tenant> {
  const tenant = await tenants.read(tx);
  if (tenant === undefined) throw fail.notFound();
  return tenant;
}

/** Display name of this transaction's school, for what is written to people. */
export async function schoolName(tx: TenantTx): Promise<string> {
  return (await currentTenant(tx)).name;
}

/** Changes the school's name or its registration rule; the caller is authorized for `tenant.manage`. */
export async function updateTenant(
  tx: TenantTx,
  by: Principal,
  change: { name?: string | undefined; openRegistration?: boolean | undefined },
): Promise<Tenant> {
  if (change.name === undefined && change.openRegistration === undefined) return currentTenant(tx);
  const name = change.name === undefined ? undefined : requirePlainName(change.name);
  const [tenant] = await Promise.all([
    tenants.update(tx, {
      ...(name === undefined ? {} : { name }),
      ...(change.openRegistration === undefined ? {} : { openRegistration: change.openRegistration }),
    }),
    audit.append(tx, {
      action: 'tenants.update',
      actor: actorOf(by),
      object: { type: 'tenant', id: tx.tenantId },
      details: { name, open_registration: change.openRegistration },
    }),
  ]);
  return tenant;
}

/**
 * Joins a school that lets anybody in, as a student; joining again changes nothing and answers the role one has.
 * @throws KlarError not_found, forbidden `registration_closed` | `tenant_blocked`, payment_required `tenant_suspended`
 */
export async function joinTenant(
  db: Db,
  person: PersonPrincipal,
  tenantId: string,
): Promise<{ role: Role; joined: boolean }> {
  return db.withTenantTx(tenantId, async (tx) => {
    const [tenant, member] = await Promise.all([tenants.read(tx), members.byPerson(tx, person.personId)]);
    if (tenant === undefined) throw fail.notFound();
    const refusal = tenantRefusal(tenant, 'write');
    if (refusal !== undefined) throw refusal;
    if (member !== undefined) return { role: member.role, joined: false };
    if (!tenant.openRegistration) {
      throw fail.forbidden('registration_closed', 'This school takes members by invitation only.');
    }
    const inserted = await members.insert(tx, newMember(tx, person, 'student'));
    if (inserted === undefined) {
      // Another request of the same person was faster; the row it made is the answer.
      const other = await members.byPerson(tx, person.personId);
      return { role: other?.role ?? 'student', joined: false };
    }
    await audit.append(tx, {
      action: 'members.join',
      actor: actorOf(person),
      object: { type: 'membership', id: inserted.id },
      details: { role: 'student' },
    });
    return { role: 'student', joined: true };
  });
}

/** Tenants entered at once for one list: more would take the pool from other requests. */
const PARALLEL = 4;

/** A page of somebody's schools; `next` is where the following page begins, if there is one. */
export interface MembershipPage {
  memberships: Membership[];
  next: string | undefined;
}

/** The schools of a person, by id; `after` is the `next` of the page before, or ''. */
export async function membershipsOf(db: Db, personId: string, after: string, limit: number): Promise<MembershipPage> {
  const found = await db.withTx((tx) => members.tenantIdsOf(tx, personId, after, limit + 1), {
    readOnly: 'one flight',
  });
  const ids = found.slice(0, limit);
  const memberships: (Membership | undefined)[] = new Array(ids.length);
  const next = ids.entries();
  const worker = async () => {
    for (const [index, id] of next) memberships[index] = await membershipIn(db, id, personId);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, ids.length) }, worker));
  return {
    memberships: memberships.filter((membership) => membership !== undefined),
    next: found.length > limit ? ids.at(-1) : undefined,
  };
}

function membershipIn(db: Db, tenantId: string, personId: string): Promise<Membership | undefined> {
  return db.withTenantTx(
    tenantId,
    async (tx) => {
      const [tenant, member] = await Promise.all([tenants.read(tx), members.byPerson(tx, personId)]);
      return tenant === undefined || member === undefined ? undefined : { tenant, role: member.role };
    },
    { readOnly: 'one flight' },
  );
}
