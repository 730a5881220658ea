import { statement, type TenantTx, type Tx } from '#platform/db/index.ts';
import type { InvitationState } from '../invitation.ts';
import type { Role } from '../permissions.ts';

export interface InvitationRow {
  id: string;
  email: string;
  role: Role;
  state: InvitationState;
  /** By the database's time. */
  expired: boolean;
  createdAt: Date;
  expiresAt: Date;
  acceptedAt: Date | null;
  acceptedBy: string | null;
}

const COLUMNS = `id, email, role, state, expires_at <= clock_timestamp() as expired, created_at as "createdAt",
  expires_at as "expiresAt", accepted_at as "acceptedAt", accepted_by as "acceptedBy"`;

const insertInvitation = statement<InvitationRow>(
  'tenancy.insert_invitation',
  `insert into app.invitations (tenant_id, id, email, role, token_hash, invited_by_kind, invited_by_id, expires_at)
   values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(days => $8))
   returning ${COLUMNS}`,
);

const routeInvitation = statement(
  'tenancy.route_invitation',
  'insert into routing.invitations (token_hash, tenant_id) values ($1, $2)',
);

const revokeOpenFor = statement(
  'tenancy.revoke_open_invitation_for',
  `update app.invitations set state = 'revoked', revoked_at = now()
    where tenant_id = $1 and email = $2 and state = 'pending'`,
);

const revokeInvitation = statement<InvitationRow>(
  'tenancy.revoke_invitation',
  `update app.invitations set state = 'revoked', revoked_at = now()
    where tenant_id = $1 and id = $2 and state = 'pending' returning ${COLUMNS}`,
);

const invitationById = statement<InvitationRow>(
  'tenancy.invitation_by_id',
  `select ${COLUMNS} from app.invitations where tenant_id = $1 and id = $2`,
);

const lockByHash = statement<InvitationRow>(
  'tenancy.lock_invitation_by_hash',
  `select ${COLUMNS} from app.invitations where tenant_id = $1 and token_hash = $2 for update`,
);

const acceptInvitation = statement(
  'tenancy.accept_invitation',
  `update app.invitations set state = 'accepted', accepted_at = now(), accepted_by = $3
    where tenant_id = $1 and id = $2 and state = 'pending'`,
);

const listInvitations = statement<InvitationRow>(
  'tenancy.list_invitations',
  `select ${COLUMNS} from app.invitations
    where tenant_id = $1 and id > $2 and ($3::text is null or state = $3) order by id limit $4`,
);

const tenantOfInvitation = statement<{ tenantId: string }>(
  'tenancy.tenant_of_invitation',
  'select tenant_id as "tenantId" from routing.invitations where token_hash = $1',
);

// Stops counting at the limit: the answer only has to say whether it is reached.
const countRecent = statement<{ count: number }>(
  'tenancy.count_recent_invitations',
  `select count(*) as count from (
     select 1 from app.invitations
      where tenant_id = $1 and created_at > now() - interval '24 hours' limit $2) recent`,
);

// Expired is counted from the end of the link's life, whatever became of it: an accepted one is a membership by then.
const purgeOld = statement<{ found: number; purged: number }>(
  'tenancy.purge_invitations',
  `with old as (
     select i.id, i.token_hash from app.invitations i
      where i.tenant_id = $1 and i.expires_at < now() - make_interval(days => $2) limit $3
   ), gone as (
     delete from app.invitations i using old where i.tenant_id = $1 and i.id = old.id returning i.token_hash
   ), routes as (
     delete from routing.invitations r using gone where r.token_hash = gone.token_hash and r.tenant_id = $1
   )
   select (select count(*) from old) as found, (select count(*) from gone) as purged`,
);

const countOld = statement<{ count: number }>(
  'tenancy.count_old_invitations',
  `select count(*) as count from app.invitations i
    where i.tenant_id = $1 and i.expires_at < now() - make_interval(days => $2)`,
);

export interface NewInvitation {
  id: string;
  email: string;
  role: Role;
  tokenHash: Buffer;
  invitedBy: { kind: string; id: string };
  days: number;
}

/** A new invitation; an open one to the same address is withdrawn, so that one link per address works. */
export async function replace(tx: TenantTx, row: NewInvitation): Promise<InvitationRow> {
  const [, , invitation] = await Promise.all([
    tx.run(revokeOpenFor, [tx.tenantId, row.email]),
    tx.run(routeInvitation, [row.tokenHash, tx.tenantId]),
    tx.one(insertInvitation, [
      tx.tenantId,
      row.id,
      row.email,
      row.role,
      row.tokenHash,
      row.invitedBy.kind,
      row.invitedBy.id,
      row.days,
    ]),
  ]);
  return invitation;
}

export const recent = async (tx: TenantTx, limit: number) => (await tx.one(countRecent, [tx.tenantId, limit])).count;
export const revoke = (tx: TenantTx, id: string) => tx.maybe(revokeInvitation, [tx.tenantId, id]);
export const byId = (tx: TenantTx, id: string) => tx.maybe(invitationById, [tx.tenantId, id]);
export const lock = (tx: TenantTx, tokenHash: Buffer) => tx.maybe(lockByHash, [tx.tenantId, tokenHash]);
export const accept = (tx: TenantTx, id: string, personId: string) =>
  tx.run(acceptInvitation, [tx.tenantId, id, personId]);
export const list = (tx: TenantTx, after: string, state: InvitationState | undefined, limit: number) =>
  tx.rows(listInvitations, [tx.tenantId, after, state ?? null, limit]);
export const tenantOf = async (tx: Tx, tokenHash: Buffer) =>
  (await tx.maybe(tenantOfInvitation, [tokenHash]))?.tenantId;

/** For the cleanup: invitations that ended so many days ago, with their routes. */
export const oldInvitations = (days: number) => ({
  purge: (tx: TenantTx, limit: number) => tx.one(purgeOld, [tx.tenantId, days, limit]),
  count: async (tx: TenantTx) => (await tx.one(countOld, [tx.tenantId, days])).count,
});
