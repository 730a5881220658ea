import assert from 'node:assert/strict';
import { statement } from '#platform/db/index.ts';
import { until } from '../../support/until.ts';
import { type Shop, startShop, told } from './shop.ts';

describe('Idempotency-Key under faults', () => {
  let shop: Shop;
  before(async () => {
    shop = await startShop();
  });
  after(() => shop.close());
  beforeEach(() => {
    Object.assign(told, { gate: undefined, failure: undefined, runs: 0, signal: undefined, beforeComplete: undefined });
  });

  it('frees the key when the client leaves', async () => {
    const before = await shop.effects();
    const key = shop.newKey();
    const gate = Promise.withResolvers<void>();
    told.gate = gate.promise;
    const leaving = new AbortController();
    const first = shop.buy(key, { signal: leaving.signal }).catch(() => 'left');
    await until(() => told.runs === 1);
    leaving.abort();
    assert.equal(await first, 'left');
    await until(() => told.signal?.aborted);
    gate.resolve();
    await until(
      async () =>
        (await shop.world.database.asSuperuser('select 1 from app.idempotency_keys where key = $1', [key])).length ===
        0,
    );
    told.gate = undefined;
    assert.equal((await shop.buy(key)).status, 201);
    assert.equal(await shop.effects(), before + 1);
  });

  it('takes over from a dead owner once its lease is over, and not before', async () => {
    const key = shop.newKey();
    await shop.world.database.asSuperuser(
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, lease_until, expires_at)
       select tenant_id, principal, operation, $1, request_hash, 'in_progress', 'dead', now() + interval '35 s', expires_at
         from app.idempotency_keys where key = $2`,
      [key, await bought()],
    );
    assert.equal((await shop.buy(key, { at: shop.hurried })).status, 409);
    assert.equal(told.runs, 1, 'only the purchase that the row was copied from');
    await shop.expireLeases();
    assert.equal((await shop.buy(key, { item: 'another' })).status, 422, 'an abandoned key stays its first body’s');
    assert.equal((await shop.buy(key)).status, 201);
  });

  async function bought(): Promise<string> {
    const key = shop.newKey();
    await shop.buy(key);
    return key;
  }

  for (const path of ['buy', 'steps']) {
    it(`rolls back the effect of an owner that lost its lease (${path})`, async () => {
      const before = await shop.effects();
      const key = shop.newKey();
      const gate = Promise.withResolvers<void>();
      told.gate = gate.promise;
      const slow = shop.buy(key, { path });
      await until(() => told.runs === 1);
      await shop.expireLeases();
      told.gate = undefined;
      const taker = await shop.buy(key, { at: shop.other, path });
      assert.equal(taker.status, 201);
      gate.resolve();
      const lost = await slow;
      assert.equal(lost.status, 409);
      assert.equal(lost.json.code, 'idempotency_in_progress');
      assert.equal(await shop.effects(), before + 1);
      assert.equal((await shop.buy(key, { path })).text, taker.text);
    });
  }

  it('authorizes again before it gives a stored answer', async () => {
    const leaver = await shop.world.person();
    const key = shop.newKey();
    assert.equal((await shop.buy(key, { person: leaver })).status, 201);
    await shop.world.database.asSuperuser('delete from app.memberships where person_id = $1', [leaver]);
    const after = await shop.buy(key, { person: leaver });
    assert.equal(after.status, 404);
    assert.equal(after.json.code, 'not_found');
  });

  it('stores nothing for a caller who may not', async () => {
    const stranger = 'usr_00000000000070008000000000000001';
    const key = shop.newKey();
    assert.equal((await shop.buy(key, { person: stranger })).status, 404);
    assert.deepEqual(
      await shop.world.database.asSuperuser('select 1 from app.idempotency_keys where key = $1', [key]),
      [],
    );
  });

  it('lets a key be used anew after its 72 hours', async () => {
    const key = shop.newKey();
    const first = await shop.buy(key);
    const [row] = await shop.world.database.asSuperuser<{ hours: number }>(
      'select extract(epoch from expires_at - created_at)::int / 3600 as hours from app.idempotency_keys where key = $1',
      [key],
    );
    assert.equal(row?.hours, 72);
    await shop.world.database.asSuperuser('update app.idempotency_keys set expires_at = now() where key = $1', [key]);
    const second = await shop.buy(key, { item: 'another' });
    assert.equal(second.status, 201);
    assert.notEqual(second.json.id, first.json.id);
  });

  it('stores effect and answer in one commit: none of both when the commit fails', async () => {
    const before = await shop.effects();
    const key = shop.newKey();
    const db = shop.world.database.db('klar_api');
    // The owner's connection dies with everything written and nothing committed.
    told.beforeComplete = async () => {
      told.beforeComplete = undefined;
      await shop.world.database.asSuperuser(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'klar_api_a' and state like 'idle in transaction%'",
      );
    };
    const { status } = await shop.buy(key);
    assert.ok(status === 201 || status === 503, `got ${status}`);
    const keyRow = await db.withTenantTx(shop.world.tenantId, (tx) =>
      tx.maybe(
        statement<{ state: string }>(
          'test.state',
          'select k.state from app.idempotency_keys k where k.tenant_id = $1 and k.key = $2',
        ),
        [tx.tenantId, key],
      ),
    );
    assert.equal(await shop.effects(), before + (keyRow?.state === 'done' ? 1 : 0));
  });
});
