import { statement, type TenantTx, type Tx } from '#platform/db/index.ts';
import type { Role } from '../permissions.ts';

export interface MemberRow {
  id: string;
  personId: string;
  role: Role;
  email: string;
  name: string;
  createdAt: Date;
}

const COLUMNS = `id, person_id as "personId", role, email, name, created_at as "createdAt"`;

const insertMember = statement<MemberRow>(
  'tenancy.insert_member',
  `insert into app.memberships (tenant_id, id, person_id, role, email, name) values ($1, $2, $3, $4, $5, $6)
   on conflict (tenant_id, person_id) do nothing
   returning ${COLUMNS}`,
);

const routePerson = statement(
  'tenancy.route_person',
  `insert into routing.person_tenants (person_id, tenant_id) values ($1, $2)
   on conflict (person_id, tenant_id) do nothing`,
);

const unroutePerson = statement(
  'tenancy.unroute_person',
  'delete from routing.person_tenants where person_id = $1 and tenant_id = $2',
);

const memberByPerson = statement<MemberRow>(
  'tenancy.member_by_person',
  `select ${COLUMNS} from app.memberships where tenant_id = $1 and person_id = $2`,
);

const memberByEmail = statement<{ id: string }>(
  'tenancy.member_by_email',
  `select id from app.memberships where tenant_id = $1 and email = $2 limit 1`,
);

const memberById = statement<MemberRow>(
  'tenancy.member_by_id',
  `select ${COLUMNS} from app.memberships where tenant_id = $1 and id = $2`,
);

// All owners and the member, in one order: two parallel demotions queue here, and the second one counts
// the owners that the first one left.
const lockOwnersAnd = statement<MemberRow>(
  'tenancy.lock_owners_and_member',
  `select ${COLUMNS} from app.memberships where tenant_id = $1 and (role = 'owner' or id = $2) order by id for update`,
);

const lockByPerson = statement<MemberRow>(
  'tenancy.lock_member_by_person',
  `select ${COLUMNS} from app.memberships where tenant_id = $1 and person_id = $2 for update`,
);

const setRoleStatement = statement<MemberRow>(
  'tenancy.set_role',
  `update app.memberships set role = $3, updated_at = now() where tenant_id = $1 and id = $2 returning ${COLUMNS}`,
);

const deleteMember = statement('tenancy.delete_member', 'delete from app.memberships where tenant_id = $1 and id = $2');

const listMembers = statement<MemberRow>(
  'tenancy.list_members',
  `select ${COLUMNS} from app.memberships
    where tenant_id = $1 and id > $2 and ($3::text is null or role = $3) order by id limit $4`,
);

const countMembers = statement<{ role: Role; count: number }>(
  'tenancy.count_members',
  'select role, count(*) as count from app.memberships where tenant_id = $1 group by role',
);

const tenantsOfPerson = statement<{ tenantId: string }>(
  'tenancy.tenants_of_person',
  `select tenant_id as "tenantId" from routing.person_tenants
    where person_id = $1 and tenant_id > $2 order by tenant_id limit $3`,
);

export interface NewMember {
  id: string;
  personId: string;
  role: Role;
  email: string;
  name: string;
}

/** The new membership, or undefined when the person is a member. */
export async function insert(tx: TenantTx, row: NewMember): Promise<MemberRow | undefined> {
  const [member] = await Promise.all([
    tx.maybe(insertMember, [tx.tenantId, row.id, row.personId, row.role, row.email, row.name]),
    tx.run(routePerson, [row.personId, tx.tenantId]),
  ]);
  return member;
}

export async function remove(tx: TenantTx, member: { id: string; personId: string }): Promise<void> {
  await Promise.all([
    tx.run(deleteMember, [tx.tenantId, member.id]),
    tx.run(unroutePerson, [member.personId, tx.tenantId]),
  ]);
}

export const byPerson = (tx: TenantTx, personId: string) => tx.maybe(memberByPerson, [tx.tenantId, personId]);
export const byId = (tx: TenantTx, id: string) => tx.maybe(memberById, [tx.tenantId, id]);
export const emailIsMember = async (tx: TenantTx, email: string) =>
  (await tx.maybe(memberByEmail, [tx.tenantId, email])) !== undefined;
export const lockOwnersAndMember = (tx: TenantTx, id: string) => tx.rows(lockOwnersAnd, [tx.tenantId, id]);
export const lockPerson = (tx: TenantTx, personId: string) => tx.maybe(lockByPerson, [tx.tenantId, personId]);
export const setRole = (tx: TenantTx, id: string, role: Role) => tx.one(setRoleStatement, [tx.tenantId, id, role]);
export const list = (tx: TenantTx, after: string, role: Role | undefined, limit: number) =>
  tx.rows(listMembers, [tx.tenantId, after, role ?? null, limit]);
export const countByRole = (tx: TenantTx) => tx.rows(countMembers, [tx.tenantId]);
/** Ids of the schools a person belongs to, in order, after `after`. */
export const tenantIdsOf = async (tx: Tx, personId: string, after: string, limit: number) =>
  (await tx.rows(tenantsOfPerson, [personId, after, limit])).map((row) => row.tenantId);
