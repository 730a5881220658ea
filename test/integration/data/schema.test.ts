import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { exportSchema, newestMigration } from '#platform/db/setup.ts';
import { createTestDatabase, MIGRATIONS_DIR, type TestDatabase } from '../../support/database.ts';

const committed = (file: string) => readFile(path.join(MIGRATIONS_DIR, '..', file), 'utf8');

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
