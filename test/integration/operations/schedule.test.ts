import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { readSchedule, TASK_NAMES, type TaskName, taskOf } from '#domain/operations/index.ts';
import { fakeClock } from '#platform/clock/index.ts';
import { loadSettings } from '#platform/config/index.ts';
import { createLogger, silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { startLocalSchedule } from '../../../services/all-in-one/schedule.ts';
import { COMMANDS } from '../../../services/cli/commands.ts';
import { scheduledTasks, startSchedule } from '../../../services/worker/schedule.ts';
import { until } from '../../support/until.ts';
import { type TaskRig, taskRig } from './rig.ts';

describe('the table of tasks', () => {
  it('plans what has no command yet, and nothing else', () => {
    const commands = new Set(COMMANDS.map(({ name }) => name));
    for (const name of TASK_NAMES) {
      const task = taskOf(name);
      assert.equal(commands.has(task.command), task.planned !== true, `${name}: command "${task.command}"`);
    }
  });

  it('has schedules that can be read, and names that can be part of an object’s', async () => {
    for (const name of TASK_NAMES) {
      const task = taskOf(name);
      assert.ok(await readSchedule(task.schedule));
      assert.match(name, /^[a-z][a-z-]+$/);
    }
  });

  it('schedules backups only where there is a place for them', () => {
    assert.deepEqual(
      scheduledTasks(() => false),
      ['cleanup'],
    );
    assert.deepEqual(
      scheduledTasks((name) => name === 'BACKUP_URL'),
      ['backup', 'backup-prune', 'cleanup'],
    );
    assert.deepEqual(
      scheduledTasks(() => true),
      ['backup', 'restore-verify', 'backup-prune', 'cleanup'],
    );
  });
});

describe('the schedule of the all-in-one', function () {
  this.timeout(30_000);
  let rig: TaskRig;
  before(async () => {
    rig = await taskRig();
  });
  beforeEach(() => rig.reset());
  after(() => rig.database.close());

  it('runs each task at its newest tick, once, also when that failed, and what it slept through', async () => {
    const clock = fakeClock('2026-05-02T09:00:00Z');
    const ran: string[] = [];
    const loop = await startSchedule({
      tasks: ['cleanup', 'backup'],
      run: async (task: TaskName, env) => {
        ran.push(`${task} ${env.KLAR_JOB_NAME}`);
        return 1;
      },
      clock,
      log: silentLogger(),
      metrics: createMetrics(),
      everyMs: 10,
      firstAfterMs: 0,
    });
    const minutes = (iso: string) => Date.parse(iso) / 60_000;
    await until(() => ran.length === 2);
    clock.set('2026-05-03T02:29:59Z');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(ran.length, 2);
    clock.set('2026-05-03T02:30:00Z');
    await until(() => ran.length === 3);
    await loop.stop();
    assert.deepEqual(ran, [
      `cleanup local-cleanup-${minutes('2026-05-02T03:15Z')}`,
      `backup local-backup-${minutes('2026-05-02T02:30Z')}`,
      `backup local-backup-${minutes('2026-05-03T02:30Z')}`,
    ]);
  });

  it('runs the command itself, whose row a restart finds', async () => {
    const env = {
      KLAR_PROFILE: 'test',
      KLAR_DATA_DIR: '/nonexistent',
      KLAR_SECRETS_DIR: '/nonexistent',
      LOG_LEVEL: 'info',
      DATABASE_URL_OPS: rig.database.url('klar_ops'),
      DATABASE_URL_CLEANUP: rig.database.url('klar_cleanup'),
    };
    for (let start = 0; start < 2; start += 1) {
      let logged = '';
      const stream = new Writable({
        write: (chunk, _encoding, done) => {
          logged += chunk;
          done();
        },
      });
      const loop = await startLocalSchedule({
        settings: loadSettings('cli', env),
        env,
        log: createLogger({ process: 'schedule', stream }),
        metrics: createMetrics(),
        stream,
        firstAfterMs: 0,
      });
      await until(() => logged.includes('scheduled task ended'), { timeoutMs: 15_000 });
      await loop.stop();
      assert.match(logged, /"exit_code":0/);
      assert.equal(logged.includes('task succeeded'), start === 0);
    }
    const [row, ...others] = await rig.rows();
    assert.deepEqual(others, []);
    assert.deepEqual([row?.task, row?.by_hand, row?.attempt], ['cleanup', false, 1]);
    assert.equal(row?.scheduled_for?.toISOString().slice(10), 'T03:15:00.000Z');
    assert.equal(row?.detail.complete, true);
  });
});
