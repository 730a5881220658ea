import assert from 'node:assert/strict';
import { type EventHandler, eventHandler } from '#domain/webhooks/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { loadSettings } from '#platform/config/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { startHeartbeat } from '../../../services/worker/heartbeat.ts';
import { type RunningWorker, startWorker } from '../../../services/worker/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { metric } from '../ingest/harness.ts';
import { countingHandler, createRig, type Rig } from '../webhooks/rig.ts';

/** Its limit ends a wait that has no end; nothing here is judged by how fast it comes. */
const soon = (condition: () => unknown, what?: string) =>
  until(condition, { timeoutMs: 60_000, everyMs: 15, ...(what ? { what } : {}) });

describe('the worker', function () {
  this.timeout(120_000);
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
      await soon(async () => (await rig.event('evt_w1')).state === 'done');
      await rig.map('obj_evt_w2', tenant);
      await rig.store('evt_w2');
      await soon(async () => (await rig.event('evt_w2')).state === 'done');
      assert.equal(await metric(worker.adminPort, /^klar_inbox_handled_total\{.*outcome="done"/), 2);
      assert.equal(await metric(worker.adminPort, /^klar_inbox_lag_seconds_count/), 2);
    } finally {
      await worker.stop();
    }
  });

  it('is ready, writes its heartbeat, and shows the depths of inbox and queues', async () => {
    await rig.store('evt_unowned');
    // A row of its own: the beats of the worker before it are still there, and young.
    const workers = async () =>
      (await database.asSuperuser<{ n: number }>('select count(*)::int as n from ops.worker_heartbeats'))[0]?.n ?? 0;
    const before = await workers();
    const worker = await start([countingHandler()]);
    try {
      await soon(async () => (await fetch(`http://127.0.0.1:${worker.adminPort}/readyz`)).status === 200, 'readiness');
      await soon(async () => (await workers()) === before + 1, 'its heartbeat');
      // Measured one after the other: whoever sees the first may be too early for the second.
      await soon(
        async () => (await metric(worker.adminPort, /^klar_inbox_depth\{.*state="received"/)) === 1,
        'the depth',
      );
      await soon(async () => {
        const text = await (await fetch(`http://127.0.0.1:${worker.adminPort}/metrics`)).text();
        return /^klar_queue_ready_jobs\{.*queue="notifications.deliver"/m.test(text);
      }, 'the queues');
    } finally {
      await worker.stop();
    }
  });

  it('beats again and again, and counts the seconds since', async () => {
    const metrics = createMetrics();
    const beat = startHeartbeat({
      db: rig.worker,
      inbox: rig.inbox,
      clock: systemClock,
      log: silentLogger(),
      metrics,
      everyMs: 100,
    });
    try {
      const age = async () =>
        Number(/^klar_worker_heartbeat_age_seconds (\S+)$/m.exec(await metrics.registry.metrics())?.[1]);
      // It grows until a beat puts it back, however slow the machine.
      let last = await age();
      let beats = 0;
      await soon(async () => {
        const now = await age();
        if (now < last) beats += 1;
        last = now;
        return beats === 3;
      }, 'three beats');
      const stored = await database.asSuperuser<{ lives: boolean }>(
        'select beat_at > started_at as lives from ops.worker_heartbeats order by started_at desc limit 1',
      );
      assert.deepEqual(stored, [{ lives: true }]);
    } finally {
      await beat.stop();
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
    await soon(() => entered === 8);
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
      await soon(async () => (await metric(worker.adminPort, /loop_failures_total\{.*loop="inbox"/)) > 1);
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
