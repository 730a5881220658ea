import assert from 'node:assert/strict';
import { type Db, statement } from '#platform/db/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startTcpProxy, type TcpProxy, throughProxy } from '../../support/tcp-proxy.ts';

const first = statement<{ n: number; tenant: string }>(
  'test.flight_first',
  'select 1 as n, app.current_tenant() as tenant',
);
const second = statement<{ n: number }>('test.flight_second', 'select 2 as n');
const writes = statement('test.flight_write', 'create table public.flight (id text)');

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

  it('carries all of what only reads and waits for nothing in between, COMMIT too', async () => {
    proxy.sent.length = 0;
    const rows = await db.withTenantTx('ten_1', (tx) => Promise.all([tx.one(first), tx.one(second)]), {
      readOnly: 'one flight',
    });
    assert.deepEqual(rows, [{ n: 1, tenant: 'ten_1' }, { n: 2 }]);
    assert.equal(proxy.sent.length, 1, proxy.sent.join('\n---\n'));
    assert.match(proxy.sent.join(''), /BEGIN READ ONLY.*COMMIT/s);
  });

  it('takes no statement that comes later, refuses to write, and leaves the connection fit for the next', async () => {
    const late = db.withTx(
      async (tx) => {
        await tx.one(second);
        return tx.one(second);
      },
      { readOnly: 'one flight' },
    );
    await assert.rejects(late, /used after its end \(test\.flight_second\)/);
    const write = db.withTx((tx) => tx.run(writes), { readOnly: 'one flight' });
    await assert.rejects(write, (error: Error & { cause?: { code: string } }) =>
      /read-only transaction/.test(`${error.message} ${String(error.cause)}`),
    );
    assert.deepEqual(await db.withTx((tx) => tx.one(second)), { n: 2 });
  });

  it('runs what only reads again when its connection is lost, whatever was sent', async () => {
    for (const lost of ['onClientData', 'onServerData'] as const) {
      let cuts = 0;
      proxy[lost] = () => {
        proxy[lost] = undefined;
        cuts += 1;
        return false;
      };
      const row = await db.withTx((tx) => tx.one(second), { readOnly: 'one flight' });
      assert.deepEqual([row, cuts], [{ n: 2 }, 1]);
    }
  });

  it('is one write for statements issued together later, too', async () => {
    await db.withTx(async (tx) => {
      await tx.one(second);
      proxy.sent.length = 0;
      await Promise.all([tx.one(second), tx.one(second), tx.one(second)]);
      assert.equal(proxy.sent.length, 1);
    });
  });

  it('sends a prepared statement by its name alone the second time', () => {
    assert.equal(
      proxy.sent.some((data) => data.includes('select 2 as n')),
      false,
    );
  });
});
