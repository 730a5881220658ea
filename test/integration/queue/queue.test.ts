import assert from 'node:assert/strict';
import { z } from 'zod';
import type { Db } from '#platform/db/index.ts';
import { migrate } from '#platform/db/setup.ts';
import { currentRequestId, silentLogger, withLogContext } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import {
  createQueueWorker,
  defineQueue,
  type QueueWorker,
  queueMigration,
  queueStats,
  send,
} from '#platform/queue/index.ts';
import { createTestDatabase, MIGRATIONS_DIR, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

const schema = z.object({ n: z.number() });
const plain = defineQueue('test.plain', { schema });
const failing = defineQueue('test.failing', { schema, retryLimit: 1, retryDelayS: 1, retryDelayMaxS: 1 });
const slow = defineQueue('test.slow', { schema, heartbeatS: 10 });
const once = defineQueue('test.once', { schema, policy: 'exclusive' });
const unmade = defineQueue('test.unmade', { schema });

describe('queue', () => {
  let database: TestDatabase;
  let api: Db;
  let metrics: Metrics;
  let worker: QueueWorker;
  let errors: string[];
  before(async () => {
    database = await createTestDatabase();
    await migrate({
      url: database.url('klar_migrator'),
      dir: MIGRATIONS_DIR,
      after: [queueMigration([plain, failing, slow, once])],
    });
    api = database.db('klar_api');
  });
  after(() => database.close());
  beforeEach(() => {
    metrics = createMetrics();
    errors = [];
    const log = { ...silentLogger(), error: (message: string) => void errors.push(message) };
    worker = createQueueWorker({ db: database.db('klar_worker'), log, metrics });
  });
  afterEach(() => worker.stop(1_000));

  it('delivers a committed job with its request id, and not a rolled back one', async () => {
    const seen: unknown[] = [];
    worker.work(plain, async (payload, { attempt }) => {
      seen.push([payload.n, attempt, currentRequestId()]);
      return 'done';
    });
    await worker.start();
    await assert.rejects(
      api.withTx(async (tx) => {
        await send(tx, plain, { n: 1 });
        throw new Error('no');
      }),
    );
    const id = await withLogContext({ request_id: 'req_1' }, () => api.withTx((tx) => send(tx, plain, { n: 2 })));
    assert.match(id ?? '', /^[0-9a-f-]{36}$/);
    await until(() => seen.length > 0);
    assert.deepEqual(seen, [[2, 1, 'req_1']]);
  });

  it('refuses a payload of another shape, and a queue that nobody made', async () => {
    await assert.rejects(
      api.withTx((tx) => send(tx, plain, { n: 'x' } as never)),
      { name: 'ZodError' },
    );
    await assert.rejects(
      api.withTx((tx) => send(tx, unmade, { n: 1 })),
      /does not exist/,
    );
  });

  it('works off a backlog without waiting for the poll between two jobs, as many at once as it may', async () => {
    for (let n = 100; n < 130; n += 1) await api.withTx((tx) => send(tx, plain, { n }));
    let running = 0;
    let most = 0;
    const seen = new Set<number>();
    worker.work(
      plain,
      async ({ n }) => {
        running += 1;
        most = Math.max(most, running);
        seen.add(n);
        // Two are there together once each of them waits for the other.
        if (seen.size <= 2) await until(() => seen.size >= 2);
        running -= 1;
        return 'done';
      },
      { concurrency: 3 },
    );
    await worker.start();
    // At one job per poll and loop it would take 5 s.
    await until(() => seen.size === 30, { timeoutMs: 3_000 });
    assert.ok(most >= 2 && most <= 3, `${most} at once`);
  });

  it('retries with backoff, then keeps the job as a dead letter', async () => {
    const attempts: number[] = [];
    worker.work(failing, async (_payload, { attempt }) => {
      attempts.push(attempt);
      throw new Error('boom');
    });
    await worker.start();
    await api.withTx((tx) => send(tx, failing, { n: 1 }));
    const stats = () => api.withTx(async (tx) => (await queueStats(tx)).find((row) => row.queue === failing.name));
    await until(async () => (await stats())?.dead === 1, { timeoutMs: 10_000 });
    assert.deepEqual(attempts, [1, 2]);
    assert.equal((await stats())?.ready, 0);
  });

  it('gives up at once when the handler says dead', async () => {
    let attempts = 0;
    worker.work(failing, async () => {
      attempts += 1;
      return { dead: 'never', logged: attempts > 1 };
    });
    await worker.start();
    await api.withTx((tx) => send(tx, failing, { n: 7 }));
    await until(async () =>
      (await metrics.registry.metrics()).includes('klar_queue_jobs_total{queue="test.failing",outcome="dead"} 1'),
    );
    assert.equal(attempts, 1);
    assert.deepEqual(errors, ['job is dead']);
    await api.withTx((tx) => send(tx, failing, { n: 8 }));
    await until(async () =>
      (await metrics.registry.metrics()).includes('klar_queue_jobs_total{queue="test.failing",outcome="dead"} 2'),
    );
    assert.equal(errors.length, 1, 'a handler that has logged it is not repeated');
  });

  it('lets one job per key wait or run, under policy exclusive', async () => {
    const ids = await api.withTx(async (tx) => [
      await send(tx, once, { n: 1 }, { singletonKey: 'a' }),
      await send(tx, once, { n: 2 }, { singletonKey: 'a' }),
      await send(tx, once, { n: 3 }, { singletonKey: 'b' }),
    ]);
    assert.deepEqual(
      ids.map((id) => id !== null),
      [true, false, true],
    );
  });

  it('aborts a handler that does not end in time at a stop, and the job runs again', async () => {
    let aborted = false;
    worker.work(
      slow,
      (_payload, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve('done');
          });
        }),
    );
    await worker.start();
    await api.withTx((tx) => send(tx, slow, { n: 1 }));
    await until(async () =>
      (await api.withTx((tx) => queueStats(tx))).some((row) => row.queue === slow.name && row.active === 1),
    );
    await worker.stop(1_000);
    assert.equal(aborted, true);
    const again = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics });
    let attempt = 0;
    again.work(slow, async (_payload, context) => {
      attempt = context.attempt;
      return 'done';
    });
    await again.start();
    await until(() => attempt === 2, { timeoutMs: 12_000 });
    await again.stop(1_000);
  });

  it('counts depth, age and dead letters', async () => {
    await api.withTx((tx) => send(tx, plain, { n: 1 }));
    await api.withTx((tx) => send(tx, plain, { n: 1 }, { startAfter: new Date(Date.now() + 60_000) }));
    const row = await api.withTx(async (tx) => (await queueStats(tx)).find((each) => each.queue === plain.name));
    assert.equal(row?.ready, 1);
    assert.equal(row?.deferred, 1);
    assert.ok((row?.oldestReadyS ?? -1) >= 0);
  });
});
