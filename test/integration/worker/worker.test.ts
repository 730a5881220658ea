import assert from 'node:assert/strict';
import { type EventHandler, eventHandler } from '#domain/webhooks/index.ts';
import { loadSettings } from '#platform/config/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningWorker, startWorker } from '../../../services/worker/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { metric } from '../ingest/harness.ts';
import { countingHandler, createRig, type Rig } from '../webhooks/rig.ts';

describe('the worker', () => {
  let database: TestDatabase;
  let rig: Rig;
  const tenant = newId('ten');
  before(async () => {
    database = await createTestDatabase();
    rig = createRig(database);
  });
  after(() => database.close());

  const start = (events: EventHandler[], url = database.url('klar_worker')): Promise<RunningWorker> =>
    startWorker({
      settings: loadSettings('worker', {
        KLAR_PROFILE: 'test',
        ADMIN_PORT: '0',
        DATABASE_URL_WORKER: url,
        STRIPE_SECRET_KEY: 'sk_test_worker',
        KLAR_SECRETS_DIR: '/nonexistent',
      }),
      log: silentLogger(),
      handlers: () => ({ events, queues: [] }),
    });

  it('handles what is stored, with and without a wake, and counts it', async () => {
    const worker = await start([countingHandler()]);
    try {
      await rig.map('obj_evt_w1', tenant);
      await rig.store('evt_w1');
      worker.wake();
      await until(async () => (await rig.event('evt_w1')).state === 'done');
      await rig.map('obj_evt_w2', tenant);
      await rig.store('evt_w2');
      await until(async () => (await rig.event('evt_w2')).state === 'done');
      assert.equal(await metric(worker.adminPort, /^klar_inbox_handled_total\{.*outcome="done"/), 2);
      assert.equal(await metric(worker.adminPort, /^klar_inbox_lag_seconds_count/), 2);
    } finally {
      await worker.stop();
    }
  });

  it('is ready, writes its heartbeat, and shows the depths of inbox and queues', async () => {
    await rig.store('evt_unowned');
    const worker = await start([countingHandler()]);
    try {
      await until(async () => (await fetch(`http://127.0.0.1:${worker.adminPort}/readyz`)).status === 200);
      const age = async () =>
        (
          await database.asSuperuser<{ age: number | null }>(
            'select worker_heartbeat_age_s as age from ops.status_numbers()',
          )
        )[0]?.age;
      await until(async () => ((await age()) ?? 99) < 5);
      await until(async () => (await metric(worker.adminPort, /^klar_inbox_depth\{.*state="received"/)) === 1);
      const text = await (await fetch(`http://127.0.0.1:${worker.adminPort}/metrics`)).text();
      assert.match(text, /klar_queue_ready_jobs\{.*queue="notifications.deliver"/);
      assert.ok((await metric(worker.adminPort, /^klar_worker_heartbeat_age_seconds/)) < 5);
    } finally {
      await worker.stop();
    }
  });

  it('finishes running handlers when it stops, and leaves no lease behind', async () => {
    let entered = 0;
    const finish = Promise.withResolvers<void>();
    const worker = await start([
      countingHandler({
        prepare: async () => {
          entered += 1;
          await finish.promise;
        },
      }),
    ]);
    await rig.map('obj_evt_stop', tenant);
    for (let i = 0; i < 20; i += 1) await rig.store(`evt_stop_${i}`, { objectId: 'obj_evt_stop' });
    worker.wake();
    await until(() => entered === 8);
    const stopped = worker.stop();
    finish.resolve();
    await stopped;
    const states = await database.asSuperuser<{ state: string; n: number }>(
      `select state, count(*)::int as n from inbox.events where event_id like 'evt_stop_%' group by state order by state`,
    );
    assert.deepEqual(
      states.map((row) => [row.state, row.n]),
      [
        ['done', 8],
        ['ready', 12],
      ],
    );
    await database.asSuperuser(`delete from inbox.events where event_id like 'evt_stop_%'`);
  });

  it('starts while the database is away, is alive but not ready, and begins when it comes', async () => {
    const url = new URL(database.url('klar_worker'));
    url.port = '1';
    const worker = await start([countingHandler()], url.href);
    try {
      assert.equal((await fetch(`http://127.0.0.1:${worker.adminPort}/livez`)).status, 200);
      assert.equal((await fetch(`http://127.0.0.1:${worker.adminPort}/readyz`)).status, 503);
      await until(async () => (await metric(worker.adminPort, /loop_failures_total\{.*loop="inbox"/)) > 1);
    } finally {
      await worker.stop();
    }
  });

  it('gives up a handler that takes too long and goes on with the others', async () => {
    const hanging = eventHandler({
      ...countingHandler(),
      type: 'thing.hangs',
      prepare: (_event, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    const short = createRig(database, { handlers: [hanging, countingHandler()], leaseMs: 4_000 });
    await short.map('obj_evt_hang', tenant);
    await short.store('evt_hang', { type: 'thing.hangs' });
    await short.map('obj_evt_free', tenant);
    await short.store('evt_free');
    assert.deepEqual((await short.drain()).toSorted(), ['done', 'retry']);
    assert.equal((await short.event('evt_hang')).last_error, 'the attempt took too long');
  });
});
