import assert from 'node:assert/strict';
import { statement } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import { createRedactor } from '#platform/log/index.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { FAST, type TaskRig, taskRig, until } from './rig.ts';

const TICK = new Date('2026-05-01T02:30Z');
const code = (expected: string) => (error: unknown) => error instanceof KlarError && error.code === expected;
const asUser = statement('operations_test.insert_effect', 'insert into public.effects (run, pid) values ($1, 0)');

function held() {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { until, release: () => release() };
}

describe('a task run', function () {
  this.timeout(60_000);
  let rig: TaskRig;
  before(async () => {
    rig = await taskRig();
  });
  beforeEach(() => rig.reset());
  after(() => rig.database.close());

  it('has one effect a tick, however many processes begin it at once', async () => {
    const release = held();
    let effects = 0;
    const all = Array.from({ length: 50 }, () =>
      rig.run(
        async () => {
          effects += 1;
          await release.until;
          return { effects };
        },
        // One pool for all would make them wait for a connection instead of for each other.
        // Nothing here is about a lease that ends: fifty connections may keep this process busy for longer than the short one.
        { tick: TICK, db: rig.database.db('klar_ops', { poolSize: 1 }), timing: { leaseMs: 30_000 } },
      ),
    );
    await until(() => effects > 0, { timeoutMs: 30_000 });
    await until(
      async () => {
        const [row] = await rig.database.asSuperuser<{ connections: number }>(
          `select count(*)::int as connections from pg_stat_activity where usename = 'klar_ops_a' and datname = current_database()`,
        );
        return (row?.connections ?? 0) >= 50;
      },
      { timeoutMs: 30_000 },
    );
    release.release();
    const ends = await Promise.all(all);
    assert.equal(effects, 1);
    assert.equal(ends.filter((end) => end.outcome === 'ran').length, 1);
    assert.equal(new Set(ends.map((end) => end.run.id)).size, 1);
    const [row, ...others] = await rig.rows();
    assert.deepEqual(others, []);
    assert.deepEqual(
      [row?.status, row?.attempt, row?.detail, row?.by_hand, row?.error],
      ['succeeded', 1, { effects: 1 }, false, null],
    );
    const again = await rig.run(() => assert.fail('a second effect'), { tick: TICK });
    assert.equal(again.outcome, 'already');
    assert.equal(again.run.id, row?.id);
  });

  it('keeps its lease while it works longer than that', async () => {
    let second: Promise<unknown> = Promise.resolve();
    await rig.run(
      async () => {
        second = rig.run(() => assert.fail('taken over from the living'), { tick: TICK });
        const begun = Date.now();
        await until(() => Date.now() - begun > 2 * FAST.leaseMs);
        return undefined;
      },
      { tick: TICK },
    );
    assert.equal(((await second) as { outcome: string }).outcome, 'elsewhere');
  });

  it('is one of its own by hand, beside the tick', async () => {
    await rig.run(async () => ({}), { tick: TICK });
    await rig.run(async () => ({}));
    await rig.run(async () => ({}));
    assert.deepEqual(
      (await rig.rows()).map((row) => [row.scheduled_for?.toISOString(), row.by_hand]),
      [
        [TICK.toISOString(), false],
        [undefined, true],
        [undefined, true],
      ],
    );
  });

  it('that failed runs again for the same tick, in the same row; who waited for it fails without a run', async () => {
    const broken = fail.unavailable('store_away', 'The store does not answer.');
    const waiting = held();
    const first = rig.run(
      async () => {
        await waiting.until;
        throw broken;
      },
      { tick: TICK },
    );
    first.catch(() => {});
    await until(async () => (await rig.rows()).length === 1);
    const other = rig.run(() => assert.fail('a run by the one that waited'), { tick: TICK });
    other.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 2 * FAST.pollMs));
    waiting.release();
    await assert.rejects(first, broken);
    await assert.rejects(other, code('task_failed_elsewhere'));
    let [row] = await rig.rows();
    assert.deepEqual([row?.status, row?.attempt, row?.error], ['failed', 1, 'store_away: The store does not answer.']);
    const end = await rig.run(async () => ({ at: 'last' }), { tick: TICK });
    assert.equal(end.outcome, 'ran');
    [row] = await rig.rows();
    assert.deepEqual([row?.status, row?.attempt, row?.error, row?.detail.at], ['succeeded', 2, null, 'last']);
    assert.deepEqual(row?.detail.retry_of, {
      status: 'failed',
      error: 'store_away: The store does not answer.',
      runner: (row?.detail.retry_of as Record<string, unknown> | undefined)?.runner,
    });
  });

  it('whose lease ran out is taken over, and its old runner can write nothing any more', async () => {
    // A proxy that freezes: this process lives, but nobody hears of it.
    const port = Number(new URL(rig.database.superuserUrl).port);
    const proxy = await startTcpProxy(port);
    const url = rig.database.url('klar_ops').replace(`:${port}/`, `:${proxy.port}/`);
    const cut = rig.database.db('klar_ops', { url, answerTimeoutMs: 1_000, acquireTimeoutMs: 500 });
    const released = held();
    let fenced: Promise<void> | undefined;
    const old = rig.run(
      async (context) => {
        proxy.frozen = true;
        await released.until;
        fenced = context.fenced();
        fenced.catch(() => {});
        await until(() => context.signal.aborted, { timeoutMs: 20_000 });
        return { by: 'old' };
      },
      { tick: TICK, db: cut },
    );
    old.catch(() => {});
    await until(async () => (await rig.rows()).length === 1);
    const end = await rig.run(async () => ({ by: 'new' }), { tick: TICK });
    assert.equal(end.outcome, 'ran');
    proxy.frozen = false;
    released.release();
    // Its work came to an end, but the row is not its own.
    await assert.rejects(old, code('task_run_lost'));
    await assert.rejects(async () => fenced);
    const [row] = await rig.rows();
    assert.deepEqual([row?.status, row?.attempt, row?.detail.by], ['succeeded', 2, 'new']);
    await proxy.close();
  });

  it('cannot be taken over while a transaction of its effect is open', async () => {
    const inTransaction = held();
    const commit = held();
    const order: string[] = [];
    const work = rig.database.db('klar_cleanup');
    await rig.database.asSuperuser('grant usage on schema public to klar_cleanup');
    await rig.database.asSuperuser('grant insert on public.effects to klar_cleanup');
    const old = rig.run(
      async (context) => {
        await work.withTx(async (tx) => {
          await context.fenced(tx);
          await tx.run(asUser, [context.runId]);
          inTransaction.release();
          await commit.until;
          order.push('committed');
        });
        return {};
      },
      // It never renews: the lease ends while the transaction is open.
      { tick: TICK, timing: { renewMs: 60_000, leaseMs: 400 } },
    );
    old.catch(() => {});
    await inTransaction.until;
    await until(async () => {
      const [row] = await rig.database.asSuperuser('select lease_until < clock_timestamp() as over from ops.task_runs');
      return row?.over;
    });
    const next = rig.run(
      async () => {
        order.push('taken over');
        return {};
      },
      { tick: TICK },
    );
    await until(async () => {
      const [row] = await rig.database.asSuperuser<{ waiting: number }>(
        `select count(*)::int as waiting from pg_stat_activity where wait_event_type = 'Lock' and query like '%lock_tick%'`,
      );
      return row?.waiting === 1;
    });
    commit.release();
    // Whether the old one then still writes its end or has lost the row is chance; nobody came between.
    await Promise.allSettled([next, old]);
    assert.equal(order[0], 'committed');
    assert.equal((await rig.rows())[0]?.status, 'succeeded');
  });

  it('ends by the next one when its process died and nobody came for its tick', async () => {
    await rig.database.asSuperuser(
      `insert into ops.task_runs (id, task, scheduled_for, status, by_hand, runner, lease_until)
       values ('run_dead', 'cleanup', $1, 'running', false, 'gone', now() - interval '1 hour'),
              ('run_live', 'cleanup', null, 'running', true, 'here', now() + interval '1 hour')`,
      [TICK],
    );
    await rig.run(async () => ({}), { tick: new Date('2026-05-02T02:30Z') });
    const rows = new Map((await rig.rows()).map((row) => [row.id, row]));
    assert.equal(rows.get('run_dead')?.status, 'failed');
    assert.match(rows.get('run_dead')?.error ?? '', /the process that ran it is gone/);
    assert.equal(rows.get('run_live')?.status, 'running');
  });

  it('stops at its deadline, and at a signal; the row says why', async () => {
    const hang = ({ signal }: { signal: AbortSignal }) =>
      new Promise<undefined>((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    await assert.rejects(rig.run(hang, { tick: TICK, timing: { deadlineMs: 200 } }), code('task_deadline'));
    const stop = new AbortController();
    const stopped = rig.run(hang, { signal: stop.signal });
    stopped.catch(() => {});
    await until(async () => (await rig.rows()).length === 2);
    stop.abort(new Error('SIGTERM'));
    await assert.rejects(stopped, /SIGTERM/);
    // Work that does not hear the signal: the end is written without it.
    const deaf = rig.run(() => new Promise(() => {}), { timing: { deadlineMs: 200 } });
    await assert.rejects(deaf, code('task_deadline'));
    assert.deepEqual(
      (await rig.rows()).map((row) => [row.status, row.error]),
      [
        ['failed', 'task_deadline: It took longer than the 0.2 s that this task may take.'],
        ['failed', 'ended by SIGTERM'],
        ['failed', 'task_deadline: It took longer than the 0.2 s that this task may take.'],
      ],
    );
  });

  it('stores an error without secrets and without what the database quoted', async () => {
    const redact = createRedactor(() => ['correct-horse-battery']);
    const runs = [
      async () =>
        Promise.reject(
          new Error('pg_dump: password=hunter22 for correct-horse-battery at postgres://klar:topsecret@db/klar'),
        ),
      async () => {
        await rig.database
          .db('klar_ops')
          .withTx((tx) => tx.run(statement('operations_test.bad', 'select $1::int'), ['personal data']));
        return {};
      },
    ];
    for (const work of runs) await assert.rejects(rig.run(work, { redact }));
    const errors = (await rig.rows()).map((row) => row.error ?? '');
    assert.match(errors[0] ?? '', /^pg_dump: /);
    assert.doesNotMatch(errors.join(' '), /hunter22|correct-horse|topsecret|personal data/);
    assert.equal(errors[1], 'database error 22P02 in operations_test.bad');
  });

  it('does not lose its end when the database is away for a while, and is told of a detail that does not fit', async () => {
    const port = Number(new URL(rig.database.superuserUrl).port);
    const proxy = await startTcpProxy(port);
    const url = rig.database.url('klar_ops').replace(`:${port}/`, `:${proxy.port}/`);
    const db = rig.database.db('klar_ops', { url, answerTimeoutMs: 500, acquireTimeoutMs: 300 });
    let thawed = false;
    const end = await rig.run(
      async () => {
        proxy.onClientData = () => thawed; // swallows and cuts
        setTimeout(() => {
          thawed = true;
        }, 3 * FAST.renewMs);
        return { big: 'x'.repeat(70_000) };
      },
      { tick: TICK, db },
    );
    assert.equal(thawed, true);
    assert.equal(end.run.status, 'succeeded');
    assert.deepEqual((await rig.rows())[0]?.detail, { left_out: 'the detail was too large' });
    await proxy.close();
  });

  it('does not lose its end to who waits for it, when the database was away longer than the lease', async () => {
    const port = Number(new URL(rig.database.superuserUrl).port);
    const [holder, waiter] = [await startTcpProxy(port), await startTcpProxy(port)];
    const behind = (proxy: typeof holder) =>
      rig.database.db('klar_ops', {
        url: rig.database.url('klar_ops').replace(`:${port}/`, `:${proxy.port}/`),
        answerTimeoutMs: 500,
        acquireTimeoutMs: 300,
      });
    let second: Promise<{ outcome: string }> | undefined;
    let effects = 0;
    const work = async () => {
      effects += 1;
      second ??= rig.run(work, { tick: TICK, db: behind(waiter) });
      await new Promise((resolve) => setTimeout(resolve, 5 * FAST.pollMs));
      let [here, there] = [false, false];
      holder.onClientData = () => here;
      waiter.onClientData = () => there;
      setTimeout(() => {
        there = true;
      }, 1.3 * FAST.leaseMs);
      setTimeout(() => {
        here = true;
      }, 1.5 * FAST.leaseMs);
      return {};
    };
    assert.equal((await rig.run(work, { tick: TICK, db: behind(holder) })).outcome, 'ran');
    assert.equal((await second)?.outcome, 'elsewhere');
    assert.equal(effects, 1);
    await Promise.all([holder.close(), waiter.close()]);
  });

  it('succeeds though its detail is nothing that a database takes', async () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    for (const detail of [{ text: 'a\0b \ud800 \\u0000' }, { big: 1n }, loop]) {
      assert.equal((await rig.run(async () => detail)).run.status, 'succeeded');
    }
    assert.deepEqual((await rig.rows())[0]?.detail, { text: 'ab \ufffd \\u0000' });
    await assert.rejects(
      rig.run(() => Promise.reject(new Error('a\0b \ud800'))),
      /a/,
    );
    assert.equal((await rig.rows()).at(-1)?.error, 'ab \ufffd');
  });

  it('is told of once an attempt when it fails, and an alert that fails changes nothing', async () => {
    const told: string[] = [];
    const onFailure = async (run: { id: string; error: string | null }) => {
      told.push(run.error ?? '');
      throw new Error('nobody listens');
    };
    await assert.rejects(
      rig.run(() => Promise.reject(new Error('first')), { tick: TICK, onFailure }),
      /first/,
    );
    await rig.run(async () => ({}), { tick: TICK, onFailure });
    assert.deepEqual(told, ['first']);
  });

  it('refuses a tick that has not come: its row would keep the run of the schedule out', async () => {
    await assert.rejects(
      rig.run(async () => ({}), { tick: new Date(Date.now() + 3_600_000) }),
      code('tick_in_future'),
    );
    assert.deepEqual(await rig.rows(), []);
  });
});
