import { z } from 'zod';
import { ALL_PERMISSIONS, type ApiKey, createApiKey, listApiKeys, revokeApiKey } from '#domain/tenancy/index.ts';
import { needSecret } from '#platform/config/index.ts';
import { listOf, listQuery, type Route } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { nameField } from '../fields.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';

const scope = z.enum(ALL_PERMISSIONS as [(typeof ALL_PERMISSIONS)[number], ...typeof ALL_PERMISSIONS]);
const apiKey = z.object({
  id: z.string(),
  name: z.string(),
  prefix: z.string(),
  scopes: z.array(z.string()),
  created_by: z.object({ kind: z.string(), id: z.string() }),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime().nullable(),
  revoked_at: z.iso.datetime().nullable(),
});

const apiKeyView = (row: ApiKey) => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes,
  created_by: { kind: row.createdByKind, id: row.createdById },
  created_at: row.createdAt.toISOString(),
  last_used_at: row.lastUsedAt?.toISOString() ?? null,
  revoked_at: row.revokedAt?.toISOString() ?? null,
});

export function apiKeyRoutes({ settings }: ApiDeps): Route[] {
  const pepper = needSecret(settings, 'API_SECRET_SALT');
  return [
    route({
      id: 'api_keys.create',
      method: 'POST',
      path: '/api/api-keys',
      access: { kind: 'tenant', permission: 'api_keys.manage' },
      rateClass: 'write',
      summary: 'Make an API key; the answer is the only place that ever shows it',
      description:
        'Scopes are permissions, none beyond those of the caller. Without scopes: all of them but those that hand out access.',
      audit: 'api_keys.create',
      body: z.object({ name: nameField, scopes: z.array(scope).min(1).max(ALL_PERMISSIONS.length).optional() }),
      responses: { 201: apiKey.extend({ key: z.string() }) },
      errors: ['scope_not_yours_to_give'],
      handle: async ({ tx, principal, grant, body }) => {
        const { row, key } = await createApiKey(tx, { principal, held: grant.held }, pepper, body);
        return { status: 201, headers: { 'Cache-Control': 'no-store' }, body: { ...apiKeyView(row), key } };
      },
    }),
    route({
      id: 'api_keys.list',
      method: 'GET',
      path: '/api/api-keys',
      access: { kind: 'tenant', permission: 'api_keys.manage' },
      rateClass: 'read',
      summary: 'API keys of the school, without their secrets',
      query: z.object(listQuery),
      responses: { 200: listOf(apiKey) },
      handle: async ({ tx, query }) => {
        const rows = await listApiKeys(tx, cursorOf(query.cursor, 'api_keys.list') ?? '', query.limit + 1);
        const page = pageOf(rows, query.limit, 'api_keys.list', { key: (row) => row.id, view: apiKeyView });
        return { status: 200, body: page };
      },
    }),
    route({
      id: 'api_keys.revoke',
      method: 'DELETE',
      path: '/api/api-keys/:id',
      access: { kind: 'tenant', permission: 'api_keys.manage' },
      rateClass: 'write',
      summary: 'Revoke an API key, at once and everywhere',
      audit: 'api_keys.revoke',
      params: idParams,
      responses: { 204: null },
      handle: async ({ tx, principal, grant, params }) => {
        await revokeApiKey(tx, { principal, held: grant.held }, params.id);
        return { status: 204 };
      },
    }),
  ];
}
