import assert from 'node:assert/strict';
import { type CleanupInput, cleanUp, RETENTION } from '#domain/privacy/index.ts';
import { createDb, type Db, statement } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory } from '../../support/factory.ts';
import { until } from '../../support/until.ts';
import { arrange, CASES, leftOf, nameOf } from './rows.ts';

const KEYS = 'app.idempotency_keys';

describe('klar cleanup', function () {
  this.timeout(60_000);
  let database: TestDatabase;
  let db: Db;
  let schools: string[];
  beforeEach(async () => {
    database = await createTestDatabase();
    db = database.db('klar_cleanup', { poolSize: 2 });
    const factory = createFactory(database);
    schools = [(await factory.school()).id, (await factory.school()).id, SYSTEM_TENANT_ID];
  });
  afterEach(() => database.close());

  const clean = (options: Partial<CleanupInput> = {}) =>
    cleanUp({
      db,
      log: silentLogger(),
      signal: new AbortController().signal,
      dryRun: false,
      maxSeconds: 50,
      pauseMs: 0,
      ...options,
    });

  /** So many keys that are over, in one school. */
  const expiredKeys = (school: string, count: number) =>
    database.asSuperuser(
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, response_status, expires_at)
       select $1, 'person:usr_1', 'test', 'k' || n, '\\x00', 'done', 'x', 201, now() - interval '1 hour' from generate_series(1, $2::int) n`,
      [school, count],
    );
  const keysLeft = async () =>
    (await database.asSuperuser<{ n: number }>(`select count(*)::int as n from ${KEYS}`))[0]?.n ?? -1;

  it('takes what is over and leaves what is not, on both sides of every boundary, in every school', async () => {
    await arrange(database, schools);
    const wouldGo = await clean({ dryRun: true });
    for (const each of CASES) {
      const all = each.tenant ? schools.flatMap((_, i) => [`old${i}`, `young${i}`]) : ['old', 'young'];
      assert.deepEqual(await leftOf(database, each), all.sort(), `${nameOf(each)}: a dry run deletes nothing`);
    }
    const result = await clean();
    for (const each of CASES) {
      const young = each.tenant ? schools.map((_, i) => `young${i}`) : ['young'];
      assert.deepEqual(await leftOf(database, each), young, nameOf(each));
    }
    assert.equal(result.complete, true);
    assert.equal(result.tenants, 3);
    for (const [row, each] of result.tables.map((row) => [row, CASES.find((c) => c.table === row.table)] as const)) {
      // A session that goes leaves word of it in revoked_sessions; those words are young.
      assert.equal(row.rows, each?.tenant ? 3 : 1, `${row.table} ${row.rule}`);
    }
    assert.deepEqual(
      wouldGo.tables.map(({ table, rows }) => [table, rows]),
      result.tables.map(({ table, rows }) => [table, rows]),
    );
    assert.ok((await clean()).tables.every(({ rows }) => rows === 0));
  });

  it('has a test row for every rule', () => {
    const rules = Object.entries(RETENTION).flatMap(([table, r]) => ('rules' in r ? r.rules.map(() => table) : []));
    assert.deepEqual(CASES.map(({ table }) => table).sort(), rules.sort());
  });

  it('keeps what an age alone must not take', async () => {
    const old = `now() - interval '500 days'`;
    await database.asSuperuser(
      `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state)
       values ('dead', 'stripe', 'dead', 't', '{}', ${old}, 'v1', 'dead'), ('waiting', 'stripe', 'waiting', 't', '{}', ${old}, 'v1', 'received')`,
    );
    await database.asSuperuser(
      `insert into ops.task_runs (id, task, status, by_hand, finished_at, lease_until, runner)
       values ('run_only', 'backup', 'succeeded', true, ${old}, null, null), ('run_now', 'backup', 'running', true, null, ${old}, 'x')`,
    );
    await database.asSuperuser(
      `insert into ops.worker_heartbeats (worker_id, started_at, beat_at) values ('only', ${old}, ${old})`,
    );
    await database.asSuperuser(
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok) values ('prf_only', 'x', ${old}, ${old}, true)`,
    );
    await database.asSuperuser(
      `insert into ops.backups (id, store, started_at, snapshot_at, committed_at, bytes, schema_version, encrypted)
       values ('kept', 'x', ${old}, ${old}, ${old}, 1, 1, false)`,
    );
    await database.asSuperuser(
      `insert into app.notification_deliveries (tenant_id, id, dedupe_key, template, to_email, data, state, updated_at)
       values ($1, 'queued', 'q', 'welcome', 'a@example.com', '{}', 'queued', ${old})`,
      [schools[0]],
    );
    const result = await clean();
    assert.deepEqual(
      result.tables.filter(({ rows }) => rows > 0),
      [],
    );
  });

  it('deletes in batches of a bounded size', async () => {
    await expiredKeys(schools[0] ?? '', 95);
    await database.asSuperuser(`create table public.batches (rows bigint)`);
    await database.asSuperuser(
      `create function public.note() returns trigger language plpgsql security definer as $$
       begin insert into public.batches select count(*) from gone; return null; end $$`,
    );
    await database.asSuperuser(
      `create trigger note after delete on ${KEYS} referencing old table as gone for each statement execute function public.note()`,
    );
    const result = await clean({ batchSize: 20, tables: [KEYS] });
    assert.equal(result.tables[0]?.rows, 95);
    const batches = await database.asSuperuser<{ rows: string }>('select rows from public.batches where rows > 0');
    assert.deepEqual(
      batches.map(({ rows }) => Number(rows)),
      [20, 20, 20, 20, 15],
    );
  });

  it('stops when its time is over, says how much is left, and the next run goes on', async () => {
    await expiredKeys(schools[0] ?? '', 400);
    const result = await clean({ batchSize: 10, pauseMs: 50, maxSeconds: 0.6, tables: [KEYS] });
    const [row] = result.tables;
    assert.equal(result.complete, false);
    assert.ok(row !== undefined && row.rows > 0 && row.left > 0 && !row.at_least, JSON.stringify(row));
    assert.equal(row.rows + row.left, 400);
    assert.equal(await keysLeft(), row.left);
    assert.ok(result.seconds < 5);
    assert.equal((await clean({ tables: [KEYS] })).complete, true);
    assert.equal(await keysLeft(), 0);
  });

  it('reaches the schools behind one that floods', async () => {
    for (const school of schools) await expiredKeys(school, 5);
    await database.asSuperuser(
      // The last of the system's tables: nothing behind it but the schools.
      `insert into ops.worker_heartbeats (worker_id, started_at, beat_at)
       select 'w' || n, now(), now() - interval '2 days' from generate_series(1, 20000) n union all select 'now', now(), now()`,
    );
    const result = await clean({ batchSize: 20, pauseMs: 20, maxSeconds: 2 });
    assert.equal(result.complete, false);
    assert.equal(await keysLeft(), 0);
  });

  it('begins at any school, so that a run that is always cut short does not always do the same ones', async () => {
    const first = async (random: number) => {
      const order: string[] = [];
      const withTenantTx: Db['withTenantTx'] = (id, ...rest) => {
        order.push(id);
        return db.withTenantTx(id, ...rest);
      };
      await clean({ db: Object.assign(Object.create(db), { withTenantTx }), tables: [KEYS], random: () => random });
      const [begun] = order;
      assert.deepEqual(order.sort(), [...schools].sort(), 'each once');
      return begun;
    };
    assert.equal(new Set([await first(0), await first(0.4), await first(0.99)]).size, 3);
  });

  it('done by two at once takes everything once', async () => {
    for (const school of schools) await expiredKeys(school, 300);
    const results = await Promise.all([1, 2].map(() => clean({ batchSize: 25, db: database.db('klar_cleanup') })));
    const rows = results.map(({ tables }) => tables.find(({ table }) => table === KEYS)?.rows ?? 0);
    assert.equal((rows[0] ?? 0) + (rows[1] ?? 0), 900);
    assert.ok(results.every(({ complete }) => complete));
    assert.equal(await keysLeft(), 0);
  });

  it('does not hold up traffic beside it', async () => {
    await expiredKeys(schools[0] ?? '', 4_000);
    const api = database.db('klar_api', { poolSize: 2 });
    const write = statement(
      'cleanup_test.write_key',
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, response_status, expires_at)
       values ($1, 'person:usr_2', 'test', $2, '\\x00', 'done', 'x', 201, now() + interval '72 hours')`,
    );
    let cleaning = true;
    const cleaned = clean({ batchSize: 100 }).finally(() => {
      cleaning = false;
    });
    let slowest = 0;
    let written = 0;
    for (; cleaning || written < 50; written += 1) {
      const started = performance.now();
      await api.withTenantTx(schools[0] ?? '', (tx) => tx.run(write, [schools[0], `w${written}`]));
      slowest = Math.max(slowest, performance.now() - started);
    }
    await cleaned;
    assert.equal(await keysLeft(), written);
    assert.ok(slowest < 1_000, `a write took ${Math.round(slowest)} ms`);
  });

  it('leaves a row that traffic holds, names the rule, and does the others', async () => {
    await expiredKeys(schools[0] ?? '', 3);
    await database.asSuperuser(
      `insert into auth.verifications (id, identifier, value, expires_at) values ('v', 'x', 'x', now() - interval '1 day')`,
    );
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let locked = false;
    const lock = statement(
      'cleanup_test.lock_keys',
      `select key from app.idempotency_keys where tenant_id = $1 for update`,
    );
    const traffic = database.db('klar_api').withTenantTx(schools[0] ?? '', async (tx) => {
      await tx.rows(lock, [schools[0]]);
      locked = true;
      await held;
    });
    await until(() => locked);
    const failed = await clean().then(
      () => assert.fail('it did not say so'),
      (error: unknown) => error,
    );
    assert.ok(failed instanceof KlarError && failed.code === 'cleanup_failed', String(failed));
    assert.match(failed.detail, /^app\.idempotency_keys: database_locked/);
    const { tables } = failed.extra.members as { tables: { table: string; rows: number }[] };
    assert.equal(tables.find(({ table }) => table === 'auth.verifications')?.rows, 1);
    release();
    await traffic;
    await clean();
    assert.equal(await keysLeft(), 0);
  });

  it('gives a rule up whose table is held, before every school has waited for it', async () => {
    const factory = createFactory(database);
    for (let n = 0; n < 5; n += 1) schools.push((await factory.school()).id);
    for (const school of schools) await expiredKeys(school, 1);
    await database.asSuperuser(
      'alter role klar_cleanup_a in database ' +
        new URL(database.superuserUrl).pathname.slice(1) +
        ` set lock_timeout = '200ms'`,
    );
    const own = database.db('klar_cleanup');
    const lock = statement('cleanup_test.lock_table', `lock table ${KEYS} in access exclusive mode`);
    const superuser = createDb({ url: database.superuserUrl, role: 'klar_ops', poolSize: 1 });
    const begun = performance.now();
    await superuser.withTx(async (tx) => {
      await tx.run(lock);
      await assert.rejects(clean({ db: own }), (error: KlarError) => {
        const { tables } = error.extra.members as { tables: { table: string; errors: string[]; at_least: boolean }[] };
        const row = tables.find(({ table }) => table === KEYS);
        assert.deepEqual([row?.errors.length, row?.at_least], [3, true]);
        return error.code === 'cleanup_failed';
      });
    });
    await superuser.close();
    assert.ok(performance.now() - begun < 10_000);
  });

  it('ends at a signal between two batches', async () => {
    await expiredKeys(schools[0] ?? '', 1_000);
    const stop = new AbortController();
    const running = clean({ batchSize: 10, pauseMs: 20, signal: stop.signal });
    running.catch(() => {});
    await until(async () => (await keysLeft()) < 1_000);
    stop.abort(new Error('SIGTERM'));
    await assert.rejects(running, /SIGTERM/);
    assert.ok((await keysLeft()) > 0);
  });

  it('cannot be made to take more than the rules say, whatever klar_cleanup asks', async () => {
    const cleanupDb = database.db('klar_cleanup');
    const ask = (name: string, sql: string) =>
      cleanupDb.withTx((tx) => tx.rows(statement(`cleanup_test.${name}`, sql)));
    await assert.rejects(ask('too_young', 'select inbox.drop_payloads(89, 10)'), { code: 'KL002' });
    await assert.rejects(ask('rows_young', 'select inbox.purge_events(179, 10)'), { code: 'KL002' });
    await assert.rejects(ask('people', `select ops.purge_auth('people', 10)`), { code: '20000' });
    for (const [at, sql] of [
      'select id from auth.sessions',
      'delete from inbox.events',
      'select raw from inbox.events',
      'update app.orders set status = status',
      'delete from app.audit_pending',
    ].entries()) {
      await assert.rejects(ask(`forbidden_${'abcde'[at]}`, sql), { code: '42501' }, sql);
    }
  });

  it('refuses a table that has no rule, and tells why it has none', async () => {
    await assert.rejects(clean({ tables: ['app.orders'] }), /bookkeeping/);
    await assert.rejects(clean({ tables: ['app.nothing'] }), /There is no such table.*app\.api_keys/);
  });
});
