import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import { ONE_OF_EACH, openShop, type Shop, tracesOf } from './shop.ts';

/** A handler of one purchase runs fewer statements than this; more would mean that the loop below never ends. */
const MOST_STATEMENTS = 120;
const LEAST_STATEMENTS = 12;

describe('a worker killed with kill -9', () => {
  let shop: Shop;
  before(async () => {
    shop = await openShop();
  });
  after(() => shop.close());

  const waiting = async () => {
    const [row] = await shop.stack.database.asSuperuser<{ n: number }>(
      `select count(*)::int as n from inbox.events where state in ('received', 'ready', 'leased')`,
    );
    return row?.n ?? 0;
  };

  it('between every two statements of the handlers of a purchase leaves exactly one of each effect', async () => {
    for (let n = 1; ; n += 1) {
      assert.ok(n < MOST_STATEMENTS, 'the handler came to its end');
      const purchase = await shop.order();
      await shop.pay(purchase.sessionId);
      assert.ok((await waiting()) > 0, 'the events wait for a worker');

      const victim = await shop.worker({ KLAR_FAILPOINT: `db.statement:${n}` }, false);
      const survived = await Promise.race([
        victim.exited.then((how) => {
          assert.equal(how, 'SIGKILL', victim.output());
          return false;
        }),
        until(async () => (await waiting()) === 0, { timeoutMs: 20_000 }).then(() => true),
      ]);
      const half = await tracesOf(shop.stack, purchase.orderId);
      assert.ok(
        JSON.stringify({ ...half, payments: 1 }) === JSON.stringify(ONE_OF_EACH) || half?.paid_orders === 0,
        `killed at statement ${n}: all or nothing, not ${JSON.stringify(half)}`,
      );
      if (!survived) {
        const heir = await shop.worker();
        await until(async () => (await waiting()) === 0, { timeoutMs: 20_000, what: 'the heir finishes' });
        await heir.stop();
      } else {
        await victim.stop();
      }
      assert.deepEqual(await tracesOf(shop.stack, purchase.orderId), ONE_OF_EACH, `killed at statement ${n}`);
      assert.equal(await shop.status(purchase), 'paid');
      if (survived) {
        assert.ok(n >= LEAST_STATEMENTS, `only ${n} places to die were found`);
        return;
      }
    }
  });
});
