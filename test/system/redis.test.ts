import assert from 'node:assert/strict';
import {
  connectRedis,
  createRateLimiter,
  type RateLimiter,
  type RateLimits,
  type RedisLink,
} from '#platform/http/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createRedis, type TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LIMITS: RateLimits = { auth: 5, read: 5, write: 5, billing: 5, media: 5, ops: 5 };

describe('rate limits with a real Redis', () => {
  let redis: TestRedis;
  let pods: { link: RedisLink; limiter: RateLimiter }[];

  before(async () => {
    redis = await createRedis();
    pods = [1, 2].map(() => {
      const link = connectRedis(redis.url, silentLogger());
      const limiter = createRateLimiter({
        limits: LIMITS,
        tenantFactor: 100,
        badCredentials: 5,
        redis: link,
        metrics: createMetrics(),
      });
      return { link, limiter };
    });
    await until(() => pods.every(({ link }) => link.ready()));
  });
  after(async () => {
    for (const { link, limiter } of pods) {
      limiter.close();
      link.close();
    }
    await redis.close();
  });

  /** How many of 12 requests, in turn on both pods, get through. */
  async function passing(principal: string): Promise<number> {
    let passed = 0;
    for (let i = 0; i < 12; i++) {
      const pod = pods[i % 2];
      await pod?.limiter.take('read', { ip: '192.0.2.1', principal, tenantId: 'ten_a' }).then(
        () => passed++,
        (error: { code: string }) => assert.equal(error.code, 'rate_limited'),
      );
    }
    return passed;
  }

  it('pods share one count', async () => {
    assert.equal(await passing('person:a'), 5);
  });

  it('without Redis each pod counts by itself, and no request fails or waits', async () => {
    await redis.kill();
    const started = performance.now();
    assert.equal(await passing('person:b'), 10);
    assert.ok(performance.now() - started < 1_000);
  });

  it('share again after it came back empty', async () => {
    await redis.start();
    await until(() => pods.every(({ link }) => link.ready()), { timeoutMs: 15_000 });
    assert.equal(await passing('person:c'), 5);
  });

  it('a Redis that accepts and never answers costs one short wait, not one per request', async () => {
    redis.pause();
    const started = performance.now();
    assert.equal(await passing('person:d'), 10);
    assert.ok(performance.now() - started < 1_500, `${performance.now() - started} ms`);
    redis.resume();
  });
});
