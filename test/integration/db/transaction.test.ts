import assert from 'node:assert/strict';
import { type Db, statement } from '#platform/db/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const tenantOf = statement<{ tenant: string }>('test.tenant', 'select app.current_tenant() as tenant');
const eight = statement<{ n: number }>('test.int8', 'select 8::bigint as n');

describe('transactions', () => {
  let database: TestDatabase;
  let db: Db;
  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_api');
  });
  after(() => database.close());

  it('sees its tenant', async () => {
    assert.equal(await db.withTenantTx('ten_1', async (tx) => (await tx.one(tenantOf)).tenant), 'ten_1');
  });

  it('raises without a tenant, also on a connection that served one', async () => {
    for (let i = 0; i < 5; i += 1) {
      await assert.rejects(
        db.withTx((tx) => tx.one(tenantOf)),
        /no tenant is set/,
      );
      await db.withTenantTx('ten_1', (tx) => tx.one(tenantOf));
    }
  });

  it('reads bigint as a number', async () => {
    assert.equal((await db.withTx((tx) => tx.one(eight))).n, 8);
  });
});
