import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { readStatusNumbers } from '#domain/operations/index.ts';
import { runCli } from '../../../services/cli/main.ts';
import { createFactory } from '../../support/factory.ts';
import { type TaskRig, taskRig } from './rig.ts';

describe('klar tasks and klar cleanup, as commands', function () {
  this.timeout(60_000);
  let rig: TaskRig;
  let school: string;
  before(async () => {
    rig = await taskRig();
    school = (await createFactory(rig.database).school()).id;
  });
  beforeEach(() => rig.reset());
  after(() => rig.database.close());

  async function klar(...argv: string[]) {
    const text = { out: '', err: '' };
    const into = (key: 'out' | 'err') =>
      new Writable({
        write: (chunk, _encoding, done) => {
          text[key] += chunk;
          done();
        },
      });
    const code = await runCli({
      argv,
      env: {
        KLAR_PROFILE: 'test',
        KLAR_SECRETS_DIR: '/nonexistent',
        DATABASE_URL_OPS: rig.database.url('klar_ops'),
        DATABASE_URL_CLEANUP: rig.database.url('klar_cleanup'),
      },
      stdout: into('out'),
      stderr: into('err'),
    });
    return { code, ...text };
  }

  const expire = (count: number) =>
    rig.database.asSuperuser(
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, response_status, expires_at)
       select $1, 'person:usr_1', 'test', 'k' || n, '\\x00', 'done', 'x', 201, now() - interval '1 hour' from generate_series(1, $2::int) n`,
      [school, count],
    );

  it('say what would go and leave no run, then take it and keep the counts in the run', async () => {
    await expire(7);
    const dry = await klar('cleanup', '--dry-run');
    assert.equal(dry.code, 0, dry.err);
    assert.match(dry.out, / 7 {2}app\.idempotency_keys +72 h after the request/);
    assert.match(dry.out, /7 rows would go/);
    assert.deepEqual(await rig.rows(), []);
    const real = await klar('cleanup', '--json', '--table', 'app.idempotency_keys', '--for', '2026-05-01T03:15Z');
    assert.equal(real.code, 0, real.err);
    const answer = JSON.parse(real.out);
    assert.deepEqual([answer.status, answer.outcome, answer.detail.complete], ['succeeded', 'ran', true]);
    assert.deepEqual(
      answer.detail.tables.map((row: { table: string; rows: number }) => [row.table, row.rows]),
      [['app.idempotency_keys', 7]],
    );
    const [row] = await rig.rows();
    assert.deepEqual(row?.detail.tables, answer.detail.tables);
    const again = await klar('cleanup', '--for', '2026-05-01T03:15Z');
    assert.equal(again.code, 0);
    assert.match(again.out, /was already done: run_/);
  });

  it('refuse what cannot be meant', async () => {
    for (const argv of [
      ['cleanup', '--max-seconds', '0'],
      ['cleanup', '--table', 'app.orders'],
      ['cleanup', '--for', 'yesterday'],
      ['cleanup', '--for', '2999-01-01T00:00Z'],
      ['tasks', 'list', '--task', 'nonsense'],
      ['tasks', 'list', '--since', 'soon'],
      ['tasks', 'list', '--limit', '0'],
      ['tasks', 'list', '--before', 'run_unknown'],
      ['tasks', 'show', 'run_unknown'],
      ['tasks', 'show', '__proto__'],
    ]) {
      const { code, out, err } = await klar(...argv);
      assert.ok(code === 1 || code === 64, `${argv.join(' ')}: ${code} ${out}`);
      assert.ok(err.length > 20, argv.join(' '));
      assert.doesNotMatch(err, /\n +at /, argv.join(' '));
    }
    assert.deepEqual(await rig.rows(), [], 'a typing error is no failed task');
  });

  it('list runs by task, status and time, a page at a time, and show one', async () => {
    for (let n = 0; n < 5; n += 1) await rig.run(async () => ({ n }), { task: n % 2 === 0 ? 'cleanup' : 'backup' });
    await assert.rejects(rig.run(() => Promise.reject(new Error('the disk is full')), { task: 'backup' }));
    const seen: string[] = [];
    let before: string[] = [];
    for (let page = 0; page < 4; page += 1) {
      const { out } = await klar('tasks', 'list', '--json', '--limit', '2', ...before);
      const answer = JSON.parse(out);
      seen.push(...answer.data.map(({ id }: { id: string }) => id));
      if (answer.next_before === null) break;
      before = ['--before', answer.next_before];
    }
    assert.deepEqual(seen, (await rig.rows()).map(({ id }) => id).reverse());
    const count = async (...argv: string[]) =>
      JSON.parse((await klar('tasks', 'list', '--json', ...argv)).out).data.length;
    assert.equal(await count('--task', 'cleanup'), 3);
    assert.equal(await count('--task', 'cleanup', '--task', 'backup'), 6);
    assert.equal(await count('--status', 'failed'), 1);
    assert.equal(await count('--since', '1h'), 6);
    assert.equal(await count('--until', '1h'), 0);
    const failed = await klar('tasks', 'list', '--status', 'failed');
    assert.match(failed.out, /failed +backup +by hand .*the disk is full/);
    const shown = await klar('tasks', 'show', seen[1] ?? '');
    assert.match(shown.out, /"n": 4/);
    const task = await klar('tasks', 'show', 'backup');
    assert.match(task.out, /missed +skip[\s\S]*the disk is full/);
  });

  it('are counted for the monitor outside', async () => {
    const api = rig.database.db('klar_api');
    const numbers = () => api.withTx(readStatusNumbers);
    assert.deepEqual([(await numbers()).task_failures_24h, (await numbers()).oldest_task_success_age_s], [0, null]);
    const tick = new Date(Math.floor(Date.now() / 60_000) * 60_000);
    await rig.run(async () => ({}), { tick });
    await assert.rejects(rig.run(() => Promise.reject(new Error('no')), { task: 'backup', tick }));
    await rig.database.asSuperuser(
      `update ops.task_runs set started_at = now() - interval '2 hours' where task = 'backup'`,
    );
    const { task_failures_24h, oldest_task_success_age_s } = await numbers();
    assert.equal(task_failures_24h, 1);
    // The backup never succeeded: it counts from its first run.
    assert.ok(Math.abs((oldest_task_success_age_s ?? 0) - 7_200) < 60, String(oldest_task_success_age_s));
  });
});
