import type { z } from 'zod';
import { jsonSchemas } from './json-schema.ts';
import { problemSchema } from './problem.ts';
import { shapeOf } from './registry.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

export interface DocumentInfo {
  title: string;
  version: string;
  description: string;
  /** Base URLs; relative ones are allowed. */
  servers: readonly string[];
  /** One sentence per module, by the first part of an operation's id. */
  tags: Readonly<Record<string, string>>;
}

/** Statuses any route of a kind can answer with; what a handler adds is in its own `responses` and `errors`. */
const STATUS_TEXT: Record<number, string> = {
  400: 'The request does not have the documented form.',
  401: 'No valid credentials.',
  402: 'The tenant is suspended: reads work, changes do not.',
  403: 'The caller lacks the permission, or the tenant is blocked.',
  404: 'Does not exist, or not for this caller: the two are not told apart.',
  409: 'Conflicts with the present state, or a request with this Idempotency-Key still runs.',
  410: 'Was there once, and is over.',
  413: 'The body is too large.',
  415: 'The body is not application/json.',
  422: 'Understood, but not possible; or the Idempotency-Key was used with another request.',
  429: 'Too many requests.',
  500: 'The server failed.',
  502: 'A provider failed.',
  503: 'Not available at the moment.',
};

/** The OpenAPI 3.1 document of these routes: the same zod schemas that validate. */
export function openApiDocument(routes: readonly Route[], info: DocumentInfo): Json {
  const schemas = jsonSchemas();
  const paths: Record<string, Json> = {};
  const used = new Set<number>();
  for (const route of routes) {
    const path = route.path.replace(/:([^/]+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route, schemas, used);
  }
  const tags = [...new Set(routes.map((route) => tagOf(route)))].sort();
  const problem = schemas.of(problemSchema, 'output');
  return {
    openapi: '3.1.0',
    info: {
      title: info.title,
      version: info.version,
      description: info.description,
      license: { name: 'Proprietary', url: 'https://spdx.org/licenses/' },
    },
    servers: info.servers.map((url) => ({ url })),
    tags: tags.map((name) => ({ name, description: info.tags[name] ?? `Operations of ${name}.` })),
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An access token, an API key (`klar_...`), or, for platform routes, the admin token.',
        },
      },
      parameters: PARAMETERS,
      headers: HEADERS,
      schemas: { ...schemas.shared(), Problem: problem.$ref === undefined ? problem : schemas.shared().Problem },
      responses: Object.fromEntries([...used].sort().map((status) => [`Problem${status}`, problemResponse(status)])),
    },
  };
}

const PARAMETERS = {
  KlarTenant: {
    name: 'Klar-Tenant',
    in: 'header',
    required: false,
    description: 'Slug of the tenant. Needed with an access token; an API key has its own.',
    schema: { type: 'string', pattern: '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'Same key and same request within 72 h: the first answer again, one effect. Same key, other request: 422.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]([ -~]{0,253}[!-~])?$' },
  },
};

const HEADERS = {
  XRequestId: {
    description: 'Id of this request, as in logs and problems.',
    required: true,
    schema: { type: 'string' },
  },
  RetryAfter: { description: 'Seconds to wait.', required: true, schema: { type: 'integer', minimum: 1 } },
  MayRetryAfter: {
    description: 'Seconds to wait, where waiting helps.',
    required: false,
    schema: { type: 'integer', minimum: 1 },
  },
  WwwAuthenticate: {
    description: 'How to authenticate.',
    required: true,
    schema: { type: 'string', pattern: '^Bearer\\b' },
  },
};

/** Headers that a problem has beside the request's id. */
const PROBLEM_HEADERS: Record<number, Record<string, keyof typeof HEADERS>> = {
  401: { 'WWW-Authenticate': 'WwwAuthenticate' },
  409: { 'Retry-After': 'MayRetryAfter' },
  429: { 'Retry-After': 'RetryAfter' },
  503: { 'Retry-After': 'RetryAfter' },
};

const REQUEST_ID_HEADER = { 'X-Request-Id': { $ref: '#/components/headers/XRequestId' } };

function problemResponse(status: number): Json {
  const more = Object.entries(PROBLEM_HEADERS[status] ?? {});
  return {
    description: STATUS_TEXT[status],
    headers: {
      ...REQUEST_ID_HEADER,
      ...Object.fromEntries(more.map(([name, header]) => [name, { $ref: `#/components/headers/${header}` }])),
    },
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}

const tagOf = (route: Route) => route.id.split('.')[0] ?? '';

function operation(route: Route, schemas: ReturnType<typeof jsonSchemas>, used: Set<number>): Json {
  const responses: Json = {};
  for (const status of problemsOf(route)) {
    used.add(status);
    responses[status] = { $ref: `#/components/responses/Problem${status}` };
  }
  for (const [status, schema] of Object.entries(route.responses)) {
    responses[status] = {
      description: Number(status) < 400 ? 'Success.' : 'Not now.',
      headers: REQUEST_ID_HEADER,
      ...(schema === null ? {} : { content: { 'application/json': { schema: schemas.of(schema, 'output') } } }),
    };
  }
  const parameters = [
    ...fields(route.params, 'path', schemas),
    ...fields(route.query, 'query', schemas),
    ...(route.access.kind === 'tenant' ? [{ $ref: '#/components/parameters/KlarTenant' }] : []),
    ...(route.idempotent ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
  ];
  return {
    operationId: route.id,
    tags: [tagOf(route)],
    summary: route.summary,
    ...descriptionOf(route),
    security: route.access.kind === 'public' ? [] : [{ bearer: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemas.of(route.body, 'input') } },
          },
        }),
    responses,
    'x-klar-access': route.access,
    'x-klar-rate-class': route.rateClass,
  };
}

function descriptionOf(route: Route): Json {
  const codes =
    route.errors.length === 0 ? '' : `Problem codes: ${route.errors.map((code) => `\`${code}\``).join(', ')}.`;
  const description = [route.description, codes].filter(Boolean).join('\n\n');
  return description === '' ? {} : { description };
}

function fields(
  schema: z.ZodType | undefined,
  place: 'path' | 'query',
  schemas: ReturnType<typeof jsonSchemas>,
): Json[] {
  return Object.entries(shapeOf(schema)).map(([name, field]) => ({
    name,
    in: place,
    required: place === 'path' || !field.safeParse(undefined).success,
    schema: schemas.of(field, 'input'),
  }));
}

/** Problem statuses that this route can answer with. */
export function problemsOf(route: Route): number[] {
  const write = route.method !== 'GET';
  const { kind } = route.access;
  const can: [number, boolean][] = [
    [400, true],
    [401, kind !== 'public' || route.rateClass === 'auth'],
    [402, kind === 'tenant' && route.mode === 'write'],
    [403, kind !== 'platform'],
    [404, kind === 'tenant' || kind === 'platform' || route.params !== undefined],
    [409, write],
    [413, write],
    [415, write],
    [422, write || 'cursor' in shapeOf(route.query)],
    [429, true],
    [500, true],
    [502, write && route.steps],
    [503, true],
  ];
  const statuses = new Set([...can.filter(([, possible]) => possible).map(([status]) => status), ...route.problems]);
  return [...statuses].filter((status) => route.responses[status] === undefined).sort((a, b) => a - b);
}
