import assert from 'node:assert/strict';
import { startAdminServer } from '#platform/admin/index.ts';
import { createLifecycle, STOP_GROUPS } from '#platform/lifecycle/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';

const log = silentLogger();

describe('lifecycle', () => {
  it('stops in groups: one begins when everything of the one before is through', async () => {
    const lifecycle = createLifecycle({ log });
    const order: string[] = [];
    for (const group of [...STOP_GROUPS].reverse()) {
      for (const name of ['a', 'b']) {
        lifecycle.onStop(group, name, async () => {
          order.push(`${group} begins`);
          await new Promise((resolve) => setImmediate(resolve));
          order.push(`${group} ends`);
        });
      }
    }
    await lifecycle.stop('test');
    assert.deepEqual(
      order,
      STOP_GROUPS.flatMap((group) => [`${group} begins`, `${group} begins`, `${group} ends`, `${group} ends`]),
    );
  });

  it('turns readiness false at once, and closes listeners only after the endpoint delay', async () => {
    const lifecycle = createLifecycle({ log, delayMs: 60 });
    lifecycle.ready('database', () => true);
    assert.deepEqual(await lifecycle.readiness(), { ok: true, routed: true, checks: { database: { ok: true } } });
    let closedAfter = 0;
    const from = performance.now();
    lifecycle.onStop('listen', 'http', () => {
      closedAfter = performance.now() - from;
    });
    const stopped = lifecycle.stop('test');
    assert.equal(lifecycle.stopping.aborted, true);
    assert.equal((await lifecycle.readiness()).ok, false);
    await stopped;
    assert.ok(closedAfter >= 55, `${closedAfter}`);
  });

  it('runs once, however often it is asked', async () => {
    const lifecycle = createLifecycle({ log });
    let runs = 0;
    lifecycle.onStop('work', 'x', () => {
      runs += 1;
    });
    await Promise.all([lifecycle.stop('a'), lifecycle.stop('b')]);
    await lifecycle.stop('c');
    assert.equal(runs, 1);
  });

  it('goes on to the pools when a step before them fails, throws or hangs', async () => {
    const lifecycle = createLifecycle({ log, stepTimeoutMs: 30 });
    let closed = false;
    lifecycle.onStop('listen', 'rejects', () => Promise.reject(new Error('x')));
    lifecycle.onStop('drain', 'throws', () => {
      throw new Error('x');
    });
    lifecycle.onStop('work', 'hangs', () => new Promise(() => {}));
    lifecycle.onStop('pools', 'database', () => {
      closed = true;
    });
    await lifecycle.stop('test');
    assert.equal(closed, true);
  });

  it('calls a check that fails, throws or does not answer not ready', async () => {
    const lifecycle = createLifecycle({ log });
    lifecycle.ready('fails', async () => ({ ok: false, detail: 'away' }));
    lifecycle.ready('throws', () => {
      throw new Error('password=hunter2');
    });
    lifecycle.ready('hangs', () => new Promise(() => {}));
    const readiness = await lifecycle.readiness();
    assert.deepEqual(readiness, {
      ok: false,
      routed: false,
      checks: {
        fails: { ok: false, detail: 'away' },
        throws: { ok: false, detail: 'failed' },
        hangs: { ok: false, detail: 'no answer' },
      },
    });
  });
});

describe('admin port', () => {
  async function admin(ok: boolean, routed = ok) {
    const metrics = createMetrics();
    metrics.counter('klar_test_things_total', 'Things', ['kind']).inc({ kind: 'a' });
    const server = await startAdminServer({
      port: 0,
      metrics,
      readiness: async () => ({ ok, routed, checks: { database: { ok } } }),
      version: () => ({ commit: 'abc' }),
      log,
    });
    return {
      ...server,
      get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init),
    };
  }

  it('keeps a process in its endpoints that can say itself what is wrong', async () => {
    const lifecycle = createLifecycle({ log });
    lifecycle.ready('database', () => ({ ok: false, detail: 'away for 40 s', stays: true }));
    const checks = { database: { ok: false, detail: 'away for 40 s' } };
    assert.deepEqual(await lifecycle.readiness(), { ok: false, routed: true, checks });
    const server = await admin(false, true);
    try {
      assert.equal((await server.get('/readyz')).status, 200);
    } finally {
      await server.close();
    }
  });

  it('answers /livez without asking anybody, /readyz by the checks, /metrics and /versionz', async () => {
    const server = await admin(false);
    try {
      assert.equal((await server.get('/livez')).status, 200);
      const ready = await server.get('/readyz');
      assert.deepEqual(
        [ready.status, await ready.json()],
        [503, { ok: false, routed: false, checks: { database: { ok: false } } }],
      );
      const metrics = await server.get('/metrics');
      assert.match(metrics.headers.get('content-type') ?? '', /text\/plain.*version=0\.0\.4/);
      assert.match(await metrics.text(), /klar_test_things_total\{kind="a"\} 1/);
      assert.deepEqual(await (await server.get('/versionz')).json(), { commit: 'abc' });
      assert.equal((await server.get('/livez', { method: 'HEAD' })).status, 200);
      for (const path of ['/', '/__proto__', '/constructor', '/livez/x'])
        assert.equal((await server.get(path)).status, 404);
      assert.equal((await server.get('/metrics', { method: 'POST' })).status, 405);
    } finally {
      await server.close();
    }
  });

  it('says ready when it is', async () => {
    const server = await admin(true);
    assert.equal((await server.get('/readyz')).status, 200);
    await server.close();
  });
});

describe('metrics', () => {
  it('give the same metric for the same name, and keep registries apart', () => {
    const [one, two] = [createMetrics({ process: 'api' }), createMetrics()];
    assert.equal(one.counter('klar_a_b_total', 'x'), one.counter('klar_a_b_total', 'x'));
    assert.notEqual(one.counter('klar_a_b_total', 'x'), two.counter('klar_a_b_total', 'x'));
    assert.equal(one.histogram('klar_a_duration_seconds', 'x'), one.histogram('klar_a_duration_seconds', 'x'));
    assert.equal(one.gauge('klar_a_depth', 'x'), one.gauge('klar_a_depth', 'x'));
  });
});
