import assert from 'node:assert/strict';
import { createDb } from '#platform/db/index.ts';
import { ensureRoles, lintCatalog, migrate } from '#platform/db/setup.ts';
import { MIGRATIONS_DIR, once, withDatabase } from '../../support/database.ts';
import { databaseName, startOwnPostgres, type TestServer } from '../../support/postgres-server.ts';

describe('roles ensure', () => {
  let server: TestServer;
  const database = async () => {
    const name = databaseName('r');
    await once(server.superuserUrl, `create database ${name}`);
    return withDatabase(server.superuserUrl, name);
  };
  const login = (url: string, role: string, password: string) => {
    const changed = new URL(url);
    changed.username = role;
    changed.password = password;
    return changed.href;
  };
  before(async function () {
    this.timeout(40_000);
    server = await startOwnPostgres({ durable: false });
  });
  after(() => server.close());

  it('makes the roles while several run at once, on several databases of one server', async () => {
    const urls = [await database(), await database()];
    const all = [...urls, ...urls, ...urls].map((superuserUrl) =>
      ensureRoles({ superuserUrl, passwords: { klar_api_a: 'first' } }),
    );
    const results = await Promise.all(all);
    assert.ok(results.some((result) => result.changes.length > 0));
    const rows = await once(
      server.superuserUrl,
      `select count(*)::int as n from pg_roles where rolname like 'klar\\_%'`,
    );
    assert.deepEqual(rows, [{ n: 32 }]);
    for (const superuserUrl of urls)
      assert.deepEqual((await ensureRoles({ superuserUrl, passwords: { klar_api_a: 'first' } })).changes, []);
  });

  it('mends what drifted', async () => {
    const superuserUrl = await database();
    await ensureRoles({ superuserUrl });
    for (const sql of [
      'alter role klar_api superuser bypassrls',
      'alter role klar_worker_a createrole nologin',
      'revoke klar_owner from klar_migrator',
      `alter role klar_api_a set statement_timeout = '1h'`,
      'alter role klar_backup_a nobypassrls',
    ]) {
      await once(superuserUrl, sql);
      assert.equal((await ensureRoles({ superuserUrl })).changes.length, 1, sql);
    }
    await migrate({ url: superuserUrl, dir: MIGRATIONS_DIR });
    const db = createDb({ url: superuserUrl, role: 'klar_ops', poolSize: 1 });
    try {
      assert.deepEqual(await lintCatalog(db), []);
    } finally {
      await db.close();
    }
  });

  describe('the functions that the rotator owns', () => {
    const NAMES = ['set_login_verifier', 'end_login_sessions'];
    const catalog = (url: string) =>
      once(
        url,
        `select p.proname, o.rolname as owner, pg_get_functiondef(p.oid) as text, p.proacl::text as acl
         from pg_proc p join pg_roles o on o.oid = p.proowner where p.proname in ('${NAMES.join("','")}') order by 1`,
      );
    const texts = (rows: Record<string, unknown>[]) => rows.map(({ text }) => text);
    let superuserUrl: string;
    let migrated: Record<string, unknown>[];
    let good: Record<string, unknown>[];
    before(async () => {
      superuserUrl = await database();
      await ensureRoles({ superuserUrl });
      await migrate({ url: superuserUrl, dir: MIGRATIONS_DIR });
      migrated = await catalog(superuserUrl);
      assert.equal((await ensureRoles({ superuserUrl })).changes.length, 2);
      good = await catalog(superuserUrl);
    });

    it('are those of the migration, and stay as they are', async () => {
      assert.deepEqual(texts(good), texts(migrated));
      assert.deepEqual(
        good.map(({ owner }) => owner),
        ['klar_rotator', 'klar_rotator'],
      );
      assert.match(String(good[0]?.acl), /^\{klar_rotator=X\/klar_rotator,klar_controller=X\/klar_rotator\}$/);
      assert.deepEqual((await ensureRoles({ superuserUrl })).changes, []);
    });

    for (const [what, sql] of [
      [
        'another body',
        `drop function ops.end_login_sessions(text);
         create function ops.end_login_sessions(login text) returns integer language plpgsql security definer
         set search_path = pg_catalog, pg_temp as $$ begin alter role klar_api_a superuser; return 0; end $$;
         alter function ops.end_login_sessions(text) owner to klar_owner`,
      ],
      [
        'another body of one that was handed over already',
        `do $$ begin
         execute replace(pg_get_functiondef('ops.end_login_sessions(text)'::regprocedure), '22023', '22024'); end $$`,
      ],
      ['another search path', 'alter function ops.set_login_verifier(text, text) set search_path = ops, pg_catalog'],
      ['the rights of who calls', 'alter function ops.set_login_verifier(text, text) security invoker'],
      ['somebody else who may call', 'grant execute on function ops.set_login_verifier(text, text) to klar_api'],
      ['another owner', 'alter function ops.set_login_verifier(text, text) owner to klar_owner'],
    ] as const) {
      it(`are made anew where there is ${what}`, async () => {
        await once(superuserUrl, sql);
        assert.equal((await ensureRoles({ superuserUrl })).changes.length, 1);
        assert.deepEqual(await catalog(superuserUrl), good);
      });
    }
  });

  it('sets a password that works, changes it when another is given, and keeps it when none is', async () => {
    const superuserUrl = await database();
    await ensureRoles({ superuserUrl, passwords: { klar_ops_b: 'one' } });
    await once(login(superuserUrl, 'klar_ops_b', 'one'), 'select 1');
    assert.deepEqual((await ensureRoles({ superuserUrl, passwords: { klar_ops_b: 'two' } })).changes, [
      'alter role klar_ops_b password ...',
    ]);
    await once(login(superuserUrl, 'klar_ops_b', 'two'), 'select 1');
    await assert.rejects(once(login(superuserUrl, 'klar_ops_b', 'one'), 'select 1'), { code: '28P01' });
    assert.deepEqual((await ensureRoles({ superuserUrl })).changes, []);
    await once(login(superuserUrl, 'klar_ops_b', 'two'), 'select 1');
  });

  it('lets nobody else into the database', async () => {
    const superuserUrl = await database();
    await ensureRoles({ superuserUrl });
    await once(server.superuserUrl, `create role stranger login password 'x'`);
    await assert.rejects(once(login(superuserUrl, 'stranger', 'x'), 'select 1'), { code: '42501' });
  });
});
