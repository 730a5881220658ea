import assert from 'node:assert/strict';
import { type Db, isUniqueViolation, statement } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

const tenantOf = statement<{ tenant: string }>('test.tenant', 'select app.current_tenant() as tenant');
const add = statement('test.add', 'insert into public.counters (id, n) values ($1, $2)');
const addAll = statement(
  'test.add_many',
  `insert into public.counters (id, n) select 'm' || g, g from generate_series(1, 3) g`,
);
const read = statement<{ n: number }>('test.read', 'select n from public.counters where id = $1');
const bump = statement('test.bump', 'update public.counters set n = n + 1 where id = $1');
const big = statement<{ n: number }>('test.big', 'select $1::bigint as n');
const kinds = statement<Record<string, unknown>>(
  'test.kinds',
  `select 9007199254740991::bigint as big, '{1,null}'::bigint[] as bigs, 1.50::numeric as exact, date '2026-01-02' as day,
     timestamptz '2026-01-02T03:04:05Z' as at, '{"a":1}'::jsonb as doc`,
);
const sleep = statement('test.sleep', 'select pg_sleep($1)');
const pid = statement<{ pid: number }>('test.pid', 'select pg_backend_pid() as pid');

describe('transactions', () => {
  let database: TestDatabase;
  let db: Db;
  before(async () => {
    database = await createTestDatabase();
    await database.asSuperuser('create table public.counters (id text primary key, n integer not null check (n >= 0))');
    await database.asSuperuser('grant usage on schema public to klar_api');
    await database.asSuperuser('grant select, insert, update on public.counters to klar_api');
    db = database.db('klar_api');
  });
  after(() => database.close());
  beforeEach(() => database.asSuperuser('delete from public.counters'));

  const value = (id: string) => db.withTx(async (tx) => (await tx.maybe(read, [id]))?.n);

  it('sees its tenant, and raises without one also on a connection that served one', async () => {
    const single = database.db('klar_api', { poolSize: 1 });
    await assert.rejects(
      single.withTx((tx) => tx.one(tenantOf)),
      { code: 'KL001' },
    );
    for (let i = 0; i < 3; i += 1) {
      assert.equal(await single.withTenantTx('ten_1', async (tx) => (await tx.one(tenantOf)).tenant), 'ten_1');
      await assert.rejects(
        single.withTx((tx) => tx.one(tenantOf)),
        { code: 'KL001' },
      );
    }
  });

  it('refuses what is not a tenant id', async () => {
    for (const id of ['', 'ten_', "ten_1'", 'ten 1', undefined as never]) {
      await assert.rejects(
        db.withTenantTx(id, async () => 1),
        TypeError,
      );
    }
  });

  it('commits what fn did, and nothing when fn throws', async () => {
    assert.equal(await db.withTx((tx) => tx.run(add, ['a', 1])), 1);
    const reason = new Error('no');
    await assert.rejects(
      db.withTx(async (tx) => {
        await tx.run(bump, ['a']);
        throw reason;
      }),
      reason,
    );
    assert.equal(await value('a'), 1);
  });

  it('reads numbers, dates and documents in their agreed form', async () => {
    const row = await db.withTx((tx) => tx.one(kinds));
    assert.deepEqual(row, {
      big: Number.MAX_SAFE_INTEGER,
      bigs: [1, null],
      exact: '1.50',
      day: '2026-01-02',
      at: new Date('2026-01-02T03:04:05Z'),
      doc: { a: 1 },
    });
    await assert.rejects(
      db.withTx((tx) => tx.one(big, ['9007199254740992'])),
      RangeError,
    );
  });

  it('distinguishes one, maybe and too many', async () => {
    await db.withTx((tx) => tx.run(addAll));
    const all = statement<{ n: number }>('test.all', 'select n from public.counters');
    assert.equal(await db.withTx((tx) => tx.maybe(read, ['none'])), undefined);
    await assert.rejects(
      db.withTx((tx) => tx.one(read, ['none'])),
      /test\.read returned 0 rows/,
    );
    await assert.rejects(
      db.withTx((tx) => tx.one(all)),
      /returned 3 rows/,
    );
    await assert.rejects(
      db.withTx((tx) => tx.maybe(all)),
      /returned 3 rows/,
    );
  });

  it('reports the first error when several statements are under way, whichever was awaited', async () => {
    for (const order of [0, 1, 2]) {
      const failed = db.withTx(async (tx) => {
        const all = [tx.run(add, ['x', 1]), tx.run(add, ['y', -1]), tx.run(add, ['z', 1])];
        await all[order];
        await Promise.all(all);
      });
      await assert.rejects(failed, { code: '23514' });
    }
    assert.equal(await value('x'), undefined);
  });

  it('says in an error which statement it was, and where it was called', async () => {
    async function callerOfTheStatement() {
      await db.withTx(async (tx) => {
        await tx.run(add, ['x', -1]);
      });
    }
    await assert.rejects(callerOfTheStatement(), (error: Error & { statement: string }) => {
      assert.match(error.message, /violates check constraint .* \[test\.add\]$/);
      assert.equal(error.statement, 'test.add');
      assert.equal((error as { detail?: string }).detail, undefined, 'the row belongs to a person, not to the log');
      assert.match(error.stack ?? '', /\[test\.add\]\n.*transaction\.test\.ts/s);
      return true;
    });
  });

  it('fails when a statement that nobody awaited failed', async () => {
    await assert.rejects(
      db.withTx(async (tx) => {
        void tx.run(add, ['x', -1]);
        return 'fine';
      }),
      { code: '23514' },
    );
  });

  it('fails when a statement could not even be sent, though nobody awaited it', async () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    await assert.rejects(
      db.withTx(async (tx) => {
        await tx.run(add, ['sent', 1]);
        void tx.run(add, [circular, 1]);
      }),
      TypeError,
    );
    assert.equal(await value('sent'), undefined);
    await assert.rejects(db.execute(add, ['sent', new Date(Number.NaN)]), TypeError);
    // The statement still works on every connection of the pool.
    await Promise.all([1, 2, 3, 4].map((n) => db.withTx((tx) => tx.run(add, [`n${n}`, n]))));
  });

  it('runs again on another connection when a plan no longer fits, or a pooler lost it', async () => {
    const single = database.db('klar_api', { poolSize: 1 });
    await database.asSuperuser('create table public.shape (v integer)');
    await database.asSuperuser('grant select on public.shape to klar_api');
    const shape = statement<{ v: unknown }>('test.shape', 'select v from public.shape');
    const forget = statement('test.forget', 'deallocate all');
    await single.withTx((tx) => tx.rows(shape));
    await database.asSuperuser('alter table public.shape alter column v type text');
    assert.deepEqual(await single.withTx((tx) => tx.rows(shape)), []);
    await single.withTx((tx) => tx.run(forget));
    assert.deepEqual(await single.withTx((tx) => tx.rows(shape)), []);
    await single.withTx((tx) => tx.run(forget));
    assert.equal(await single.execute(shape), 0);
  });

  it('leaves no rejection unhandled when only the first of several statements is awaited', async () => {
    const unhandled: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (reason) => unhandled.push(reason));
    try {
      await assert.rejects(
        db.withTx(async (tx) => {
          const all = [tx.run(add, ['x', -1]), tx.run(add, ['y', 1]), tx.rows(read, ['z']), tx.one(read, ['z'])];
          await all[0];
        }),
        { code: '23514' },
      );
      // Node reports them when the microtasks have run.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
    assert.deepEqual(unhandled, []);
  });

  it('fails when fn swallows an error: the transaction is over for the server', async () => {
    await assert.rejects(
      db.withTx(async (tx) => {
        await tx.run(add, ['a', 1]);
        await tx.run(add, ['b', -1]).catch(() => {});
      }),
      { code: '23514' },
    );
    assert.equal(await value('a'), undefined);
  });

  it('lets fn make its own error of a violation', async () => {
    await db.withTx((tx) => tx.run(add, ['a', 1]));
    await assert.rejects(
      db.withTx(async (tx) => {
        try {
          await tx.run(add, ['a', 1]);
        } catch (error) {
          assert.equal(isUniqueViolation(error, 'counters_pkey'), true);
          assert.equal(isUniqueViolation(error, 'other'), false);
          throw new KlarError('conflict', 'taken', 'Taken.');
        }
      }),
      { code: 'taken' },
    );
  });

  it('cannot be used after its end', async () => {
    const leaked = await db.withTx(async (tx) => tx);
    await assert.rejects(leaked.run(add, ['late', 1]), /used after its end/);
    const escaped = await db.withTx(async (tx) => ({ later: () => tx.rows(read, ['a']) }));
    await assert.rejects(escaped.later(), /used after its end/);
  });

  it('runs hooks after the commit only', async () => {
    const events: string[] = [];
    await db.withTx(async (tx) => {
      tx.afterCommit(() => events.push('hook'));
      tx.afterCommit(() => {
        throw new Error('a hook cannot fail what is committed');
      });
      events.push('fn');
    });
    await assert.rejects(
      db.withTx(async (tx) => {
        tx.afterCommit(() => events.push('never'));
        throw new Error('no');
      }),
    );
    assert.deepEqual(events, ['fn', 'hook']);
  });

  it('runs the whole transaction again after a serialization failure, from its beginning', async () => {
    await db.withTx((tx) => tx.run(add, ['a', 0]));
    let attempts = 0;
    const increment = () => {
      let mine = 0;
      return db.withTx(
        async (tx) => {
          attempts += 1;
          mine += 1;
          await tx.one(read, ['a']);
          // All have read the same before anybody writes.
          if (mine === 1) await until(() => attempts >= 4);
          await tx.run(bump, ['a']);
        },
        { isolation: 'serializable', retries: 20 },
      );
    };
    await Promise.all([increment(), increment(), increment(), increment()]);
    assert.equal(await value('a'), 4);
    assert.ok(attempts > 4, 'the transactions never met');
  });

  it('runs the victim of a deadlock again', async () => {
    await db.withTx(async (tx) => {
      await tx.run(add, ['a', 0]);
      await tx.run(add, ['b', 0]);
    });
    const both = (first: string, second: string) => {
      let mine = 0;
      return db.withTx(async (tx) => {
        mine += 1;
        await tx.run(bump, [first]);
        // On the first attempt both hold one row before either asks for the other.
        if (mine === 1) await meet();
        await tx.run(bump, [second]);
      });
    };
    let waiting = 0;
    const meet = async () => {
      waiting += 1;
      await until(() => waiting === 2);
    };
    await Promise.all([both('a', 'b'), both('b', 'a')]);
    assert.deepEqual([await value('a'), await value('b')], [2, 2]);
  });

  it('gives contention up as unavailable', async () => {
    let attempts = 0;
    const doomed = statement('test.doomed', `do $$ begin raise exception using errcode = '40001'; end $$`);
    await assert.rejects(
      db.withTx(
        (tx) => {
          attempts += 1;
          return tx.run(doomed);
        },
        { retries: 2 },
      ),
      { kind: 'unavailable', code: 'database_contention' },
    );
    assert.equal(attempts, 3);
  });

  it('sheds with 503 when every connection is in use, and recovers', async () => {
    const small = database.db('klar_api', { poolSize: 1, acquireTimeoutMs: 100 });
    let release: (() => void) | undefined;
    const holding = small.withTx(
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    await until(() => release);
    await assert.rejects(
      small.withTx(async () => 1),
      (error: KlarError) => {
        assert.deepEqual([error.kind, error.code, error.extra.retryAfterS], ['unavailable', 'database_busy', 1]);
        return true;
      },
    );
    assert.equal(small.available().ok, true, 'a full pool is not an absent database');
    release?.();
    await holding;
    assert.equal(await small.withTx(async () => 1), 1);
  });

  it('cancels the running statement when the caller goes away', async () => {
    const controller = new AbortController();
    const reason = new Error('client went away');
    let backend = 0;
    const running = db.withTx(
      async (tx) => {
        backend = (await tx.one(pid)).pid;
        await tx.run(add, ['gone', 1]);
        await tx.run(sleep, [30]);
      },
      { signal: controller.signal },
    );
    const active = () =>
      database.asSuperuser(`select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`, [backend]);
    await until(async () => backend > 0 && (await active()).length === 1);
    controller.abort(reason);
    const started = performance.now();
    await assert.rejects(running, reason);
    assert.ok(performance.now() - started < 5_000, 'the statement timeout ended it, not the cancel');
    await until(async () => (await active()).length === 0);
    assert.equal(await value('gone'), undefined);
  });

  it('does not begin for a caller who is gone, and stops between two statements', async () => {
    await assert.rejects(
      db.withTx(async () => 1, { signal: AbortSignal.abort(new Error('gone')) }),
      /gone/,
    );
    const controller = new AbortController();
    await assert.rejects(
      db.withTx(
        async (tx) => {
          await tx.run(add, ['half', 1]);
          controller.abort(new Error('gone'));
          await tx.run(add, ['other', 1]);
        },
        { signal: controller.signal },
      ),
      /gone/,
    );
    assert.equal(await value('half'), undefined);
  });

  it('does not commit for a caller who went away after the last statement', async () => {
    const controller = new AbortController();
    await assert.rejects(
      db.withTx(
        async (tx) => {
          await tx.run(add, ['last', 1]);
          controller.abort(new Error('gone'));
        },
        { signal: controller.signal },
      ),
      /gone/,
    );
    assert.equal(await value('last'), undefined);
  });

  it('does not begin for a caller who went away while waiting for a connection', async () => {
    const small = database.db('klar_api', { poolSize: 1 });
    let release: (() => void) | undefined;
    const holding = small.withTx(
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    await until(() => release);
    const controller = new AbortController();
    let began = false;
    const waiting = small.withTx(
      async () => {
        began = true;
      },
      { signal: controller.signal },
    );
    controller.abort(new Error('gone'));
    release?.();
    await assert.rejects(waiting, /gone/);
    await holding;
    assert.equal(began, false);
  });

  it('bounds a statement by the timeout of the transaction', async () => {
    await assert.rejects(
      db.withTx((tx) => tx.run(sleep, [10]), { statementTimeoutMs: 50 }),
      {
        kind: 'unavailable',
        code: 'database_timeout',
      },
    );
    assert.equal(await db.withTx(async () => 1), 1);
  });

  it('has the timeouts of its role without asking for them', async () => {
    const show = statement<{ value: string }>(
      'test.show',
      `select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') as value`,
    );
    assert.equal((await db.withTx((tx) => tx.one(show))).value, '6s 5s');
  });

  it('refuses to write in a read-only transaction', async () => {
    await assert.rejects(
      db.withTx((tx) => tx.run(add, ['a', 1]), { readOnly: true }),
      { code: '25006' },
    );
  });

  it('fails at COMMIT when a deferred constraint does, without repeating', async () => {
    await database.asSuperuser(
      'create table public.deferred (id text primary key, of text references public.counters deferrable initially deferred)',
    );
    await database.asSuperuser('grant insert on public.deferred to klar_api');
    const dangling = statement('test.dangling', `insert into public.deferred (id, of) values ('x', 'nothing')`);
    let attempts = 0;
    await assert.rejects(
      db.withTx((tx) => {
        attempts += 1;
        return tx.run(dangling);
      }),
      { code: '23503' },
    );
    assert.equal(attempts, 1);
  });

  it('executes a lone statement without a transaction around it', async () => {
    assert.equal(await db.execute(addAll), 3);
    await assert.rejects(db.execute(addAll), { code: '23505' });
    assert.equal(await value('m2'), 2);
  });

  it('measures each statement by name, and names the role on the pool', async () => {
    const metrics = createMetrics();
    const measured = database.db('klar_api', { metrics });
    await measured.withTx((tx) => tx.run(add, ['a', 1]));
    const text = await metrics.registry.metrics();
    assert.match(text, /klar_db_statement_seconds_count\{statement="test.add",role="klar_api"\} 1/);
    assert.match(text, /klar_db_pool_connections\{role="klar_api",state="idle"\} 1/);
  });

  it('works without named prepared statements', async () => {
    const unnamed = database.db('klar_api', { prepared: false, poolSize: 1 });
    await unnamed.withTx((tx) => tx.run(add, ['a', 1]));
    const listed = statement('test.prepared', 'select name from pg_prepared_statements');
    assert.deepEqual(await unnamed.withTx((tx) => tx.rows(listed)), []);
    await db.withTx((tx) => tx.rows(read, ['a']));
    assert.ok((await db.withTx((tx) => tx.rows(listed))).length > 0);
  });

  it('has a prepared name that says the statement, and a comment that does too', () => {
    assert.match(add.preparedName, /^test\.add_[0-9a-f]{10}$/);
    assert.match(add.text, /^\/\* test\.add \*\/ insert/);
  });
});
