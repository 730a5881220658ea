import { z } from 'zod';
import type { Method, Route } from './route.ts';

/** Routes of one path, as the router and the 405 answer need them. */
export interface PathRoutes {
  path: string;
  methods: ReadonlyMap<Method, Route>;
}

/**
 * Checks a set of routes and groups it by path, `/orders/export` before `/orders/:id`.
 * @throws Error that lists every mistake: a route table is code, so the process must not start with a bad one
 */
export function createRegistry(routes: readonly Route[]): PathRoutes[] {
  const mistakes: string[] = [];
  const ids = new Set<string>();
  const paths = new Map<string, { path: string; methods: Map<Method, Route> }>();
  for (const route of routes) {
    if (ids.has(route.id)) mistakes.push(`${route.id}: the id is used twice`);
    ids.add(route.id);
    for (const mistake of mistakesOf(route)) mistakes.push(`${route.id}: ${mistake}`);
    // `/a/:x` and `/a/:y` are one path to a router.
    const shape = route.path.replace(/:[^/]+/g, ':');
    const at = paths.get(shape) ?? { path: route.path, methods: new Map() };
    paths.set(shape, at);
    if (at.path !== route.path) mistakes.push(`${route.id}: ${route.path} names its parameters unlike ${at.path}`);
    if (at.methods.has(route.method)) mistakes.push(`${route.id}: ${route.method} ${route.path} is taken`);
    at.methods.set(route.method, route);
  }
  if (mistakes.length > 0) throw new Error(`Bad routes:\n${mistakes.join('\n')}`);
  return [...paths.values()].sort((a, b) => compare(a.path, b.path));
}

function mistakesOf(route: Route): string[] {
  const mistakes: string[] = [];
  const expect = (ok: boolean, mistake: string) => {
    if (!ok) mistakes.push(mistake);
  };
  expect(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/.test(route.id), 'the id must be module.verb');
  expect(
    /^\/api(\/[a-z0-9][a-z0-9_.-]*|\/:[a-z][a-z0-9_]*)+$/.test(route.path),
    `${route.path} is not a path below /api`,
  );
  const named = [...route.path.matchAll(/:([a-z0-9_]+)/g)].map((m) => m[1] ?? '').sort();
  const declared = Object.keys(shapeOf(route.params)).sort();
  expect(named.join() === declared.join(), `params declare [${declared}], the path has [${named}]`);
  expect(route.method !== 'GET' || route.body === undefined, 'GET has no body');
  expect(
    route.method === 'GET' || route.audit !== null || Boolean(route.auditReason),
    'names no audit action and no reason',
  );
  expect(!route.idempotent || route.access.kind === 'tenant', 'only tenant routes can be idempotent');
  expect(!route.steps || route.access.kind === 'tenant', 'only tenant routes have steps');
  expect(
    Object.keys(route.responses).some((status) => Number(status) < 400),
    'declares no success',
  );
  return mistakes;
}

/** Fields of an object schema; none for anything else. */
export function shapeOf(schema: z.ZodType | undefined): Readonly<Record<string, z.ZodType>> {
  return schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : {};
}

/** Literal segments win over parameters at the first place where they differ. */
function compare(a: string, b: string): number {
  const [as, bs] = [a.split('/'), b.split('/')];
  for (let i = 0; i < Math.min(as.length, bs.length); i++) {
    const [x = '', y = ''] = [as[i], bs[i]];
    if (x === y) continue;
    if (x.startsWith(':') !== y.startsWith(':')) return x.startsWith(':') ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return as.length - bs.length;
}
