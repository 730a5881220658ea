import { PERMISSIONS, PLATFORM_PERMISSIONS } from '#domain/tenancy/index.ts';
import type { Access, Route } from '#platform/http/index.ts';
import { PLATFORM_ROUTES, ROLES_OF, TENANT_ROUTES } from './expectations.ts';
import { PERSON_ROUTES, PUBLIC_ROUTES, personRow, platformRow, publicRow } from './other-rows.ts';
import type { Row } from './run.ts';
import { tenantRow } from './tenant-rows.ts';
import type { World } from './world.ts';

/** What each route must ask for, as the tables of this folder say. */
export const EXPECTED_ACCESS: Readonly<Record<string, { access: Access; mode?: 'read' | 'write' }>> = {
  ...mapped(PUBLIC_ROUTES, () => ({ access: { kind: 'public' } })),
  ...mapped(PERSON_ROUTES, () => ({ access: { kind: 'person' } })),
  ...mapped(TENANT_ROUTES, ({ permission, mode }) => ({ access: { kind: 'tenant', permission }, mode })),
  ...mapped(PLATFORM_ROUTES, ({ permission }) => ({ access: { kind: 'platform', permission } })),
};

function mapped<T>(rows: Record<string, T>, fn: (row: T) => { access: Access; mode?: 'read' | 'write' }) {
  return Object.fromEntries(Object.entries(rows).map(([id, row]) => [id, fn(row)]));
}

/** Where the routes and the permission table are not what the tables of this folder say. */
export function differences(routes: readonly Pick<Route, 'id' | 'access' | 'mode'>[]): string[] {
  const found: string[] = [];
  const differ = (what: string, is: unknown, must: unknown) => {
    if (JSON.stringify(is) !== JSON.stringify(must))
      found.push(`${what}: ${JSON.stringify(is)}, must be ${JSON.stringify(must)}`);
  };
  const ids = routes.map(({ id }) => id);
  for (const id of Object.keys(EXPECTED_ACCESS)) if (!ids.includes(id)) found.push(`${id}: there is no such route`);
  for (const { id, access, mode } of routes) {
    const expected = EXPECTED_ACCESS[id];
    if (expected === undefined) found.push(`${id}: has no row in the matrix`);
    else
      differ(
        id,
        [access.kind, 'permission' in access && access.permission, expected.mode && mode],
        [expected.access.kind, 'permission' in expected.access && expected.access.permission, expected.mode],
      );
  }
  const sorted = (roles: readonly string[] | undefined) => [...(roles ?? [])].sort();
  const tables = { ...ROLES_OF, ...PERMISSIONS };
  for (const permission of Object.keys(tables) as (keyof typeof ROLES_OF)[]) {
    differ(permission, sorted(PERMISSIONS[permission]), sorted(ROLES_OF[permission]));
  }
  const platform = new Set(Object.values(PLATFORM_ROUTES).map(({ permission }) => permission));
  differ('platform permissions', sorted([...PLATFORM_PERMISSIONS]), sorted([...platform]));
  return found;
}

/** The generated row of one route. */
export async function rowOf(world: World, route: Route): Promise<Row> {
  const { id } = route;
  const [publicly, person, tenant, platform] = [
    PUBLIC_ROUTES[id],
    PERSON_ROUTES[id],
    TENANT_ROUTES[id],
    PLATFORM_ROUTES[id],
  ];
  if (tenant !== undefined) return tenantRow(world, tenant);
  if (person !== undefined) return personRow(world, person);
  if (platform !== undefined) return platformRow(world, platform);
  if (publicly !== undefined) return publicRow(world, publicly);
  throw new Error(`${id} has no row in the matrix`);
}
