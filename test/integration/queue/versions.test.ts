import assert from 'node:assert/strict';
import { z } from 'zod';
import { migrate } from '#platform/db/setup.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createQueueWorker, defineQueue, queueMigration, send } from '#platform/queue/index.ts';
import { createTestDatabase, MIGRATIONS_DIR, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

const schema = z.object({ n: z.number() });
const rolling = defineQueue('test.rolling', { schema, retryLimit: 3 });

describe('queue schema over releases', () => {
  let database: TestDatabase;
  const ensure = (queue = rolling) =>
    migrate({ url: database.url('klar_migrator'), dir: MIGRATIONS_DIR, after: [queueMigration([queue])] });
  before(async () => {
    database = await createTestDatabase();
    await ensure();
  });
  after(() => database.close());

  it('of the next release is accepted by a worker of this one', async () => {
    await database.asSuperuser('update pgboss.version set version = version + 1');
    const worker = createQueueWorker({ db: database.db('klar_worker'), log: silentLogger(), metrics: createMetrics() });
    let handled = 0;
    worker.work(rolling, async () => {
      handled += 1;
      return 'done';
    });
    await worker.start();
    await database.db('klar_api').withTx((tx) => send(tx, rolling, { n: 1 }));
    await until(() => handled === 1);
    await worker.stop(1_000);
    await database.asSuperuser('update pgboss.version set version = version - 1');
  });

  it('takes over changed options of a queue, and refuses another policy', async () => {
    const limit = async () =>
      (await database.asSuperuser(`select retry_limit from pgboss.queue where name = 'test.rolling'`))[0]?.retry_limit;
    assert.equal(await limit(), 3);
    await ensure({ ...rolling, options: { ...rolling.options, retryLimit: 5 } });
    assert.equal(await limit(), 5);
    await assert.rejects(
      ensure({ ...rolling, options: { ...rolling.options, policy: 'short' } }),
      /policy cannot be changed/,
    );
  });

  it('gives no role but the worker a payload', async () => {
    for (const role of ['klar_api', 'klar_auth', 'klar_ingest', 'klar_controller', 'klar_cleanup']) {
      const [row] = await database.asSuperuser(
        `select bool_or(has_column_privilege($1, c.oid, 'data', 'SELECT')) as may from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'pgboss' and c.relname in ('job', 'job_common')`,
        [role],
      );
      assert.equal(row?.may, false, role);
    }
  });
});
