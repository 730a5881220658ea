import { z } from 'zod';
import {
  BILLING_STATES,
  listTenants,
  setBlocked,
  setSuspended,
  showTenant,
  type Tenant,
  type TenantSummary,
} from '#domain/tenancy/index.ts';
import { listOf, listQuery, queryBool, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';

const summary = z.object({
  id: z.string(),
  slug: z.string(),
  billing_state: z.enum(BILLING_STATES),
  blocked: z.boolean(),
  created_at: z.iso.datetime(),
});
const details = summary.extend({
  name: z.string(),
  open_registration: z.boolean(),
  blocked_reason: z.string().nullable(),
  blocked_at: z.iso.datetime().nullable(),
});

const summaryView = (row: TenantSummary) => ({
  id: row.tenantId,
  slug: row.slug,
  billing_state: row.billingState,
  blocked: row.blocked,
  created_at: row.createdAt.toISOString(),
});
const detailsView = (row: Tenant) => ({
  ...summaryView(row),
  name: row.name,
  open_registration: row.openRegistration,
  blocked_reason: row.blockedReason,
  blocked_at: row.blockedAt?.toISOString() ?? null,
});

/** Why: stored with the actor in the audit log. Asked for wherever something changes. */
const reason = text({ max: 500 });
const body = z.object({ reason });
const readQuery = { reason: reason.optional() };

/** The platform's own surface: for ADMIN_TOKEN and persons with a platform role; to other callers it does not exist. */
export function adminRoutes({ db }: ApiDeps): Route[] {
  const change = (
    verb: 'block' | 'unblock' | 'suspend' | 'unsuspend',
    text: string,
    apply: typeof setBlocked,
    value: boolean,
    permission: 'platform.tenants.block' | 'platform.tenants.suspend',
  ) =>
    route({
      id: `admin.tenants.${verb}`,
      method: 'POST',
      path: `/api/admin/tenants/:id/${verb}`,
      access: { kind: 'platform', permission },
      rateClass: 'ops',
      summary: text,
      audit: `platform.tenants.${verb}`,
      params: idParams,
      body,
      responses: { 200: details },
      handle: async ({ principal, params, body }) => ({
        status: 200,
        body: detailsView(await apply(db, principal, params.id, value, body.reason)),
      }),
    });

  return [
    route({
      id: 'admin.tenants.list',
      method: 'GET',
      path: '/api/admin/tenants',
      access: { kind: 'platform', permission: 'platform.tenants.read' },
      rateClass: 'ops',
      summary: 'All schools',
      audit: 'platform.tenants.list',
      query: z.object({
        ...listQuery,
        ...readQuery,
        billing_state: z.enum(BILLING_STATES).optional(),
        blocked: queryBool().optional(),
        slug_prefix: text({ max: 40 }).optional(),
      }),
      responses: { 200: listOf(summary) },
      handle: async ({ principal, query }) => {
        const rows = await listTenants(db, principal, query.reason, {
          after: cursorOf(query.cursor, 'admin.tenants.list') ?? '',
          billingState: query.billing_state,
          blocked: query.blocked,
          slugPrefix: query.slug_prefix,
          limit: query.limit + 1,
        });
        const page = pageOf(rows, query.limit, 'admin.tenants.list', { key: (row) => row.tenantId, view: summaryView });
        return { status: 200, body: page };
      },
    }),
    route({
      id: 'admin.tenants.show',
      method: 'GET',
      path: '/api/admin/tenants/:id',
      access: { kind: 'platform', permission: 'platform.tenants.read' },
      rateClass: 'ops',
      summary: 'One school, its members counted by role',
      audit: 'platform.tenants.show',
      params: idParams,
      query: z.object(readQuery),
      responses: { 200: details.extend({ members: z.record(z.string(), z.number().int()) }) },
      handle: async ({ principal, params, query }) => {
        const { tenant, members } = await showTenant(db, principal, params.id, query.reason);
        return { status: 200, body: { ...detailsView(tenant), members } };
      },
    }),
    change('block', 'Block a school: every call is refused', setBlocked, true, 'platform.tenants.block'),
    change('unblock', 'Lift a block', setBlocked, false, 'platform.tenants.block'),
    change('suspend', 'Suspend a school: writes are refused', setSuspended, true, 'platform.tenants.suspend'),
    change('unsuspend', 'Lift a suspension', setSuspended, false, 'platform.tenants.suspend'),
  ];
}
