import { z } from 'zod';
import {
  currentTenant,
  type Membership,
  ROLES,
  SLUG_MAX,
  SLUG_MIN,
  SLUG_PATTERN,
  type Tenant,
  updateTenant,
} from '#domain/tenancy/index.ts';
import { encodeCursor, listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { nameField } from '../fields.ts';
import { cursorOf } from '../page.ts';
import { personNow } from '../person-now.ts';
import { apiKeyRoutes } from './api-keys.ts';
import { memberRoutes } from './members.ts';

const role = z.enum(ROLES);
const membership = z.object({ id: z.string(), slug: z.string(), name: z.string(), role });
const school = z.object({
  id: z.string(),
  slug: z.string(),
  name: z.string(),
  open_registration: z.boolean(),
  billing_state: z.string(),
  created_at: z.iso.datetime(),
});

const membershipView = ({ tenant, role }: Membership) => ({
  id: tenant.tenantId,
  slug: tenant.slug,
  name: tenant.name,
  role,
});

const schoolView = (tenant: Tenant) => ({
  id: tenant.tenantId,
  slug: tenant.slug,
  name: tenant.name,
  open_registration: tenant.openRegistration,
  billing_state: tenant.billingState,
  created_at: tenant.createdAt.toISOString(),
});

/** Memberships in one answer of `GET /api/me`; who has more pages through `GET /api/tenants`. */
const ME_MEMBERSHIPS = 100;
const TENANT_REFUSALS = ['tenant_blocked', 'tenant_suspended'] as const;

/** Schools, who belongs to them, invitations and API keys. */
export function tenancyRoutes(deps: ApiDeps): Route[] {
  return [...schoolRoutes(deps), ...memberRoutes(deps), ...apiKeyRoutes(deps)];
}

function schoolRoutes({ identity, tenancy }: ApiDeps): Route[] {
  return [
    route({
      id: 'tenants.create',
      method: 'POST',
      path: '/api/tenants',
      access: { kind: 'person' },
      rateClass: 'write',
      summary: 'Open a school; whoever opens it owns it',
      audit: 'tenants.create',
      body: z.object({ name: nameField, slug: z.string().min(SLUG_MIN).max(SLUG_MAX).regex(SLUG_PATTERN) }),
      responses: { 201: membership },
      errors: ['slug_taken'],
      handle: async ({ principal, body }) => ({
        status: 201,
        body: membershipView(await tenancy.createTenant(principal, body)),
      }),
    }),
    route({
      id: 'tenants.list',
      method: 'GET',
      path: '/api/tenants',
      access: { kind: 'person' },
      rateClass: 'read',
      summary: 'The schools one belongs to',
      query: z.object(listQuery),
      responses: { 200: listOf(membership) },
      handle: async ({ principal, query }) => {
        const after = cursorOf(query.cursor, 'tenants.list') ?? '';
        const found = await tenancy.membershipsOf(principal.personId, after, query.limit);
        return {
          status: 200,
          body: {
            data: found.memberships.map(membershipView),
            next_cursor: found.next === undefined ? null : encodeCursor([found.next], 'tenants.list'),
          },
        };
      },
    }),
    route({
      id: 'tenants.show',
      method: 'GET',
      path: '/api/tenants/current',
      access: { kind: 'tenant', permission: 'tenant.read' },
      rateClass: 'read',
      summary: 'The school of this request',
      responses: { 200: school },
      handle: async ({ tx }) => ({ status: 200, body: schoolView(await currentTenant(tx)) }),
    }),
    route({
      id: 'tenants.update',
      method: 'PATCH',
      path: '/api/tenants/current',
      access: { kind: 'tenant', permission: 'tenant.manage' },
      rateClass: 'write',
      summary: "Change the school's name or its registration rule",
      audit: 'tenants.update',
      body: z.object({ name: nameField.optional(), open_registration: z.boolean().optional() }),
      responses: { 200: school },
      handle: async ({ tx, principal, body }) => {
        const change = { name: body.name, openRegistration: body.open_registration };
        return { status: 200, body: schoolView(await updateTenant(tx, principal, change)) };
      },
    }),
    route({
      id: 'tenants.join',
      method: 'POST',
      path: '/api/tenants/:slug/join',
      access: { kind: 'person' },
      rateClass: 'write',
      summary: 'Join a school that lets anybody in',
      description: 'Joining again changes nothing and answers 200 with the role one has.',
      audit: 'members.join',
      params: z.object({ slug: text({ max: 100 }) }),
      body: z.object({}),
      responses: { 200: z.object({ role }), 201: z.object({ role }) },
      errors: ['registration_closed', ...TENANT_REFUSALS],
      problems: [402],
      handle: async ({ principal, params }) => {
        const { role, joined } = await tenancy.join(principal, params.slug);
        return { status: joined ? 201 : 200, body: { role } };
      },
    }),
    route({
      id: 'me.show',
      method: 'GET',
      path: '/api/me',
      access: { kind: 'person' },
      rateClass: 'read',
      summary: 'Who one is and where one belongs',
      responses: {
        200: z.object({
          user: z.object({ id: z.string(), email: z.string(), name: z.string(), email_verified: z.boolean() }),
          memberships: z.array(
            z.object({ tenant: z.object({ id: z.string(), slug: z.string(), name: z.string() }), role }),
          ),
        }),
      },
      handle: async ({ principal }) => {
        const { personId, email, name, emailVerified } = await personNow(identity, principal);
        const { memberships } = await tenancy.membershipsOf(personId, '', ME_MEMBERSHIPS);
        return {
          status: 200,
          body: {
            user: { id: personId, email, name, email_verified: emailVerified },
            memberships: memberships.map(({ tenant, role }) => ({
              tenant: { id: tenant.tenantId, slug: tenant.slug, name: tenant.name },
              role,
            })),
          },
        };
      },
    }),
  ];
}
