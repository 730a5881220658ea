import assert from 'node:assert/strict';
import { type Db, statement } from '#platform/db/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startTcpProxy, type TcpProxy, throughProxy } from '../../support/tcp-proxy.ts';

const first = statement<{ n: number; tenant: string }>(
  'test.flight_first',
  'select 1 as n, app.current_tenant() as tenant',
);
const second = statement<{ n: number }>('test.flight_second', 'select 2 as n');

describe('one flight', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let db: Db;
  before(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy(Number(new URL(database.superuserUrl).port));
    db = database.db('klar_api', { url: throughProxy(database.url('klar_api'), proxy), poolSize: 1 });
    await db.withTenantTx('ten_1', (tx) => Promise.all([tx.one(first), tx.one(second)]));
  });
  after(async () => {
    await database.close();
    await proxy.close();
  });

  it('carries BEGIN, the tenant and the first statements; COMMIT is the second flight', async () => {
    proxy.sent.length = 0;
    const rows = await db.withTenantTx('ten_1', (tx) => Promise.all([tx.one(first), tx.one(second)]));
    assert.deepEqual(rows, [{ n: 1, tenant: 'ten_1' }, { n: 2 }]);
    const flights = proxy.sent.map((data) => data.toString('latin1'));
    assert.equal(flights.length, 2, flights.join('\n---\n'));
    const [opening = '', closing = ''] = flights;
    const at = ['BEGIN', 'db.set_tenant', 'test.flight_first', 'test.flight_second'].map((text) =>
      opening.indexOf(text),
    );
    assert.ok(
      at.every((position, index) => position >= 0 && position > (at[index - 1] ?? -1)),
      `order: ${at}`,
    );
    assert.match(closing, /COMMIT/);
  });

  it('sends a prepared statement by its name alone the second time', () => {
    assert.equal(
      proxy.sent.some((data) => data.includes('select 2 as n')),
      false,
    );
  });
});
