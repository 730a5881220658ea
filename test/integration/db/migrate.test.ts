import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MigrationError, migrate } from '#platform/db/setup.ts';
import { queueMigration } from '#platform/queue/index.ts';
import { allQueues } from '../../../services/cli/queues.ts';
import { ensureTestRoles, MIGRATIONS_DIR, once, withDatabase, withLogin } from '../../support/database.ts';
import { databaseName, startOwnPostgres, type TestServer } from '../../support/postgres-server.ts';

describe('migrate', () => {
  let server: TestServer;
  let dir: string;
  let superuserUrl: string;
  let url: string;
  before(async function () {
    this.timeout(40_000);
    server = await startOwnPostgres({ durable: false });
  });
  after(() => server.close());
  beforeEach(async () => {
    const name = databaseName('m');
    await once(server.superuserUrl, `create database ${name}`);
    superuserUrl = withDatabase(server.superuserUrl, name);
    await ensureTestRoles(superuserUrl);
    url = withLogin(superuserUrl, 'klar_migrator_a');
    dir = await mkdtemp(path.join(tmpdir(), 'klar-migrations-'));
    await cp(path.join(MIGRATIONS_DIR, '0001_foundation.sql'), path.join(dir, '0001_foundation.sql'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const add = (name: string, sql: string) => writeFile(path.join(dir, name), sql);
  const exists = async (table: string) =>
    (await once(superuserUrl, `select to_regclass('${table}') is not null as yes`))[0]?.yes;

  it('applies what is missing, in order, once', async () => {
    await add('0002_a.sql', 'create table ops.a (id text primary key);');
    await add('0010_b.sql', 'create table ops.b (id text references ops.a);');
    assert.deepEqual((await migrate({ url, dir })).applied, ['0001_foundation', '0002_a', '0010_b']);
    assert.deepEqual((await migrate({ url, dir })).applied, []);
    await add('0011_c.sql', 'create table ops.c (id text);');
    assert.deepEqual((await migrate({ url, dir })).applied, ['0011_c']);
    assert.deepEqual(await once(superuserUrl, 'select ops.schema_version() as version'), [{ version: 11 }]);
    assert.deepEqual(await once(superuserUrl, `select distinct tableowner from pg_tables where schemaname = 'ops'`), [
      { tableowner: 'klar_owner' },
    ]);
  });

  it('lets one of several work and the others wait, and all succeed', async function () {
    this.timeout(40_000);
    await add('0002_slow.sql', 'create table ops.slow (id text); select pg_sleep(0.3);');
    const all = { url, dir, after: [queueMigration(allQueues)] };
    const results = await Promise.all([migrate(all), migrate(all), migrate(all)]);
    const applied = results.map((result) => result.applied.length).sort();
    assert.deepEqual(applied, [0, 0, 2]);
  });

  it('leaves nothing of a file that fails, names file and line, and goes on from there', async () => {
    await add('0002_bad.sql', 'create table ops.half (id text);\n\nselect nonsense;\n');
    await add('0003_next.sql', 'create table ops.next (id text);');
    await assert.rejects(migrate({ url, dir }), (error: Error) => {
      assert.equal(error.name, 'MigrationError');
      assert.equal(error.message, 'migrations/0002_bad.sql:3: column "nonsense" does not exist');
      return true;
    });
    assert.equal(await exists('ops.half'), false);
    assert.equal(await exists('ops.next'), false);
    await add('0002_bad.sql', 'create table ops.half (id text);');
    assert.deepEqual((await migrate({ url, dir })).applied, ['0002_bad', '0003_next']);
  });

  it('refuses a file that was edited after it was applied, or that is gone', async () => {
    await add('0002_a.sql', 'create table ops.a (id text);');
    await add('0003_b.sql', 'create table ops.b (id text);');
    await migrate({ url, dir });
    await add('0002_a.sql', 'create table ops.a (id text, more text);');
    await assert.rejects(migrate({ url, dir }), /0002_a\.sql was edited after it was applied/);
    await rm(path.join(dir, '0002_a.sql'));
    await assert.rejects(migrate({ url, dir }), /0002_a\.sql was applied .* no longer in the folder/);
  });

  it('accepts a database that is ahead: the build was rolled back', async () => {
    await add('0002_newer.sql', 'create table ops.newer (id text);');
    await migrate({ url, dir });
    await rm(path.join(dir, '0002_newer.sql'));
    assert.deepEqual((await migrate({ url, dir })).applied, []);
  });

  it('refuses a file that slips in before an applied one', async () => {
    await add('0003_b.sql', 'create table ops.b (id text);');
    await migrate({ url, dir });
    await add('0002_late.sql', 'create table ops.late (id text);');
    await assert.rejects(migrate({ url, dir }), /0002_late/);
    assert.equal(await exists('ops.late'), false);
  });

  it('refuses names without a number, and two with the same', async () => {
    await add('notes.sql', 'select 1;');
    await assert.rejects(migrate({ url, dir }), MigrationError);
    await rm(path.join(dir, 'notes.sql'));
    await add('0001_twin.sql', 'select 1;');
    await assert.rejects(migrate({ url, dir }), /same number/);
  });

  it('waits for a lock only briefly at a time, and tries again until it is free', async function () {
    this.timeout(40_000);
    await add('0002_a.sql', 'create table ops.a (id text);');
    await migrate({ url, dir });
    await add('0003_wider.sql', 'alter table ops.a add column more text;');
    const said: string[] = [];
    // Holds the table for longer than one lock_timeout.
    const holder = once(superuserUrl, 'begin; lock table ops.a in access share mode; select pg_sleep(4); commit');
    await new Promise((resolve) => setImmediate(resolve));
    const { applied } = await migrate({ url, dir, log: (line) => said.push(line) });
    await holder;
    assert.deepEqual(applied, ['0003_wider']);
    assert.ok(
      said.some((line) => line.includes('trying again')),
      said.join(),
    );
  });

  it('makes an index concurrently, outside a transaction', async () => {
    await add('0002_a.sql', 'create table ops.a (id text);');
    await add(
      '0003_index.sql',
      '-- no transaction\ncreate index concurrently if not exists a_id on ops.a (id);\n-- next statement\ncreate index concurrently if not exists a_id2 on ops.a (lower(id));\n',
    );
    await migrate({ url, dir });
    assert.equal(await exists('ops.a_id'), true);
    assert.equal(await exists('ops.a_id2'), true);
    assert.deepEqual((await migrate({ url, dir })).applied, []);
  });

  const INDEX = '-- no transaction\ncreate index concurrently if not exists a_id on ops.a (id);\n';
  const valid = async () =>
    (await once(superuserUrl, `select indisvalid from pg_index where indexrelid = 'ops.a_id'::regclass`))[0]
      ?.indisvalid;

  it('makes an index concurrently while others wait for their turn', async function () {
    this.timeout(40_000);
    await add('0002_a.sql', 'create table ops.a (id text);');
    await add('0003_index.sql', INDEX);
    const runs = await Promise.all([1, 2, 3, 4].map(() => migrate({ url, dir })));
    assert.equal(runs.flatMap(({ applied }) => applied).length, 3);
    assert.equal(await valid(), true);
  });

  it('waits for a transaction that is older than its index, such as a dump', async function () {
    this.timeout(40_000);
    await add('0002_a.sql', 'create table ops.a (id text);');
    await migrate({ url, dir });
    await add('0003_index.sql', INDEX);
    const said: string[] = [];
    const holder = once(
      superuserUrl,
      'begin isolation level repeatable read; select from ops.a; select pg_sleep(4); commit',
    );
    await new Promise((resolve) => setImmediate(resolve));
    await migrate({ url, dir, log: (line) => said.push(line) });
    await holder;
    assert.deepEqual(said, ['applied 0003_index']);
    assert.equal(await valid(), true);
  });

  it('makes an index again that an interrupted run left invalid', async () => {
    await add('0002_a.sql', 'create table ops.a (id text);');
    await migrate({ url, dir });
    await once(superuserUrl, `insert into ops.a values ('x'), ('x')`);
    await assert.rejects(
      once(superuserUrl, 'create unique index concurrently a_id on ops.a (id)'),
      /could not create unique index/,
    );
    assert.equal(await valid(), false);
    await add('0003_index.sql', INDEX);
    await migrate({ url, dir });
    assert.equal(await valid(), true);
  });
});
