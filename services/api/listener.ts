import type { RequestListener } from 'node:http';
import path from 'node:path';
import type { Settings } from '#platform/config/index.ts';
import {
  connectRedis,
  createIdempotency,
  createOverload,
  createRateLimiter,
  IDEMPOTENCY_DEFAULTS,
  type OriginRules,
  type RateLimits,
} from '#platform/http/index.ts';
import { withSpan } from '#platform/telemetry/index.ts';
import { createApp } from './app.ts';
import type { ApiDeps } from './deps.ts';
import { createDoor } from './door.ts';
import { apiRoutes } from './routes/index.ts';

/** 1 MiB: a course description fits a hundred times, and 64 parallel ones fit the memory. */
const BODY_LIMIT = 1024 * 1024;
const PAGES = path.resolve(import.meta.dirname, '../web/landing');

export interface ApiListener {
  listener: RequestListener;
  /** Ends its timers and its link to Redis. */
  close(): void;
}

/** The api as a function of a request, from ready parts and settings; opens no port. */
export function createApiListener(deps: ApiDeps, routes = apiRoutes): ApiListener {
  const { settings, db, log, metrics } = deps;
  const redisUrl = settings.REDIS_URL;
  const redis = redisUrl === undefined ? undefined : connectRedis(redisUrl.current(), log);
  const limiter = createRateLimiter({
    limits: limitsOf(settings),
    tenantFactor: settings.RATE_LIMIT_TENANT_FACTOR,
    badCredentials: settings.RATE_LIMIT_BAD_CREDENTIALS,
    redis,
    metrics,
  });
  const outcomes = metrics.counter('klar_http_idempotency_total', 'Requests with an Idempotency-Key', [
    'route',
    'outcome',
  ]);
  const refused = metrics.counter('klar_http_overloaded_total', 'Requests refused because too many were under way');
  const listener = createApp({
    routes: routes(deps),
    metrics,
    trustedProxies: settings.TRUSTED_PROXIES,
    https: settings.PUBLIC_BASE_URL.startsWith('https://'),
    pages: PAGES,
    pipeline: {
      door: createDoor({ identity: deps.identity, tenancy: deps.tenancy, adminToken: settings.ADMIN_TOKEN }),
      db,
      log,
      limiter,
      idempotency: createIdempotency({
        ...IDEMPOTENCY_DEFAULTS,
        onOutcome: (route, outcome) => outcomes.inc({ route, outcome }),
      }),
      overload: createOverload(settings.MAX_REQUESTS_IN_FLIGHT, () => refused.inc()),
      origins: originsOf(settings),
      bodyLimit: BODY_LIMIT,
      strictAnswers: !settings.meta.strict,
      trace: (name, fn) => withSpan(name, {}, fn),
    },
  });
  return {
    listener,
    close() {
      limiter.close();
      redis?.close();
    },
  };
}

function limitsOf(settings: Settings): RateLimits {
  return {
    auth: settings.RATE_LIMIT_AUTH,
    read: settings.RATE_LIMIT_READ,
    write: settings.RATE_LIMIT_WRITE,
    billing: settings.RATE_LIMIT_BILLING,
    media: settings.RATE_LIMIT_MEDIA,
    ops: settings.RATE_LIMIT_OPS,
  };
}

function originsOf(settings: Settings): OriginRules {
  return {
    auth: settings.AUTH_ORIGIN_ALLOWLIST,
    cors: settings.CORS_ALLOW_ORIGINS,
    public: settings.PUBLIC_ORIGIN_ALLOWLIST,
    own: new URL(settings.PUBLIC_BASE_URL).origin,
    allowLocalhost: settings.ALLOW_LOCALHOST_ORIGINS,
    allowNull: settings.ALLOW_NULL_ORIGIN,
  };
}
