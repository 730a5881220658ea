import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FAST, type TaskRig, taskRig, until } from './rig.ts';

const MINUTE_MS = 60_000;
/** A tick of some minutes ago and the name of the Job that the CronJob controller would make for it. */
const tick = new Date(Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 5 * MINUTE_MS);
const JOB = `klar-cleanup-${tick.getTime() / MINUTE_MS}`;

describe('a task as a process of a CronJob', function () {
  this.timeout(120_000);
  let rig: TaskRig;
  before(async () => {
    rig = await taskRig();
  });
  beforeEach(() => rig.reset());
  after(() => rig.database.close());

  it('has one effect for five pods of one tick; each leaves with 0', async () => {
    const pods = Array.from({ length: 5 }, () => rig.start([], { KLAR_JOB_NAME: JOB }));
    for (const pod of pods) assert.equal(await pod.exited, 0, pod.output());
    assert.equal((await rig.effects()).length, 1);
    const [row, ...others] = await rig.rows();
    assert.equal(others.length, 0);
    assert.deepEqual([row?.scheduled_for, row?.status, row?.by_hand], [tick, 'succeeded', false]);
  });

  it('takes the same tick by hand with --for, and is a run of its own without', async () => {
    const pod = rig.start([], { KLAR_JOB_NAME: JOB });
    assert.equal(await pod.exited, 0, pod.output());
    const same = rig.start(['--for', tick.toISOString()]);
    assert.equal(await same.exited, 0, same.output());
    assert.match(same.output(), /"outcome": "already"/);
    // `kubectl create job --from=cronjob/klar-cleanup again` gives the pod this name.
    const own = rig.start([], { KLAR_JOB_NAME: 'again' });
    assert.equal(await own.exited, 0, own.output());
    assert.equal((await rig.effects()).length, 2);
    assert.deepEqual(
      (await rig.rows()).map((row) => [row.scheduled_for, row.by_hand]),
      [
        [tick, false],
        [null, true],
      ],
    );
  });

  it('that is killed is taken over by the next pod once its lease has ended, in the same row', async () => {
    const killed = rig.start([], { KLAR_JOB_NAME: JOB, PROBE: 'hold' });
    await until(async () => (await rig.effects()).length === 1, { timeoutMs: 20_000 });
    assert.equal(await killed.kill(), 'SIGKILL');
    const begun = performance.now();
    const next = rig.start([], { KLAR_JOB_NAME: JOB });
    assert.equal(await next.exited, 0, next.output());
    assert.ok(performance.now() - begun < 20 * FAST.leaseMs);
    const [row, ...others] = await rig.rows();
    assert.equal(others.length, 0);
    assert.deepEqual([row?.status, row?.attempt], ['succeeded', 2]);
    assert.match(JSON.stringify(row?.detail.retry_of), /"lease ended"/);
  });

  it('told to stop says so in its row, within the time that Kubernetes gives, and leaves with 1', async () => {
    for (const probe of ['hold', 'deaf']) {
      await rig.reset();
      const pod = rig.start([], { KLAR_JOB_NAME: JOB, PROBE: probe });
      await until(async () => (await rig.effects()).length === 1, { timeoutMs: 20_000 });
      pod.child.kill('SIGTERM');
      await until(async () => (await rig.rows())[0]?.status === 'failed', { timeoutMs: 10_000 });
      assert.equal((await rig.rows())[0]?.error, 'ended by SIGTERM');
      assert.equal(await (probe === 'deaf' ? pod.kill() : pod.exited), probe === 'deaf' ? 'SIGKILL' : 1, pod.output());
    }
  });

  it('that fails leaves with 1, its reason without secrets, and one message to the alert webhook', async () => {
    const told: { path: string; body: Record<string, unknown> }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        told.push({ path: request.url ?? '', body: JSON.parse(body) });
        response.writeHead(500).end();
      });
    }).listen(0, '127.0.0.1');
    await until(() => server.listening);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/k3y`;
    const token = 'a-token-of-this-test-1234567890';
    const pod = rig.start([], {
      KLAR_JOB_NAME: JOB,
      PROBE: 'fail',
      MONITOR_ALERT_WEBHOOK_URL: url,
      ADMIN_TOKEN: token,
    });
    assert.equal(await pod.exited, 1, pod.output());
    assert.match(pod.output(), /probe_failed/);
    const [row] = await rig.rows();
    assert.equal(row?.status, 'failed');
    assert.match(row?.error ?? '', /^probe_failed: Nothing at /);
    assert.equal(told.length, 1);
    assert.equal(told[0]?.path, '/hook/k3y');
    assert.deepEqual(
      [told[0]?.body.task, told[0]?.body.run_id, told[0]?.body.scheduled_for, told[0]?.body.attempt],
      ['cleanup', row?.id, tick.toISOString(), 1],
    );
    assert.doesNotMatch(JSON.stringify([row, told]), /hunter22/);
    server.close();
  });

  it('that fails is not held up by an alert webhook that hangs or is not there', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await until(() => server.listening);
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const pods = [url, 'http://127.0.0.1:9/'].map((MONITOR_ALERT_WEBHOOK_URL) =>
      rig.start([], { PROBE: 'fail', MONITOR_ALERT_WEBHOOK_URL }),
    );
    for (const pod of pods) assert.equal(await pod.exited, 1, pod.output());
    assert.deepEqual(
      (await rig.rows()).map((row) => row.status),
      ['failed', 'failed'],
    );
    server.closeAllConnections();
    server.close();
  });

  it('records the ticks that were missed before it, of a schedule and its zone', async () => {
    const at = (minutes: number) => new Date(tick.getTime() - minutes * MINUTE_MS);
    await rig.database.asSuperuser(
      `insert into ops.task_runs (id, task, scheduled_for, status, by_hand, started_at, finished_at, schedule)
       values ('run_first', 'cleanup', $1, 'succeeded', false, $1, $1, '* * * * * Europe/Stockholm'),
              ('run_third', 'cleanup', $2, 'failed', true, $2, $2, null)`,
      [at(4), at(2)],
    );
    const pod = rig.start([], {
      KLAR_JOB_NAME: JOB,
      KLAR_TASK_SCHEDULE: '* * * * *',
      KLAR_TASK_TIME_ZONE: 'Europe/Stockholm',
    });
    assert.equal(await pod.exited, 0, pod.output());
    const rows = (await rig.rows()).sort((a, b) => Number(a.scheduled_for) - Number(b.scheduled_for));
    assert.deepEqual(
      rows.map((row) => [row.scheduled_for, row.status, row.attempt]),
      [
        [at(4), 'succeeded', 1],
        [at(3), 'missed', 0],
        [at(2), 'failed', 1],
        [at(1), 'missed', 0],
        [tick, 'succeeded', 1],
      ],
    );
    assert.equal((await rig.effects()).length, 1);
    // A missed tick may still be done by hand.
    const late = rig.start(['--for', at(3).toISOString()]);
    assert.equal(await late.exited, 0, late.output());
    assert.equal((await rig.rows()).find((row) => Number(row.scheduled_for) === Number(at(3)))?.status, 'succeeded');
  });

  it('runs though its schedule cannot be read', async () => {
    const pod = rig.start([], { KLAR_JOB_NAME: JOB, KLAR_TASK_SCHEDULE: '@every 5m' });
    assert.equal(await pod.exited, 0, pod.output());
    assert.match(pod.output(), /missed ticks are not known/);
  });

  it('waits for a database that is not there yet, and says so when told to stop meanwhile', async () => {
    const pod = rig.start([], { KLAR_JOB_NAME: JOB, DATABASE_URL_OPS: 'postgres://klar_ops_a:x@127.0.0.1:9/klar' });
    await until(() => pod.output().includes('trying again'), { timeoutMs: 20_000 });
    assert.equal(await pod.stop(), 1);
    assert.match(pod.output(), /SIGTERM/);
  });
});
