import assert from 'node:assert/strict';
import { z } from 'zod';
import { migrate } from '#platform/db/setup.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createQueueWorker, defineQueue, queueMigration, send } from '#platform/queue/index.ts';
import {
  MIGRATIONS_DIR,
  openTestDatabase,
  prepareDatabase,
  startOwnPostgres,
  type TestDatabase,
  type TestServer,
} from '../../support/database.ts';
import { until } from '../../support/until.ts';

const counted = defineQueue('test.counted', { schema: z.object({ n: z.number() }), retryDelayS: 1, heartbeatS: 10 });

describe('queue worker when the database goes away', () => {
  let server: TestServer;
  let database: TestDatabase;
  before(async function () {
    this.timeout(60_000);
    server = await startOwnPostgres({ durable: true });
    await prepareDatabase(server.superuserUrl);
    database = openTestDatabase(server.superuserUrl);
    await migrate({ url: database.url('klar_migrator'), dir: MIGRATIONS_DIR, after: [queueMigration([counted])] });
  });
  const stopping: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stopping.splice(0)) await stop();
  });
  after(async () => {
    await database.close();
    await server.close();
  });

  it('handles every committed job, and goes on within 2 s after the database accepts again', async function () {
    this.timeout(60_000);
    const api = database.db('klar_api');
    const worker = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics: createMetrics() });
    const handled = new Set<number>();
    worker.work(counted, async ({ n }) => {
      handled.add(n);
      return 'done';
    });
    await worker.start();
    stopping.push(() => worker.stop(1_000));
    const sent: number[] = [];
    const put = async (n: number) => {
      await api.withTx((tx) => send(tx, counted, { n }));
      sent.push(n);
    };
    for (let n = 0; n < 10; n += 1) await put(n);
    await until(() => handled.size > 0);
    await server.kill9();
    // A backend may answer for a moment after its postmaster died.
    await until(async () => {
      await put(sent.length).then(
        () => assert.fail('still there'),
        (error) => assert.equal(error.kind, 'unavailable'),
      );
      return true;
    });
    await server.start();
    await until(() => api.available().ok, { timeoutMs: 2_000 });
    await put(100);
    await until(() => handled.has(100), { timeoutMs: 2_000 });
    // A job that was being settled when the server died comes back by its heartbeat.
    await until(() => sent.every((n) => handled.has(n)), { timeoutMs: 30_000 });
  });

  it('starts while the database is away, and begins when it is there', async function () {
    this.timeout(60_000);
    await server.stop();
    const worker = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics: createMetrics() });
    let handled = false;
    worker.work(counted, async () => {
      handled = true;
      return 'done';
    });
    const started = worker.start();
    await server.start();
    await started;
    const api = database.db('klar_api');
    await api.withTx((tx) => send(tx, counted, { n: 1 }));
    await until(() => handled);
    await worker.stop(1_000);
  });

  it('stops while the database is away', async function () {
    this.timeout(60_000);
    const worker = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics: createMetrics() });
    worker.work(counted, async () => 'done');
    await worker.start();
    await server.stop();
    await worker.stop(1_000);
    const never = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics: createMetrics() });
    never.work(counted, async () => 'done');
    const starting = never.start();
    await never.stop(1_000);
    await starting;
    await server.start();
  });
});
