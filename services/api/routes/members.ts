import { z } from 'zod';
import { ADDRESS_MAX, ADDRESS_PATTERN } from '#domain/notifications/index.ts';
import {
  changeRole,
  type Invitation,
  invite,
  listInvitations,
  listMembers,
  type Member,
  ROLES,
  removeMember,
  revokeInvitation,
} from '#domain/tenancy/index.ts';
import { listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';
import { personNow } from '../person-now.ts';

const role = z.enum(ROLES);
const member = z.object({
  id: z.string(),
  person_id: z.string(),
  role,
  email: z.string(),
  name: z.string(),
  created_at: z.iso.datetime(),
});
const invitation = z.object({
  id: z.string(),
  email: z.string(),
  role,
  state: z.enum(['pending', 'accepted', 'revoked', 'expired']),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  accepted_at: z.iso.datetime().nullable(),
});

const memberView = (row: Member) => ({
  id: row.id,
  person_id: row.personId,
  role: row.role,
  email: row.email,
  name: row.name,
  created_at: row.createdAt.toISOString(),
});

const invitationView = (row: Invitation) => ({
  id: row.id,
  email: row.email,
  role: row.role,
  state: row.state === 'pending' && row.expired ? ('expired' as const) : row.state,
  created_at: row.createdAt.toISOString(),
  expires_at: row.expiresAt.toISOString(),
  accepted_at: row.acceptedAt?.toISOString() ?? null,
});

export function memberRoutes({ identity, tenancy, settings }: ApiDeps): Route[] {
  return [
    route({
      id: 'members.list',
      method: 'GET',
      path: '/api/members',
      access: { kind: 'tenant', permission: 'members.read' },
      rateClass: 'read',
      summary: 'Members of the school',
      query: z.object({ ...listQuery, role: role.optional() }),
      responses: { 200: listOf(member) },
      handle: async ({ tx, query }) => {
        const rows = await listMembers(tx, cursorOf(query.cursor, 'members.list') ?? '', query.role, query.limit + 1);
        return {
          status: 200,
          body: pageOf(rows, query.limit, 'members.list', { key: (row) => row.id, view: memberView }),
        };
      },
    }),
    route({
      id: 'members.change_role',
      method: 'PATCH',
      path: '/api/members/:id',
      access: { kind: 'tenant', permission: 'members.manage' },
      rateClass: 'write',
      summary: 'Give a member another role',
      audit: 'members.change_role',
      params: idParams,
      body: z.object({ role }),
      responses: { 200: member },
      errors: ['role_not_yours_to_give', 'last_owner'],
      handle: async ({ tx, principal, grant, params, body }) => ({
        status: 200,
        body: memberView(await changeRole(tx, { principal, held: grant.held }, params.id, body.role)),
      }),
    }),
    route({
      id: 'members.remove',
      method: 'DELETE',
      path: '/api/members/:id',
      access: { kind: 'tenant', permission: 'members.manage' },
      rateClass: 'write',
      summary: 'Remove a member',
      audit: 'members.remove',
      params: idParams,
      responses: { 204: null },
      errors: ['role_not_yours_to_give', 'last_owner'],
      handle: async ({ tx, principal, grant, params }) => {
        await removeMember(tx, { principal, held: grant.held }, params.id);
        return { status: 204 };
      },
    }),
    route({
      id: 'invitations.create',
      method: 'POST',
      path: '/api/invitations',
      access: { kind: 'tenant', permission: 'invitations.manage' },
      rateClass: 'write',
      summary: 'Invite an address to a role; the link goes out by mail only',
      audit: 'invitations.create',
      body: z.object({ email: text({ min: 3, max: ADDRESS_MAX, pattern: ADDRESS_PATTERN }), role }),
      responses: { 201: invitation },
      errors: [
        'invalid_address',
        'role_not_yours_to_give',
        'already_member',
        'invitation_exists',
        'too_many_invitations',
      ],
      idempotent: true,
      handle: async ({ tx, principal, grant, body }) => {
        const input = { ...body, publicBaseUrl: settings.PUBLIC_BASE_URL };
        return { status: 201, body: invitationView(await invite(tx, { principal, held: grant.held }, input)) };
      },
    }),
    route({
      id: 'invitations.list',
      method: 'GET',
      path: '/api/invitations',
      access: { kind: 'tenant', permission: 'invitations.manage' },
      rateClass: 'read',
      summary: 'Invitations of the school',
      query: z.object({ ...listQuery, state: z.enum(['pending', 'accepted', 'revoked']).optional() }),
      responses: { 200: listOf(invitation) },
      handle: async ({ tx, query }) => {
        const rows = await listInvitations(
          tx,
          cursorOf(query.cursor, 'invitations.list') ?? '',
          query.state,
          query.limit + 1,
        );
        return {
          status: 200,
          body: pageOf(rows, query.limit, 'invitations.list', { key: (row) => row.id, view: invitationView }),
        };
      },
    }),
    route({
      id: 'invitations.revoke',
      method: 'DELETE',
      path: '/api/invitations/:id',
      access: { kind: 'tenant', permission: 'invitations.manage' },
      rateClass: 'write',
      summary: 'Withdraw an open invitation',
      audit: 'invitations.revoke',
      params: idParams,
      responses: { 204: null },
      errors: ['invitation_used'],
      handle: async ({ tx, principal, grant, params }) => {
        await revokeInvitation(tx, { principal, held: grant.held }, params.id);
        return { status: 204 };
      },
    }),
    route({
      id: 'invitations.accept',
      method: 'POST',
      path: '/api/invitations/:token/accept',
      access: { kind: 'person' },
      rateClass: 'auth',
      summary: 'Accept an invitation with the token of the mail',
      description: 'Needs the verified e-mail address that was invited. Accepting again repeats the answer.',
      audit: 'invitations.accept',
      params: z.object({ token: text({ max: 100 }) }),
      body: z.object({}).optional(),
      responses: {
        200: z.object({ tenant: z.object({ id: z.string(), slug: z.string(), name: z.string() }), role }),
      },
      errors: [
        'invitation_for_another_address',
        'email_unverified',
        'invitation_used',
        'invitation_expired',
        'invitation_revoked',
        'tenant_blocked',
        'tenant_suspended',
      ],
      problems: [402, 410],
      handle: async ({ principal, params }) => {
        const { tenant, role } = await tenancy.acceptInvitation(await personNow(identity, principal), params.token);
        return { status: 200, body: { tenant: { id: tenant.tenantId, slug: tenant.slug, name: tenant.name }, role } };
      },
    }),
  ];
}
