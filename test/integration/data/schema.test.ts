import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { exportSchema, newestMigration } from '#platform/db/setup.ts';
import { createTestDatabase, MIGRATIONS_DIR, type TestDatabase } from '../../support/database.ts';

const committed = (file: string) => readFile(path.join(MIGRATIONS_DIR, '..', file), 'utf8');

/** What a dump makes anew from the text that PostgreSQL prints: SQL that does the same, one statement a row. */
const REMAKE = [
  `select format('alter table %1$s drop constraint %2$I, add constraint %2$I %3$s', k.conrelid::regclass, k.conname,
     pg_get_constraintdef(k.oid)) as sql
   from pg_constraint k join pg_namespace n on n.oid = k.connamespace where n.nspname = any ($1) and k.contype = 'c' and k.conrelid <> 0`,
  `select format('alter policy %I on %s', p.polname, p.polrelid::regclass)
     || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
     || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') as sql
   from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace where n.nspname = any ($1)`,
  `select format('drop index %s; %s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)) as sql
   from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = any ($1) and (i.indpred is not null or i.indexprs is not null)`,
  `select format('create or replace view %s as %s', c.oid::regclass, pg_get_viewdef(c.oid)) as sql
   from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = any ($1) and c.relkind = 'v'`,
  `select format('drop trigger %I on %s; %s', t.tgname, t.tgrelid::regclass, pg_get_triggerdef(t.oid)) as sql
   from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = any ($1) and not t.tgisinternal`,
];

/** The diff of a thousand lines would hide the one that matters. */
function firstDifference(committed: string, made: string): string | undefined {
  if (committed === made) return undefined;
  const [left, right] = [committed.split('\n'), made.split('\n')];
  const line = left.findIndex((text, index) => text !== right[index]);
  return `line ${line + 1}: committed ${left[line]}, made ${right[line]}`;
}

// Holds on PostgreSQL 15 as on 18 (KLAR_TEST_POSTGRES_BIN): the snapshot has no word that differs between them.
describe('schema snapshot', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());

  it('is what the migrations make (npm run generate)', async () => {
    const snapshot = await exportSchema(database.db('klar_ops'));
    assert.equal(firstDifference(await committed('schema.sql'), snapshot.schema), undefined);
    assert.equal(firstDifference(await committed('security-definer.txt'), snapshot.securityDefiner), undefined);
  });

  it('is the same of a database made from a dump, which prints some conditions with fewer brackets', async () => {
    await database.asSuperuser(`create table ops.grouped (n int,
      constraint first check (n between 1 and 9 and n <> 5), constraint last check (n <> 5 and n between 1 and 9));
      create index grouped_n on ops.grouped (n) where n between 1 and 9 and n <> 5;
      create view ops.grouped_view as select n from ops.grouped where n between 1 and 9 and n <> 5;
      create policy grouped_rows on ops.grouped using (n between 1 and 9 and n <> 5)`);
    const raw = `select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'first'`;
    const before = (await exportSchema(database.db('klar_ops'))).schema;
    const [printed] = await database.asSuperuser(raw);
    for (const query of REMAKE) {
      const made = await database.asSuperuser<{ sql: string }>(query, [['app', 'auth', 'inbox', 'ops', 'routing']]);
      assert.ok(made.length > 0, query);
      for (const { sql } of made) await database.asSuperuser(sql);
    }
    const [again] = await database.asSuperuser(raw);
    assert.notDeepEqual(again, printed, 'PostgreSQL keeps the brackets now: what dissolves them can go');
    assert.equal(firstDifference(before, (await exportSchema(database.db('klar_ops'))).schema), undefined);
    await database.asSuperuser('drop table ops.grouped cascade');
  });

  it('notices another grouping of the same words', async () => {
    const texts = new Set<string>();
    for (const condition of ['(a or b) and c', 'a or (b and c)']) {
      await database.asSuperuser(`create table ops.grouped (a bool, b bool, c bool, check (${condition}))`);
      for (const view of ['(a or b) and c', 'a or (b and c)']) {
        await database.asSuperuser(`create view ops.grouped_view as select a from ops.grouped where ${view}`);
        texts.add((await exportSchema(database.db('klar_ops'))).schema);
        await database.asSuperuser('drop view ops.grouped_view');
      }
      await database.asSuperuser('drop table ops.grouped');
    }
    assert.equal(texts.size, 4);
  });

  it('notices a column, a grant and a policy', async () => {
    const before = (await exportSchema(database.db('klar_ops'))).schema;
    for (const sql of [
      'alter table app.tenants add column surprise text',
      'grant delete on app.tenants to klar_worker',
      'alter policy tenant_isolation on app.tenants with check (true)',
    ]) {
      await database.asSuperuser(sql);
      assert.notEqual((await exportSchema(database.db('klar_ops'))).schema, before, sql);
    }
  });

  it('has the number of the newest migration', async () => {
    const [row] = await database.asSuperuser('select ops.schema_version() as version');
    assert.equal(row?.version, await newestMigration(MIGRATIONS_DIR));
  });
});
