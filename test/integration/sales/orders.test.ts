import assert from 'node:assert/strict';
import { createCourse, isEnrolled, updateCourse } from '#domain/learning/index.ts';
import {
  createService,
  fulfilmentsOf,
  getOrder,
  type LineRequest,
  listOrders,
  listServices,
  type Money,
  placeOrder,
  pricesOf,
  setPrice,
  settleOrder,
  updateService,
} from '#domain/sales/index.ts';
import { actorOf, type PersonPrincipal } from '#domain/tenancy/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

const usd = (amount: number): Money => ({ amount, currency: 'USD' });

describe('services, prices, orders', () => {
  let database: TestDatabase;
  let factory: Factory;
  let school: School;
  let other: School;
  let student: PersonPrincipal;
  const actor = { kind: 'person', id: 'usr_teacher' } as const;
  const within = <T>(fn: (tx: TenantTx) => Promise<T>, where = school) => factory.db.withTenantTx(where.id, fn);

  before(async () => {
    database = await createTestDatabase();
    factory = createFactory(database);
    [school, other] = [await factory.school(), await factory.school()];
    student = await factory.member(school);
  });
  after(() => database.close());

  const course = (price: Money | null = usd(4900), status: 'draft' | 'published' = 'published', where = school) =>
    within(async (tx) => {
      const made = await createCourse(tx, { title: 'A course', status, actor });
      if (price !== null) await setPrice(tx, { kind: 'course', itemId: made.id, price, actor });
      return made.id;
    }, where);
  const service = (price: Money | null = usd(2500), status: 'draft' | 'published' = 'published') =>
    within(async (tx) => {
      const made = await createService(tx, { title: 'An hour', durationMinutes: 60, status, actor });
      if (price !== null) await setPrice(tx, { kind: 'service', itemId: made.id, price, actor });
      return made.id;
    });
  const order = (lines: readonly LineRequest[], who = student, where = school) =>
    within((tx) => placeOrder(tx, { buyer: buyerOf(who), lines, actor: actorOf(who) }), where);
  const buyerOf = ({ personId, email, name }: PersonPrincipal) => ({ personId, email, name });
  const courseLine = (id: string): LineRequest => ({ kind: 'course', id, quantity: 1 });
  const rows = (table: string, orderId: string) =>
    database.asSuperuser(`select * from app.${table} where order_id = $1`, [orderId]);

  it('copies the price at order time: a later price changes new orders only', async () => {
    const [id, hour] = [await course(), await service()];
    const placed = await order([courseLine(id), { kind: 'service', id: hour, quantity: 2 }]);
    assert.equal(placed.status, 'pending');
    assert.deepEqual(placed.total, usd(9900));
    await within((tx) => setPrice(tx, { kind: 'course', itemId: id, price: usd(100), actor }));
    const again = await within((tx) => getOrder(tx, { orderId: placed.id, personId: student.personId }));
    assert.deepEqual(again, placed);
    assert.deepEqual((await order([courseLine(id)])).total, usd(100));
    assert.deepEqual([...(await within((tx) => pricesOf(tx, 'course', [id])))], [[id, usd(100)]]);
    const [{ count } = { count: 0 }] = await database.asSuperuser<{ count: string }>(
      'select count(*) from app.prices where item_id = $1',
      [id],
    );
    assert.equal(Number(count), 2);
  });

  it('refuses drafts, unpriced, unknown items and those of another school with the same answer', async () => {
    const ids = [
      await course(usd(1), 'draft'),
      await course(null),
      newId('crs'),
      await course(usd(1), 'published', other),
      'no id at all',
    ];
    const refusals = [];
    for (const id of ids) {
      const error = await order([courseLine(id)]).then(
        () => assert.fail(`${id} was sold`),
        (refused) => refused,
      );
      refusals.push(JSON.stringify([error.kind, error.code, error.detail, error.extra]));
    }
    assert.equal(new Set(refusals).size, 1);
    assert.match(refusals[0] ?? '', /item_not_available/);
    await assert.rejects(
      order([{ kind: 'service', id: await service(usd(1), 'draft'), quantity: 1 }]),
      refusal('item_not_available'),
    );
  });

  it('audits every price: what an item cost, since when, and who said so', async () => {
    const id = await course();
    await within((tx) => setPrice(tx, { kind: 'course', itemId: id, price: usd(1), actor }));
    await within((tx) => setPrice(tx, { kind: 'course', itemId: id, price: null, actor }));
    const audited = await database.asSuperuser(
      `select actor_id, details->'amount' as amount, details->>'currency' as currency from app.audit_pending
       where action = 'prices.set' and object_id = $1 order by id`,
      [id],
    );
    assert.deepEqual(
      audited.map((row) => [row.actor_id, row.amount, row.currency]),
      [
        [actor.id, 4900, 'USD'],
        [actor.id, 1, 'USD'],
        [actor.id, null, null],
      ],
    );
  });

  it('stops selling what was taken off sale or back to draft', async () => {
    const [a, b] = [await course(), await course()];
    await within((tx) => setPrice(tx, { kind: 'course', itemId: a, price: null, actor }));
    await within((tx) => updateCourse(tx, { id: b, status: 'draft', actor }));
    for (const id of [a, b]) await assert.rejects(order([courseLine(id)]), refusal('item_not_available'));
  });

  it('does not mix currencies', async () => {
    const [a, b] = [await course(usd(1)), await course({ amount: 1, currency: 'EUR' })];
    await assert.rejects(order([courseLine(a), courseLine(b)]), refusal('mixed_currencies'));
  });

  it('hands a free order over at once, without a provider, and once', async () => {
    const id = await course(usd(0));
    const hour = await service({ amount: 0, currency: 'USD' });
    const free = await order([courseLine(id), { kind: 'service', id: hour, quantity: 1 }]);
    assert.equal(free.status, 'paid');
    assert.ok(free.paidAt);
    assert.equal(await within((tx) => isEnrolled(tx, id, student.personId)), true);
    const fulfilments = await within((tx) => fulfilmentsOf(tx, free.id));
    assert.deepEqual(fulfilments.map((f) => f.kind).sort(), ['course', 'service']);
    const settleAgain = () => within((tx) => settleOrder(tx, { orderId: free.id, status: 'paid', actor }));
    for (const result of await Promise.all([1, 2, 3].map(settleAgain))) assert.equal(result.changed, false);
    assert.equal((await rows('fulfilments', free.id)).length, 2);
    assert.equal((await rows('payments', free.id)).length, 0);
    await assert.rejects(order([courseLine(id)]), refusal('already_enrolled'));
  });

  it('belongs to who placed it', async () => {
    const placed = await order([courseLine(await course())]);
    const classmate = await factory.member(school);
    const read = (personId: string | undefined, where = school) =>
      within((tx) => getOrder(tx, { orderId: placed.id, personId }), where);
    assert.equal((await read(undefined)).id, placed.id);
    await assert.rejects(read(classmate.personId), refusal('not_found'));
    await assert.rejects(read(undefined, other), refusal('not_found'));
    const page = { before: undefined, limit: 100 };
    const theirs = await within((tx) => listOrders(tx, { personId: classmate.personId, ...page }));
    assert.deepEqual(theirs, []);
    const all = await within((tx) => listOrders(tx, { personId: undefined, ...page }));
    assert.ok(all.some(({ id }) => id === placed.id));
    const paid = await within((tx) => listOrders(tx, { personId: undefined, status: 'paid', ...page }));
    assert.ok(paid.every(({ status }) => status === 'paid'));
  });

  it('is paid once, whoever says so at once', async () => {
    const placed = await order([courseLine(await course()), { kind: 'service', id: await service(), quantity: 3 }]);
    const settle = () => within((tx) => settleOrder(tx, { orderId: placed.id, status: 'paid', actor }));
    const results = await Promise.all(Array.from({ length: 8 }, settle));
    assert.equal(results.filter(({ changed }) => changed).length, 1);
    assert.equal((await rows('fulfilments', placed.id)).length, 2);
    const mails = await database.asSuperuser('select 1 from app.notification_deliveries where dedupe_key = $1', [
      `orders.receipt:${placed.id}`,
    ]);
    assert.equal(mails.length, 1);
  });

  it('never becomes unpaid again', async () => {
    const placed = await order([courseLine(await course())]);
    await within((tx) => settleOrder(tx, { orderId: placed.id, status: 'paid', actor }));
    for (const status of ['pending', 'failed', 'expired'] as const) {
      await assert.rejects(
        within((tx) => settleOrder(tx, { orderId: placed.id, status, actor })),
        refusal('order_transition'),
      );
      await assert.rejects(
        database.asSuperuser('update app.orders set status = $2, paid_at = null where id = $1', [placed.id, 'paid']),
        /check constraint/,
      );
    }
  });

  it('is paid although its buyer has an address that no mail can carry', async () => {
    const strange = { ...student, personId: newId('usr'), email: 'not an address', name: 'A\u0007B' };
    const placed = await order([courseLine(await course())], strange);
    const { order: settled } = await within((tx) => settleOrder(tx, { orderId: placed.id, status: 'paid', actor }));
    assert.equal(settled.status, 'paid');
    const odd = { ...student, personId: newId('usr'), name: 'A\u0007\u2028B "x" <y>' };
    const second = await order([courseLine(await course())], odd);
    await within((tx) => settleOrder(tx, { orderId: second.id, status: 'paid', actor }));
  });

  it('lists services: drafts for staff only', async () => {
    const draft = await service(usd(1), 'draft');
    const list = (staff: boolean) => within((tx) => listServices(tx, { staff, before: undefined, limit: 200 }));
    assert.ok((await list(true)).some(({ id }) => id === draft));
    assert.ok((await list(false)).every(({ status }) => status === 'published'));
    const changed = await within((tx) =>
      updateService(tx, { id: draft, durationMinutes: 90, status: 'published', actor }),
    );
    assert.deepEqual([changed.duration_minutes, changed.status, changed.title], [90, 'published', 'An hour']);
    await assert.rejects(
      within((tx) => updateService(tx, { id: draft, title: 'x', actor }), other),
      refusal('not_found'),
    );
  });
});
