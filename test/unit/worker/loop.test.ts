import assert from 'node:assert/strict';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { startLoop, type Turn } from '../../../services/worker/loop.ts';
import { until } from '../../support/until.ts';

const LONG_MS = 60_000;

function start(run: () => Promise<Turn>, everyMs = LONG_MS) {
  return startLoop({ name: 'test', everyMs, run: () => run(), log: silentLogger(), metrics: createMetrics() });
}

describe('a loop of the worker', () => {
  it('takes the next turn at once while there is more to do, then waits for its period', async () => {
    let turns = 0;
    const loop = start(async () => {
      turns += 1;
      return turns < 4 ? 'again' : 'idle';
    });
    await until(() => turns === 4);
    await loop.stop();
    assert.equal(turns, 4);
  });

  it('makes one more turn of any number of wakes that come during a turn', async () => {
    let turns = 0;
    let finish: () => void = () => {};
    const loop = start(
      () =>
        new Promise((resolve) => {
          turns += 1;
          finish = () => resolve('idle');
        }),
    );
    for (let i = 0; i < 50; i += 1) loop.wake();
    finish();
    await until(() => turns === 2);
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(turns, 2);
    const stopped = loop.stop();
    finish();
    await stopped;
  });

  it('is woken from its wait', async () => {
    let turns = 0;
    const loop = start(async () => {
      turns += 1;
      return 'idle';
    });
    await until(() => turns === 1);
    loop.wake();
    await until(() => turns === 2);
    await loop.stop();
  });

  it('never gives up: goes on after every error, with a pause that wakes cannot shorten', async () => {
    let turns = 0;
    const at: number[] = [];
    const loop = start(async () => {
      turns += 1;
      at.push(performance.now());
      if (turns < 4) throw new Error('database away');
      return 'idle';
    });
    const waking = setInterval(() => loop.wake(), 1);
    await until(() => turns >= 4);
    clearInterval(waking);
    await loop.stop();
    const pauses = at.slice(1, 4).map((time, i) => time - (at[i] ?? 0));
    assert.ok(
      pauses.every((pause, i) => pause >= 100 * 2 ** i - 5),
      String(pauses),
    );
  });

  it('stops in the middle of a wait or a pause, and waits for a running turn', async () => {
    const idle = start(async () => 'idle');
    await idle.stop();
    const failing = start(async () => {
      throw new Error('always');
    });
    await failing.stop();
    let ended = false;
    let finish: () => void = () => {};
    const busy = start(
      () =>
        new Promise((resolve) => {
          finish = () => {
            ended = true;
            resolve('idle');
          };
        }),
    );
    const stopped = busy.stop();
    finish();
    await stopped;
    assert.equal(ended, true);
  });
});
