import assert from 'node:assert/strict';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createHasher } from '../../../services/domain/identity/hasher.ts';
import { createLoop } from '../../../services/domain/identity/loop.ts';
import { createRevocations } from '../../../services/domain/identity/revocations.ts';
import { createTurnstile } from '../../../services/domain/identity/turnstile.ts';
import { until } from '../../support/until.ts';

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('hasher', () => {
  it('runs no more at once than it may, in order, and refuses beyond its queue', async () => {
    const hasher = createHasher({ metrics: createMetrics(), concurrency: 2, queue: 2 });
    const { opened, open } = gate();
    const order: number[] = [];
    let running = 0;
    let most = 0;
    const work = (n: number) =>
      hasher.withPermit(async () => {
        running += 1;
        most = Math.max(most, running);
        await opened;
        order.push(n);
        running -= 1;
      });
    const all = [0, 1, 2, 3].map(work);
    await assert.rejects(work(4), { code: 'login_busy', kind: 'unavailable' });
    open();
    await Promise.all(all);
    assert.equal(most, 2);
    assert.deepEqual(order, [0, 1, 2, 3]);
  });

  it('gives a permit back when the work throws', async () => {
    const hasher = createHasher({ metrics: createMetrics(), concurrency: 1, queue: 0 });
    await assert.rejects(hasher.withPermit(() => Promise.reject(new Error('x'))));
    assert.equal(await hasher.withPermit(async () => 'free'), 'free');
  });

  it('makes argon2id with the parameters of OWASP and a salt of its own each time', async () => {
    const hasher = createHasher({ metrics: createMetrics() });
    const [a, b] = await Promise.all([hasher.hash('correct horse'), hasher.hash('correct horse')]);
    assert.match(a, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.notEqual(a, b);
    assert.equal(await hasher.verify(a, 'correct horse'), true);
    assert.equal(await hasher.verify(a, 'wrong horse'), false);
  });
});

describe('turnstile', () => {
  it('lets one at a time through per key, others beside it, and survives a failure', async () => {
    const turnstile = createTurnstile(3);
    const { opened, open } = gate();
    const order: string[] = [];
    const first = turnstile.run('a', async () => {
      await opened;
      order.push('a1');
      throw new Error('x');
    });
    const second = turnstile.run('a', async () => order.push('a2'));
    await turnstile.run('b', async () => order.push('b'));
    const third = turnstile.run('a', async () => order.push('a3'));
    await assert.rejects(
      turnstile.run('a', async () => order.push('a4')),
      { code: 'login_busy' },
    );
    open();
    await assert.rejects(first);
    await Promise.all([second, third]);
    assert.deepEqual(order, ['b', 'a1', 'a2', 'a3']);
    await turnstile.run('a', async () => order.push('a5'));
  });
});

describe('revocations', () => {
  it('keep what ended here while a poll was under way, and through the poll that began before', async () => {
    let answer: (ids: string[]) => void = () => {};
    let polls = 0;
    const revocations = createRevocations({
      load: () => {
        polls += 1;
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
      ask: () => Promise.reject(new Error('nobody should ask')),
      log: silentLogger(),
      metrics: createMetrics(),
      monotonic: () => 0,
    });
    revocations.loop.start();
    await until(() => polls === 1);
    revocations.add(['ses_1']);
    assert.equal(await revocations.isEnded('ses_1'), true);
    // This answer was read before ses_1 ended.
    answer([]);
    await until(async () => {
      assert.equal(await revocations.isEnded('ses_1'), true);
      return !(await revocations.isEnded('ses_2'));
    });
    revocations.loop.kick();
    await until(() => polls === 2);
    assert.equal(await revocations.isEnded('ses_1'), true);
    answer(['ses_1']);
    await revocations.loop.stop();
    assert.equal(await revocations.isEnded('ses_1'), true);
  });
});

describe('loop', () => {
  it('runs once more after a kick during a run, and goes on after a failure', async () => {
    let runs = 0;
    const first = gate();
    const loop = createLoop({
      name: 'test',
      everyMs: 60_000,
      log: silentLogger(),
      async runOnce() {
        runs += 1;
        if (runs === 1) {
          await first.opened;
          throw new Error('x');
        }
        return undefined;
      },
    });
    loop.start();
    await until(() => runs === 1);
    loop.kick();
    loop.kick();
    first.open();
    await until(() => runs === 2);
    await loop.stop();
    loop.kick();
    assert.equal(runs, 2);
  });
});
