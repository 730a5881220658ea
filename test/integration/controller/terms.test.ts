import assert from 'node:assert/strict';
import { insertFlagSet, liveFlags } from '#domain/flags/index.ts';
import { checkTerm, staleTerm } from '#domain/operations/index.ts';
import { type Db, statement } from '#platform/db/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('the fence of terms', () => {
  let database: TestDatabase;
  let db: Db;

  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_controller');
  });
  after(() => database.close());

  const write = (lease: string, token: number) => db.withTx((tx) => checkTerm(tx, lease, token));

  it('lets the same and a later term write, and refuses an earlier one, lease by lease', async () => {
    await write('one', 5);
    await write('one', 5);
    await write('one', 7);
    await assert.rejects(write('one', 6), (error) => staleTerm(error) === 7);
    assert.equal(staleTerm(new Error('another')), undefined);
    await write('two', 1);
  });

  it('takes back what an earlier term wrote in the same transaction', async () => {
    await write('three', 9);
    const set = { sequence: 1, version: 'aaaaaaaaaaaa', document: '{}', term: 8, changedBy: undefined };
    await assert.rejects(
      db.withTx(async (tx) => {
        const fenced = checkTerm(tx, 'three', 8);
        await insertFlagSet(tx, set).catch(() => {});
        await fenced;
      }),
      (error) => staleTerm(error) === 9,
    );
    assert.equal(await db.withTx((tx) => liveFlags(tx, 0)), undefined);
  });

  it('makes a later term wait for a write under way, and refuses who was overtaken while it waited', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const order: string[] = [];
    let entered = () => {};
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const first = db
      .withTx(async (tx) => {
        await checkTerm(tx, 'four', 2);
        entered();
        await held;
      })
      .then(() => order.push('first'));
    await inside;
    const second = write('four', 3).then(() => order.push('second'));
    const third = write('four', 1).then(
      () => order.push('third wrote'),
      (error) => order.push(staleTerm(error) ? 'third refused' : String(error)),
    );
    release();
    await Promise.all([first, second, third]);
    assert.equal(order[0], 'first');
    assert.ok(order.includes('third refused'), order.join());
  });

  it('lets nobody lower a token past the function', async () => {
    await assert.rejects(
      db.withTx((tx) => tx.run(LOWER)),
      /permission denied/,
    );
  });
});

const LOWER = statement('test.lower_term', 'update ops.controller_terms set token = 1');
