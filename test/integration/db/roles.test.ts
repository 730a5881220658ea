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
