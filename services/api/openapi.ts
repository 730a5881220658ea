import { fixedSecret, inspectSettings } from '#platform/config/index.ts';
import { openApiDocument, type Route } from '#platform/http/index.ts';
import type { ApiDeps } from './deps.ts';
import { apiRoutes } from './routes/index.ts';

const TAGS: Record<string, string> = {
  admin: 'Platform administration; to other logged-in callers these paths do not exist.',
  audit: 'Who did what.',
  auth: 'Registering, logging in, sessions.',
  courses: 'Courses and their lessons.',
  enrollments: 'Who learns what.',
  feed: 'What is new for a person.',
  members: 'Members and invitations of a school.',
  ops: 'The system about itself.',
  orders: 'Buying.',
  payments: 'Checkout sessions and payments.',
  services: 'Bookable services.',
  tenants: 'Schools.',
};

/** The OpenAPI document of these routes. */
export function documentOf(routes: readonly Route[]): object {
  return openApiDocument(routes, {
    title: 'Klar',
    version: '1.0.0',
    description:
      'Schools sell courses and services and are paid. JSON in snake_case, times in ISO 8601 (UTC), money in minor units with its ISO 4217 currency; errors are RFC 9457 problems with a stable `code`.',
    servers: ['/'],
    tags: TAGS,
  });
}

/** The text of the committed `openapi.json`. */
export function generateOpenApi(): string {
  return `${JSON.stringify(documentOf(apiRoutes(noDeps())), null, 2)}\n`;
}

/**
 * Stands for every dependency: describing a route calls no handler. What is read from it is again such a stand-in, as
 * some route files take things apart when they are built. Settings have their defaults, secrets a value that is none.
 */
export function noDeps(): ApiDeps {
  const nothing: unknown = new Proxy(() => nothing, {
    get: (_target, name) => (name === Symbol.toPrimitive ? () => '' : nothing),
    apply: () => nothing,
  });
  const defaults = inspectSettings('api', {}).settings as unknown as Record<string, unknown>;
  const settings = new Proxy(defaults, { get: (known, name: string) => known[name] ?? fixedSecret(name, 'none') });
  return new Proxy({}, { get: (_target, name) => (name === 'settings' ? settings : nothing) }) as ApiDeps;
}
