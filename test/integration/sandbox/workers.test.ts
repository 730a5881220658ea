import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { createWorkers } from '../../../services/sandbox/webhooks/workers.ts';

describe('sandbox: workers', () => {
  it('run ordered tasks one after another, but not behind a silent one for ever', async () => {
    const workers = createWorkers(2);
    const done: string[] = [];
    const task = (name: string, ms: number) => async () => {
      await pause(ms);
      done.push(name);
    };
    workers.runInOrder(task('slow', 40));
    workers.runInOrder(task('quick', 1));
    workers.runInOrder(task('silent', 900));
    workers.runInOrder(task('behind', 1));
    await workers.idle();
    assert.deepEqual(done, ['slow', 'quick', 'behind', 'silent']);
  });

  it('start nothing after a stop, and a stop waits for what runs', async () => {
    const workers = createWorkers(1);
    const done: string[] = [];
    workers.run(async () => {
      await pause(30);
      done.push('ran');
    });
    workers.run(async () => void done.push('queued'));
    workers.later(1, () => done.push('later'));
    await workers.stop();
    workers.run(async () => void done.push('after'));
    workers.runInOrder(async () => void done.push('after'));
    workers.later(0, () => done.push('after'));
    await pause(20);
    assert.deepEqual(done, ['ran']);
  });
});
