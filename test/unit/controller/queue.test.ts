import assert from 'node:assert/strict';
import { fakeClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createController } from '../../../services/controller/kube/controller.ts';
import { KubeError } from '../../../services/controller/kube/errors.ts';
import { createWorkQueue } from '../../../services/controller/kube/queue.ts';
import { fakeTiming, settle } from './fake-timing.ts';

describe('work queue', () => {
  const make = (limits = {}) => {
    const timing = fakeTiming();
    return { timing, queue: createWorkQueue({ timing, limits }) };
  };

  it('runs a key once, however often it was named', () => {
    const { queue } = make();
    for (let i = 0; i < 100; i++) queue.add('a');
    assert.deepEqual(queue.take(), { key: 'a' });
    assert.equal(queue.take(), undefined);
  });

  it('runs a key again that changed while it ran, after that run', () => {
    const { queue } = make();
    queue.add('a');
    queue.take();
    queue.add('a');
    assert.equal(queue.take(), undefined, 'never two runs of one key');
    queue.done('a', false);
    assert.deepEqual(queue.take(), { key: 'a' });
  });

  it('pauses a failing key longer each time up to the limit, and no other key', async () => {
    const { queue, timing } = make({ baseMs: 1_000, maxMs: 8_000 });
    const pauses: number[] = [];
    queue.add('a');
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(queue.take(), { key: 'a' });
      queue.done('a', true);
      const next = queue.take();
      assert.ok(next && 'inMs' in next);
      pauses.push(next.inMs);
      queue.add('b');
      assert.deepEqual(queue.take(), { key: 'b' });
      queue.done('b', false);
      await timing.advance(next.inMs);
    }
    assert.deepEqual(pauses, [750, 1_500, 3_000, 6_000, 6_000]);
  });

  it('forgets failures after a success', async () => {
    const { queue, timing } = make({ baseMs: 1_000 });
    queue.add('a');
    queue.take();
    queue.done('a', true);
    await timing.advance(1_000);
    queue.take();
    queue.done('a', false);
    queue.add('a');
    queue.take();
    queue.done('a', true);
    assert.deepEqual(queue.take(), { inMs: 750 });
  });

  it('tries a failed key that changed before its pause is over, but not at once', async () => {
    const { queue } = make({ baseMs: 60_000 });
    queue.add('a');
    queue.take();
    queue.done('a', true);
    queue.add('a');
    assert.deepEqual(queue.take(), { inMs: 1_000 });
  });

  it('gives a key that fails and changes itself its pause', () => {
    const { queue } = make({ baseMs: 60_000 });
    queue.add('a');
    queue.take();
    queue.add('a');
    queue.done('a', true);
    assert.deepEqual(queue.take(), { inMs: 1_000 });
  });

  it('waits as long as the server asked', () => {
    const { queue } = make();
    queue.add('a');
    queue.take();
    queue.done('a', true, 30_000);
    assert.deepEqual(queue.take(), { inMs: 30_000 });
  });

  it('waits so long also when the key changed meanwhile, before or after the run ended', () => {
    const { queue } = make();
    queue.add('a');
    queue.take();
    queue.add('a');
    queue.done('a', true, 30_000);
    queue.add('a');
    assert.deepEqual(queue.take(), { inMs: 30_000 });
  });

  it('lets no planned visit shorten or lengthen the pause of a key that failed', () => {
    for (const planned of [1, 3_600_000]) {
      const { queue } = make({ baseMs: 60_000 });
      queue.add('a');
      queue.take();
      queue.addAfter('a', planned);
      queue.done('a', true);
      queue.addAfter('a', 1);
      assert.deepEqual(queue.take(), { inMs: 45_000 });
    }
  });

  it('counts what could run now, and not what is planned, paused or running', async () => {
    const { queue, timing } = make();
    for (const key of ['ready', 'running', 'failed']) queue.add(key);
    queue.addAfter('planned', 60_000);
    for (let i = 0; i < 3; i++) queue.take();
    queue.done('ready', false);
    queue.add('ready');
    queue.done('failed', true, 30_000);
    queue.add('running');
    assert.equal(queue.depth(), 1);
    await timing.advance(30_000);
    assert.equal(queue.depth(), 2);
    await timing.advance(30_000);
    assert.equal(queue.depth(), 3);
  });

  it('starts no more than its rate, over all keys', async () => {
    const { queue, timing } = make({ burst: 3, perSecond: 10 });
    let runs = 0;
    const drain = () => {
      for (let next = queue.take(); next && 'key' in next; next = queue.take()) {
        runs += 1;
        queue.done(next.key, false);
        queue.add(next.key);
      }
    };
    for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(key);
    drain();
    assert.equal(runs, 3);
    for (let i = 0; i < 10; i++) {
      await timing.advance(100);
      drain();
    }
    assert.equal(runs, 13);
  });

  it('keeps the sooner of two times', async () => {
    const { queue, timing } = make();
    queue.addAfter('a', 5_000);
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 9_000);
    assert.deepEqual(queue.take(), { inMs: 1_000 });
    await timing.advance(1_000);
    assert.deepEqual(queue.take(), { key: 'a' });
    assert.equal(queue.take(), undefined);
  });
});

describe('controller', () => {
  function make(reconcile: (key: string, signal: AbortSignal) => Promise<{ afterMs?: number } | undefined>) {
    const timing = fakeTiming();
    const metrics = createMetrics();
    const controller = createController({
      name: 'test',
      reconcile,
      clock: fakeClock('2026-01-01T00:00:00Z'),
      timing,
      log: silentLogger(),
      metrics,
      timeoutMs: 10_000,
    });
    const metric = async (name: string) => (await metrics.registry.getSingleMetricAsString(name)).split('\n').slice(2);
    return { timing, controller, metric };
  }

  it('reconciles what was named before it began, and counts it', async () => {
    const seen: string[] = [];
    const { controller, metric } = make(async (key) => void seen.push(key));
    controller.add('a');
    controller.add('b');
    assert.deepEqual(await metric('klar_controller_workqueue_depth'), [
      'klar_controller_workqueue_depth{controller="test"} 2',
    ]);
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    await settle();
    assert.deepEqual(seen, ['a', 'b']);
    assert.deepEqual(await metric('klar_controller_reconcile_total'), [
      'klar_controller_reconcile_total{controller="test",result="success"} 2',
    ]);
    assert.deepEqual(await metric('klar_controller_last_success_timestamp_seconds'), [
      'klar_controller_last_success_timestamp_seconds{controller="test"} 1767225600',
    ]);
    const durations = await metric('klar_controller_reconcile_duration_seconds');
    assert.ok(durations.includes('klar_controller_reconcile_duration_seconds_count{controller="test"} 2'));
    assert.deepEqual(await metric('klar_controller_workqueue_depth'), [
      'klar_controller_workqueue_depth{controller="test"} 0',
    ]);
    stop.abort();
    await run;
  });

  it('made anew in each of many terms leaves nothing in the metrics, and its own depth is shown', async () => {
    const metrics = createMetrics();
    const anew = () =>
      createController({
        name: 'test',
        reconcile: async () => undefined,
        clock: fakeClock('2026-01-01T00:00:00Z'),
        timing: fakeTiming(),
        log: silentLogger(),
        metrics,
      });
    anew().add('of a term that is over');
    for (let term = 0; term < 20_000; term++) anew();
    const last = anew();
    for (const key of ['a', 'b', 'c']) last.add(key);
    const shown = await metrics.registry.getSingleMetricAsString('klar_controller_workqueue_depth');
    assert.match(shown, /\{controller="test"\} 3$/);
  });

  it('tries a failure again by itself, after what the server asked', async () => {
    let runs = 0;
    const { controller, timing, metric } = make(async () => {
      runs += 1;
      if (runs === 1) throw new KubeError(429, undefined, '20');
      return undefined;
    });
    controller.add('a');
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    await timing.advance(19_999);
    assert.equal(runs, 1);
    await timing.advance(1);
    assert.equal(runs, 2);
    assert.ok((await metric('klar_controller_reconcile_total')).some((line) => line.includes('"error"} 1')));
    stop.abort();
    await run;
  });

  it('comes back when asked to', async () => {
    let runs = 0;
    const { controller, timing } = make(async () => {
      runs += 1;
      return { afterMs: 60_000 };
    });
    controller.add('a');
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    await timing.advance(180_000);
    assert.equal(runs, 4);
    stop.abort();
    await run;
  });

  it('comes back within 10 minutes, whatever time it was asked for', async () => {
    // More than a timer holds, no number, and before now.
    for (const afterMs of [90 * 86_400_000, Number.POSITIVE_INFINITY]) {
      let runs = 0;
      const { controller, timing } = make(async () => {
        runs += 1;
        return { afterMs };
      });
      controller.add('a');
      const stop = new AbortController();
      const run = controller.run(stop.signal);
      await timing.advance(1_800_000);
      assert.equal(runs, 4);
      stop.abort();
      await run;
    }
  });

  it('does what is due by the wall clock once, and not late, though the clock steps and the machine is suspended', async () => {
    const PERIOD = 7_200_000;
    const clock = fakeClock('2026-03-28T23:30:00Z');
    const begun = clock.now().getTime();
    const done: number[] = [];
    const lateMs: number[] = [];
    let dueAt = begun + PERIOD;
    const { controller, timing } = make(async () => {
      const now = clock.now().getTime();
      if (now >= dueAt) {
        done.push(now);
        lateMs.push(now - Math.max(dueAt, woken));
        dueAt += PERIOD;
      }
      return { afterMs: dueAt - now };
    });
    let woken = 0;
    controller.add('a');
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    const pass = async (minutes: number) => {
      for (let i = 0; i < minutes; i++) {
        clock.advance(60_000);
        await timing.advance(60_000);
      }
    };
    for (const stepMs of [3_600_000, -3_600_000, -3_600_000, 3_600_000, 43_200_000]) {
      // Ahead by so much: a step, or for the last one a night of sleep, in which the loop's own time stood still.
      clock.advance(stepMs);
      if (stepMs > 0) woken = clock.now().getTime();
      await pass(180);
    }
    const passed = clock.now().getTime() - begun;
    assert.equal(done.length, Math.floor(passed / PERIOD), 'none skipped and none twice');
    assert.ok(Math.max(...lateMs) <= 600_000 + 60_000, `${Math.max(...lateMs)} ms late`);
    stop.abort();
    await run;
  });

  it('aborts a run that hangs, and every run when it is stopped; ends after them; leaves no timer', async () => {
    const reasons: string[] = [];
    const { controller, timing } = make(
      (_key, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reasons.push(String(signal.reason));
            timing.after(100, () => reject(signal.reason));
          });
        }),
    );
    controller.add('a');
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    await timing.advance(10_000);
    assert.deepEqual(reasons, ['Error: a: no end within 10000 ms']);
    await timing.advance(10_000);
    let ended = false;
    void run.then(() => {
      ended = true;
    });
    stop.abort(new Error('stepped down'));
    await settle();
    assert.ok(!ended, 'not before what was under way');
    await timing.advance(100);
    await run;
    assert.equal(reasons.at(-1), 'Error: stepped down');
    assert.equal(timing.pending(), 0);
  });

  it('keeps for the next term what was not done in this one', async () => {
    const seen: string[] = [];
    const { controller } = make(async (key) => void seen.push(key));
    const gone = AbortSignal.abort();
    controller.add('a');
    await controller.run(gone);
    assert.deepEqual(seen, []);
    const stop = new AbortController();
    const run = controller.run(stop.signal);
    await settle();
    assert.deepEqual(seen, ['a']);
    stop.abort();
    await run;
  });
});
