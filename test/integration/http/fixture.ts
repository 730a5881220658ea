import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { authorize, type Permission, type Principal } from '#domain/tenancy/index.ts';
import { statement, type TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import {
  createIdempotency,
  createOverload,
  createRateLimiter,
  type Door,
  IDEMPOTENCY_DEFAULTS,
  type IdempotencyOptions,
  type OriginRules,
  type RateLimits,
  type Route,
} from '#platform/http/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { createApp } from '../../../services/api/app.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

/** A school with its members, written raw: these tests are about HTTP. */
export interface World {
  database: TestDatabase;
  tenantId: string;
  slug: string;
  person(role?: string): Promise<string>;
}

export async function createWorld(): Promise<World> {
  const database = await createTestDatabase();
  const slug = 'first-school';
  const tenantId = newId('ten');
  await database.asSuperuser('insert into routing.tenants (slug, tenant_id) values ($1, $2)', [slug, tenantId]);
  await database.asSuperuser('insert into app.tenants (tenant_id, slug, name) values ($1, $2, $3)', [
    tenantId,
    slug,
    'First',
  ]);
  await database.asSuperuser(
    'create table app.test_effects (tenant_id text not null, id text not null, primary key (tenant_id, id))',
  );
  await database.asSuperuser("select app.tenant_table('app.test_effects')");
  await database.asSuperuser('grant select, insert on app.test_effects to klar_api');
  return {
    database,
    tenantId,
    slug,
    async person(role = 'student') {
      const id = newId('usr');
      await database.asSuperuser(
        'insert into app.memberships (tenant_id, id, person_id, role, email, name) values ($1, $2, $3, $4, $5, $6)',
        [tenantId, newId('mem'), id, role, `${id}@example.com`, 'Somebody'],
      );
      return id;
    },
  };
}

const insertEffect = statement('test.insert_effect', 'insert into app.test_effects (tenant_id, id) values ($1, $2)');

/** The effect whose count the idempotency tests are about. */
export async function effect(tx: TenantTx): Promise<string> {
  const id = tx.newId('ord');
  await tx.run(insertEffect, [tx.tenantId, id]);
  return id;
}

/** Bearer tokens name people: `person:usr_...`; anything else is refused. */
export function fakeDoor(world: Pick<World, 'tenantId' | 'slug'>): Door {
  return {
    async authenticate(req) {
      const token = req.headers.authorization?.replace(/^Bearer /, '');
      if (token === undefined) return undefined;
      if (token === 'admin') return { kind: 'platform', id: 'admin-token', permissions: [] } satisfies Principal;
      if (!token.startsWith('usr_')) throw fail.unauthenticated('invalid_token');
      return {
        kind: 'person',
        personId: token,
        sessionId: '',
        email: '',
        emailVerified: true,
        name: '',
      } satisfies Principal;
    },
    async admit(principal, access) {
      const { kind } = principal as Principal;
      if ((access.kind === 'platform') !== (kind === 'platform')) throw fail.notFound();
      return principal;
    },
    async tenantOf(_principal, slug) {
      if (slug !== world.slug) throw fail.notFound();
      return world.tenantId;
    },
    authorize: (tx, principal, permission, mode) =>
      authorize(tx, principal as Principal, permission as Permission, mode),
    nameOf: (principal) => `person:${(principal as { personId?: string }).personId ?? 'admin'}`,
    actorOf: (principal) => ({ kind: 'person', id: (principal as { personId: string }).personId }),
  };
}

export interface TestApi {
  url: string;
  metrics: Metrics;
  /** Every log line so far. */
  logs: Record<string, unknown>[];
  server: Server;
  close(): Promise<void>;
}

export const OPEN: OriginRules = {
  auth: [],
  cors: [],
  public: [],
  own: undefined,
  allowLocalhost: false,
  allowNull: false,
};

const MANY: RateLimits = { auth: 1e6, read: 1e6, write: 1e6, billing: 1e6, media: 1e6, ops: 1e6 };

/** The real app on a free port, with the caller's routes. Two of them on one database are two pods. */
export async function startTestApi(
  world: World,
  routes: readonly Route[],
  options: {
    idempotency?: Partial<IdempotencyOptions>;
    /** Requests at once; default more than any test makes. */
    mostRequests?: number;
    limits?: Partial<RateLimits>;
    origins?: Partial<OriginRules>;
    poolSize?: number;
    door?: Door;
    badCredentials?: number;
  } = {},
): Promise<TestApi> {
  const logs: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      for (const line of String(chunk).split('\n')) if (line !== '') logs.push(JSON.parse(line));
      done();
    },
  });
  const log = createLogger({ process: 'test', stream });
  const metrics = createMetrics();
  const db = world.database.db('klar_api', { poolSize: options.poolSize ?? 4 });
  const limiter = createRateLimiter({
    limits: { ...MANY, ...options.limits },
    tenantFactor: 10,
    badCredentials: options.badCredentials ?? 1e6,
    metrics,
  });
  const app = createApp({
    routes,
    metrics,
    trustedProxies: [],
    https: false,
    pipeline: {
      door: options.door ?? fakeDoor(world),
      db,
      log,
      limiter,
      idempotency: createIdempotency({ ...IDEMPOTENCY_DEFAULTS, ...options.idempotency }),
      overload: createOverload(options.mostRequests ?? 1_000),
      origins: { ...OPEN, ...options.origins },
      bodyLimit: 1024 * 1024,
      strictAnswers: true,
    },
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    metrics,
    logs,
    server,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      limiter.close();
      await db.close();
    },
  };
}
