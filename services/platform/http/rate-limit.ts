import { ipKeyGenerator, MemoryStore, type Options, type Store } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { fail } from '#platform/errors/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { RedisLink } from './redis.ts';
import type { RateClass } from './route.ts';

const WINDOW_MS = 60_000;

/** Requests per minute of one caller, by class. */
export type RateLimits = Record<RateClass, number>;

export interface RateLimiterInput {
  limits: RateLimits;
  /** A whole tenant may do this many times what one caller may. */
  tenantFactor: number;
  /** Refused credentials per minute and address before none is looked at any more. */
  badCredentials: number;
  redis?: RedisLink | undefined;
  metrics: Metrics;
}

export interface RateLimiter {
  /** @throws KlarError rate_limited with Retry-After */
  take(
    rateClass: RateClass,
    who: { ip: string; principal?: string | undefined; tenantId?: string | undefined },
  ): Promise<void>;
  /** A stranger's call does not count for the tenant: else strangers could use up what its members may do. */
  giveBack(rateClass: RateClass, tenantId: string): Promise<void>;
  /** @throws KlarError rate_limited when this address sent too many bad credentials */
  checkCredentials(ip: string): Promise<void>;
  badCredential(ip: string): Promise<void>;
  close(): void;
}

/** Counts in fixed windows of a minute. Redis makes pods share a count; nothing depends on what it remembers. */
export function createRateLimiter(input: RateLimiterInput): RateLimiter {
  const refused = input.metrics.counter('klar_http_rate_limited_total', 'Requests refused by a rate limit', [
    'class',
    'scope',
  ]);
  const stores = new Map<string, Store>();

  function storeOf(name: string): Store {
    let store = stores.get(name);
    if (store === undefined) {
      store = input.redis === undefined ? memoryStore() : fallbackStore(name, input.redis);
      stores.set(name, store);
    }
    return store;
  }

  async function count(rateClass: RateClass, scope: string, key: string, limit: number): Promise<void> {
    const store = storeOf(`${rateClass}:${scope}`);
    const { totalHits, resetTime } = await store.increment(key);
    if (totalHits <= limit) return;
    // Nobody knows yet whether this caller belongs there: see giveBack.
    if (scope === 'tenant') await store.decrement(key);
    refused.inc({ class: rateClass, scope });
    throw tooMany(resetTime);
  }

  // Per pod on purpose: it guards this process's own work of checking, and needs no round trip.
  const bad = memoryStore();

  return {
    async take(rateClass, { ip, principal, tenantId }) {
      const limit = input.limits[rateClass];
      // The caller first: what they send beyond their own limit must not use up the school's. And in every school the
      // same limit, or naming another one would be a fresh start.
      if (principal === undefined) await count(rateClass, 'address', ipKeyGenerator(ip), limit);
      else await count(rateClass, 'caller', principal, limit);
      if (tenantId !== undefined) await count(rateClass, 'tenant', tenantId, limit * input.tenantFactor);
    },
    giveBack: async (rateClass, tenantId) => storeOf(`${rateClass}:tenant`).decrement(tenantId),
    async checkCredentials(ip) {
      const seen = await bad.get(ipKeyGenerator(ip));
      if (seen === undefined || seen.totalHits < input.badCredentials) return;
      refused.inc({ class: 'auth', scope: 'bad_credentials' });
      throw tooMany(seen.resetTime);
    },
    async badCredential(ip) {
      await bad.increment(ipKeyGenerator(ip));
    },
    close() {
      for (const store of [...stores.values(), bad]) store.shutdown?.();
    },
  };
}

function tooMany(resetTime: Date | undefined) {
  const seconds = Math.ceil(((resetTime?.getTime() ?? 0) - Date.now()) / 1000);
  return fail.rateLimited(Math.min(Math.max(seconds, 1), WINDOW_MS / 1000));
}

function memoryStore(): MemoryStore {
  const store = new MemoryStore();
  store.init({ windowMs: WINDOW_MS } as Options);
  return store;
}

/** Redis while it answers, this pod's own count while it does not. */
function fallbackStore(name: string, redis: RedisLink): Store {
  const memory = memoryStore();
  let remote: RedisStore | undefined;
  return {
    async increment(key) {
      if (redis.ready()) {
        try {
          // Made late: its constructor sends commands, and would reject unheard while Redis is away.
          remote ??= newRedisStore(name, redis);
          return await remote.increment(key);
        } catch (error) {
          redis.failed(error);
          remote = undefined;
        }
      }
      return memory.increment(key);
    },
    async decrement(key) {
      if (remote === undefined || !redis.ready()) return memory.decrement(key);
      await remote.decrement(key).catch((error) => redis.failed(error));
    },
    resetKey: (key) => memory.resetKey(key),
    shutdown: () => memory.shutdown(),
  };
}

function newRedisStore(name: string, redis: RedisLink): RedisStore {
  const store = new RedisStore({ prefix: `klar:rl:${name}:`, sendCommand: (...args) => redis.send(args) });
  store.init({ windowMs: WINDOW_MS } as Options);
  // Both are awaited by `increment` later; until then a failure must not end the process as unhandled.
  store.incrementScriptSha.catch(() => undefined);
  store.getScriptSha.catch(() => undefined);
  return store;
}
