import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { type Db, statement } from '#platform/db/index.ts';
import type { KlarError } from '#platform/errors/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import {
  createTestDatabase,
  openTestDatabase,
  prepareDatabase,
  startOwnPostgres,
  type TestDatabase,
  type TestServer,
} from '../../support/database.ts';
import { startTcpProxy, type TcpProxy, throughProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';

const add = statement('test.resilience_add', 'insert into public.facts (id) values ($1) on conflict do nothing');
const count = statement<{ n: number }>('test.resilience_count', 'select count(*) as n from public.facts');
const sleepy = statement<{ n: number }>('test.resilience_sleep', 'select 1 as n from pg_sleep(0.8)');
const who = statement<{ who: string }>('test.resilience_who', 'select session_user as who');

async function makeTable(database: TestDatabase): Promise<void> {
  await database.asSuperuser('create table public.facts (id text primary key)');
  await database.asSuperuser(
    'grant usage on schema public to klar_api; grant select, insert on public.facts to klar_api',
  );
}

describe('a connection that breaks', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let db: Db;
  before(async () => {
    database = await createTestDatabase();
    await makeTable(database);
  });
  after(() => database.close());
  beforeEach(async () => {
    proxy = await startTcpProxy(Number(new URL(database.superuserUrl).port));
    db = database.db('klar_api', {
      url: throughProxy(database.url('klar_api'), proxy),
      poolSize: 2,
      answerTimeoutMs: 300,
      acquireTimeoutMs: 500,
    });
    await db.withTx((tx) => tx.one(count));
  });
  afterEach(() => proxy.close());
  const stored = async (id: string) =>
    (await database.asSuperuser('select from public.facts where id = $1', [id])).length === 1;

  it('before COMMIT was sent: the transaction runs again', async () => {
    let attempts = 0;
    proxy.onClientData = (data) => {
      if (!data.includes('test.resilience_add')) return undefined;
      proxy.onClientData = undefined;
      return false;
    };
    await db.withTx(async (tx) => {
      attempts += 1;
      await tx.run(add, ['again']);
    });
    assert.equal(attempts, 2);
    assert.equal(await stored('again'), true);
  });

  it('while fn is busy elsewhere: the transaction runs again, though every statement had succeeded', async () => {
    let attempts = 0;
    await db.withTx(async (tx) => {
      attempts += 1;
      await tx.run(add, ['elsewhere']);
      if (attempts === 1) {
        await database.asSuperuser(
          `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'klar_api_a' and datname = current_database() and state = 'idle in transaction'`,
        );
        await until(() => !db.available().ok);
      }
    });
    assert.equal(attempts, 2);
    assert.equal(await stored('elsewhere'), true);
  });

  it('after COMMIT was sent: says that it is not known, and does not run again', async () => {
    for (const executed of [true, false]) {
      const id = `unknown-${executed}`;
      let attempts = 0;
      proxy.onClientData = (data) => {
        if (!data.includes('COMMIT')) return undefined;
        proxy.onClientData = undefined;
        // Either the answer is lost, or the request itself: the client cannot tell.
        if (!executed) return false;
        proxy.onServerData = () => false;
        return undefined;
      };
      const failed = db.withTx(async (tx) => {
        attempts += 1;
        await tx.run(add, [id]);
      });
      await assert.rejects(failed, (error: KlarError) => {
        assert.deepEqual([error.kind, error.code], ['unavailable', 'commit_unknown']);
        return true;
      });
      proxy.onServerData = undefined;
      assert.equal(attempts, 1);
      if (executed) await until(() => stored(id));
      else assert.equal(await stored(id), false);
    }
  });

  it('under a lone statement: says that it is not known', async () => {
    proxy.onServerData = () => false;
    await assert.rejects(db.execute(add, ['lone']), { code: 'commit_unknown' });
    proxy.onServerData = undefined;
    await until(() => stored('lone'));
  });

  it('and answers nothing any more: is given up within the answer timeout, and replaced', async () => {
    proxy.frozen = true;
    const started = performance.now();
    await assert.rejects(
      db.withTx((tx) => tx.run(add, ['frozen'])),
      { kind: 'unavailable' },
    );
    assert.ok(performance.now() - started < 5_000);
    assert.equal(db.available().ok, false);
    proxy.frozen = false;
    await until(() => db.available().ok, { timeoutMs: 2_000 });
    await db.withTx((tx) => tx.run(add, ['thawed']));
    assert.equal(await stored('thawed'), true);
  });

  it('and so do the others: nobody waits for a second one of them', async () => {
    const url = throughProxy(database.url('klar_api'), proxy);
    const wide = database.db('klar_api', { url, poolSize: 4, answerTimeoutMs: 1_500, acquireTimeoutMs: 300 });
    let waiting = 0;
    await Promise.all(
      [1, 2, 3, 4].map(() =>
        wide.withTx(async (tx) => {
          await tx.one(count);
          waiting += 1;
          await until(() => waiting === 4);
        }),
      ),
    );
    proxy.frozen = true;
    const tookMs = async () => {
      const started = performance.now();
      await assert.rejects(
        wide.withTx((tx) => tx.run(add, ['silent'])),
        { kind: 'unavailable' },
      );
      assert.equal(wide.available().ok, false);
      return performance.now() - started;
    };
    const first = await tookMs();
    assert.ok(first > 1_400 && first < 2_000, `${first} ms`);
    // No more than what a connection that cannot be made takes.
    const second = await tookMs();
    assert.ok(second < 900, `${second} ms`);
    proxy.frozen = false;
    await until(
      () =>
        wide
          .withTx((tx) => tx.run(add, ['heard']))
          .then(
            () => true,
            () => false,
          ),
      { timeoutMs: 3_000 },
    );
    await wide.close();
  });

  it('unlike a slow one: while others are answered nobody else loses a connection, and nothing runs again', async () => {
    const url = throughProxy(database.url('klar_api'), proxy);
    const wide = database.db('klar_api', { url, poolSize: 3, answerTimeoutMs: 400, acquireTimeoutMs: 500 });
    const backends = async () =>
      (
        await database.asSuperuser<{ pid: number }>(
          `select pid from pg_stat_activity where usename = 'klar_api_a' and datname = current_database() order by pid`,
        )
      ).map(({ pid }) => pid);
    await wide.withTx((tx) => tx.one(count));
    const before = new Set(await backends());
    let tries = 0;
    const slow = wide.withTx((tx) => {
      tries += 1;
      return tx.one(sleepy);
    });
    const others = (async () => {
      for (let n = 0; n < 12; n++) {
        await wide.withTx((tx) => tx.one(count));
        await new Promise((resolve) => setTimeout(resolve, 50));
        assert.equal(wide.available().ok, true);
      }
    })();
    await assert.rejects(slow, { kind: 'unavailable' });
    await others;
    assert.equal(tries, 1);
    const kept = (await backends()).filter((pid) => !before.has(pid));
    assert.ok(kept.length <= 2, `${kept.length} new connections`);
    await wide.close();
  });

  it('is not waited for by a crowd: once it has been away for a while callers are refused at once, and served when it is back', async () => {
    proxy.frozen = true;
    const call = async () => {
      const started = performance.now();
      const failed = await db
        .withTx((tx) => tx.run(add, ['crowd']))
        .then(
          () => undefined,
          (error: KlarError) => error.kind,
        );
      return { failed, ms: performance.now() - started };
    };
    await until(() => call().then(() => db.available().awayMs > 1_100), { timeoutMs: 8_000 });
    const crowd = await Promise.all(Array.from({ length: 60 }, call));
    assert.ok(crowd.every(({ failed }) => failed === 'unavailable'));
    // Those who find a free place try; 500 ms is what one waits for a connection here.
    assert.ok(crowd.filter(({ ms }) => ms > 400).length <= 2, JSON.stringify(crowd.map(({ ms }) => Math.round(ms))));
    proxy.frozen = false;
    const back = performance.now();
    await until(async () => (await call()).failed === undefined, { timeoutMs: 3_000, everyMs: 20 });
    assert.ok(performance.now() - back < 1_500);
  });

  it('and answers no probe: the next one asks over another connection, long before a statement would be given up', async () => {
    // Its own probes would be taken for those of the other.
    await db.close();
    const url = throughProxy(database.url('klar_api'), proxy);
    const patient = database.db('klar_api', { url, poolSize: 2, answerTimeoutMs: 30_000 });
    await patient.withTx((tx) => tx.one(count));
    let swallowed = 0;
    proxy.onClientData = (data) => {
      if (data.includes('select 1') && swallowed === 0) {
        swallowed += 1;
        // The probe arrives, and its answer does not.
        proxy.frozen = true;
        setTimeout(() => {
          proxy.frozen = false;
        }, 300);
      }
      return undefined;
    };
    await database.asSuperuser(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'klar_api_a' and datname = current_database()`,
    );
    await until(() => !patient.available().ok);
    await until(() => swallowed > 0, { what: 'a probe' });
    await until(() => patient.available().ok, { timeoutMs: 4_500, what: 'another probe' });
    proxy.onClientData = undefined;
    await patient.close();
  });

  describe('or is not taken', () => {
    const { connect } = Socket.prototype;
    let dropped: number;
    afterEach(() => {
      Socket.prototype.connect = connect;
    });
    /** The first so many connections to the server itself get no answer to their first packet. */
    function drop(count: number): void {
      dropped = 0;
      const port = new URL(database.url('klar_api')).port;
      Socket.prototype.connect = function (this: Socket, ...given: unknown[]) {
        if (dropped >= count || String(given[0]) !== port) return connect.apply(this, given as never);
        dropped += 1;
        Object.assign(this, { connecting: true });
        setImmediate(() => this.emit('connectionAttempt', '127.0.0.1', 5432, 4));
        return this;
      } as typeof connect;
    }

    it('is begun anew once: one lost packet is no outage', async () => {
      const fresh = database.db('klar_api', { poolSize: 1 });
      drop(1);
      await fresh.withTx((tx) => tx.one(count));
      assert.deepEqual([dropped, fresh.available().ok], [1, true]);
      await fresh.close();
    });

    it('and not a second time: whoever waits is told', async () => {
      const fresh = database.db('klar_api', { poolSize: 1 });
      drop(2);
      const began = performance.now();
      await assert.rejects(
        fresh.withTx((tx) => tx.one(count), { retries: 0 }),
        { kind: 'unavailable' },
      );
      assert.equal(dropped, 2);
      assert.ok(performance.now() - began < 1_900, 'before the wait for a free connection is over');
      await fresh.close();
    });
  });

  it('is given back also when a change of the login is cut short, so that the pool can close', async () => {
    // The close falls between any two of the steps in which idle connections are taken out.
    for (let ticks = 0; ticks < 12; ticks += 1) {
      let login: 'a' | 'b' = 'a';
      const short = database.db('klar_api', { url: () => database.url('klar_api', login), poolSize: 3 });
      let inside = 0;
      await Promise.all(
        [1, 2, 3].map(() =>
          short.withTx(async (tx) => {
            await tx.one(count);
            inside += 1;
            await until(() => inside === 3);
          }),
        ),
      );
      login = 'b';
      const renewed = short.reconnect();
      for (let i = 0; i < ticks; i += 1) await new Promise((resolve) => process.nextTick(resolve));
      const closed = await Promise.race([
        Promise.all([renewed, short.close()]).then(() => true),
        new Promise((resolve) => setTimeout(resolve, 3_000)),
      ]);
      assert.equal(closed, true, `a close ${ticks} ticks after the change hangs`);
    }
  });

  it('when the login changes, new connections use the new one and the old ones end', async () => {
    let login: 'a' | 'b' = 'a';
    const rotating = database.db('klar_api', { url: () => database.url('klar_api', login), poolSize: 2 });
    const user = () => rotating.withTx(async (tx) => (await tx.one(who)).who);
    let finish: (() => void) | undefined;
    const long = rotating.withTx(async (tx) => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return (await tx.one(who)).who;
    });
    await until(() => finish);
    assert.equal(await user(), 'klar_api_a');
    login = 'b';
    await rotating.reconnect();
    assert.equal(await user(), 'klar_api_b');
    finish?.();
    assert.equal(await long, 'klar_api_a', 'a running transaction ends on the connection it has');
    await until(async () => {
      const rows = await database.asSuperuser<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where usename = 'klar_api_a' and datname = current_database() and application_name = 'klar'
           and client_port <> all($1)`,
        [[]],
      );
      return (rows[0]?.n ?? 9) <= 1; // the proxied pool of this suite keeps its own
    });
  });
});

describe('a database that goes away', () => {
  let server: TestServer;
  let database: TestDatabase;
  before(async function () {
    this.timeout(40_000);
    server = await startOwnPostgres({ durable: true });
    await prepareDatabase(server.superuserUrl);
    database = openTestDatabase(server.superuserUrl);
    await makeTable(database);
  });
  after(async () => {
    await database.close();
    await server.close();
  });

  for (const how of ['kill9', 'stop'] as const) {
    it(`is survived (${how}): everything acknowledged is there, work resumes within 2 s`, async function () {
      this.timeout(40_000);
      const db = database.db('klar_api', { poolSize: 4 });
      const acknowledged: string[] = [];
      const failures: KlarError[] = [];
      let stop = false;
      let n = 0;
      const load = Array.from({ length: 4 }, async () => {
        while (!stop) {
          const id = `${how}-${n++}`;
          await db
            .withTx((tx) => tx.run(add, [id]))
            .then(
              () => acknowledged.push(id),
              async (error) => {
                failures.push(error);
                await new Promise((resolve) => setImmediate(resolve));
              },
            );
        }
      });
      await until(() => acknowledged.length > 50);
      await server[how]();
      await until(() => !db.available().ok && db.available().awayMs > 0);
      await assert.rejects(
        db.withTx(async () => 1),
        { kind: 'unavailable' },
      );
      await server.start();
      const accepting = performance.now();
      const before = acknowledged.length;
      await until(() => acknowledged.length > before + 20, { timeoutMs: 2_000, what: 'work' });
      assert.ok(performance.now() - accepting < 2_000);
      assert.deepEqual(db.available(), { ok: true, awayMs: 0 });
      stop = true;
      await Promise.all(load);
      assert.deepEqual(
        failures.filter((error) => error.kind !== 'unavailable'),
        [],
      );
      const rows = await until(() => database.asSuperuser<{ id: string }>('select id from public.facts'));
      const there = new Set(rows.map((row) => row.id));
      assert.deepEqual(
        acknowledged.filter((id) => !there.has(id)),
        [],
      );
    });
  }

  it('is noticed as back by the probe alone, without a caller; a scrape sees how long it was away', async function () {
    this.timeout(40_000);
    const metrics = createMetrics();
    const away = async () => (await metrics.registry.getSingleMetric('klar_db_away_seconds')?.get())?.values[0]?.value;
    const db = database.db('klar_api', { metrics });
    await db.withTx((tx) => tx.one(count));
    assert.equal(await away(), 0);
    await server.stop();
    await until(() => !db.available().ok);
    await until(async () => ((await away()) ?? 0) > 0);
    await server.start();
    await until(() => db.available().ok, { timeoutMs: 2_000 });
    assert.equal(await away(), 0);
  });
});
