import assert from 'node:assert/strict';
import { createOperationsGauges, TASK_NAMES, taskOf } from '#domain/operations/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { type TaskRig, taskRig } from './rig.ts';

describe('metrics of unattended work', () => {
  let rig: TaskRig;
  before(async () => {
    rig = await taskRig();
  });
  after(() => rig.database.close());

  const samples = async (metrics: ReturnType<typeof createMetrics>) =>
    (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('klar_operations_'));

  it('have no series for what never happened, and are read by the worker, which wrote none of it', async () => {
    const metrics = createMetrics();
    const read = createOperationsGauges(rig.database.db('klar_worker'), metrics);
    await read();
    const names = TASK_NAMES.filter((name) => taskOf(name).planned !== true);
    assert.deepEqual(
      await samples(metrics),
      names.map((task) => `klar_operations_task_running_seconds{task="${task}"} 0`),
    );

    await rig.run(async () => ({}), { task: 'cleanup' });
    await assert.rejects(rig.run(() => Promise.reject(new Error('no')), { task: 'backup' }));
    await rig.database.asSuperuser(
      `insert into ops.task_runs (id, task, status, by_hand, started_at, lease_until, runner)
       values ('run_wedged', 'restore-verify', 'running', true, now() - interval '2 hours', now() - interval '1 hour', 'gone')`,
    );
    await rig.database.asSuperuser(
      `insert into ops.backups (id, store, started_at, snapshot_at, committed_at, bytes, schema_version, encrypted)
       values ('a', 'x', now(), now(), '2026-01-01T00:00Z', 1000, 1, false), ('b', 'x', now(), now(), '2026-01-02T00:00Z', 5000000000, 1, false)`,
    );
    await rig.database.asSuperuser(
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok, rto_seconds, rpo_seconds)
       values ('prf_a', 'a', now(), '2026-01-03T00:00Z', true, 12.5, 3600), ('prf_b', 'b', now(), '2026-01-04T00:00Z', false, null, null)`,
    );
    await read();
    const shown = new Map((await samples(metrics)).map((line) => line.split(/ (?=[^ ]+$)/) as [string, string]));
    const number = (name: string) => Number(shown.get(`klar_operations_${name}`));
    assert.ok(Math.abs(number('task_last_success_timestamp_seconds{task="cleanup"}') - Date.now() / 1_000) < 60);
    assert.equal(shown.has('klar_operations_task_last_success_timestamp_seconds{task="backup"}'), false);
    assert.equal(number('task_last_end_status{task="cleanup",status="succeeded"}'), 1);
    assert.equal(number('task_last_end_status{task="cleanup",status="failed"}'), 0);
    assert.equal(number('task_last_end_status{task="backup",status="succeeded"}'), 0);
    assert.equal(number('task_last_end_status{task="backup",status="failed"}'), 1);
    // A wedged run shows though nobody holds it any more.
    assert.ok(number('task_running_seconds{task="restore-verify"}') >= 7_200);
    assert.equal(number('task_running_seconds{task="cleanup"}'), 0);
    assert.equal(number('backup_last_committed_timestamp_seconds'), Date.parse('2026-01-02T00:00Z') / 1_000);
    assert.equal(number('backup_bytes'), 5_000_000_000);
    assert.equal(number('restore_proof_timestamp_seconds'), Date.parse('2026-01-03T00:00Z') / 1_000);
    assert.equal(number('restore_proof_ok'), 0);
    assert.equal(number('restore_rto_seconds'), 12.5);
    assert.equal(number('restore_rpo_seconds'), 3_600);

    await rig.run(async () => ({}), { task: 'backup' });
    await read();
    assert.ok(
      (await samples(metrics)).includes('klar_operations_task_last_end_status{task="backup",status="failed"} 0'),
    );
  });
});
