import assert from 'node:assert/strict';
import { refusal } from '../../support/refusals.ts';
import { until } from '../../support/until.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Purchase, type Rig } from './rig.ts';

const HOUR = 60 * 60 * 1000;

describe('a provider whose events never come', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway({ now: () => rig.clock.now() });
    rig = await createRig(gateway, { waitMs: 2_000 });
  });
  after(() => rig.close());

  const states = async (purchase: Purchase) =>
    (await rig.rows('payment_attempts', purchase.school)).map((row) => row.state);
  const status = async (purchase: Purchase) => (await rig.rows('orders', purchase.school))[0]?.status;
  const jobs = () => rig.jobs('payments.resolve_attempt');

  it('is asked itself when a session is over: what was paid is handed over, what was not ends', async () => {
    const [paid, left] = [await rig.purchase(), await rig.purchase()];
    const { sessionId } = await rig.session(paid);
    const { sessionId: unpaid } = await rig.session(left);
    await jobs();
    gateway.pay(sessionId);
    // While a page can still be used its events are on their way: nobody asks.
    gateway.calls.length = 0;
    rig.clock.advance(HOUR);
    assert.equal(await jobs(), 0);
    assert.deepEqual(gateway.calls, []);

    rig.clock.advance(24 * HOUR);
    gateway.change(unpaid, { status: 'expired' });
    assert.equal(await jobs(), 2);
    assert.equal(await status(paid), 'paid');
    assert.equal((await rig.rows('enrollments', paid.school)).length, 1);
    assert.equal(await status(left), 'expired');
    assert.deepEqual([...(await states(paid)), ...(await states(left))], ['paid', 'expired']);
    rig.clock.advance(48 * HOUR);
    assert.equal(await jobs(), 0);
  });

  it('is asked every day how a delayed method ended', async () => {
    const purchase = await rig.purchase();
    const { sessionId } = await rig.session(purchase);
    gateway.change(sessionId, { status: 'complete', money: 'processing' });
    await rig.event(purchase.school, 'checkout.session.completed', { id: sessionId, object: 'checkout.session' });
    await jobs();
    assert.deepEqual(await states(purchase), ['pending']);
    for (let day = 0; day < 3; day += 1) {
      rig.clock.advance(24 * HOUR);
      assert.equal(await jobs(), 1);
      assert.deepEqual(await states(purchase), ['pending']);
    }
    gateway.pay(sessionId);
    rig.clock.advance(24 * HOUR);
    await jobs();
    assert.equal(await status(purchase), 'paid');
    rig.clock.advance(24 * HOUR);
    assert.equal(await jobs(), 0);
  });
});

describe('the resolver', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway({ now: () => rig.clock.now() });
    rig = await createRig(gateway, { waitMs: 2_000 });
  });
  after(() => rig.close());

  const states = async (purchase: Purchase) =>
    (await rig.rows('payment_attempts', purchase.school)).map((row) => row.state);
  const payloadOf = async ({ school, order }: Purchase) => {
    const [attempt] = await rig.rows('payment_attempts', school);
    return { tenant_id: school.id, order_id: order.id, attempt_id: String(attempt?.id) };
  };

  it('leaves alone the page that somebody was given while it ended an earlier one', async () => {
    const purchase = await rig.purchase();
    await rig.session(purchase);
    gateway.fault({ operation: 'expire', outcome: 'unknown' });
    await assert.rejects(rig.session(purchase, 'form'), refusal('payment_unknown'));
    assert.deepEqual(await states(purchase), ['expiring']);

    // The resolver closes the first page slowly; the buyer, who waits for that, is given another.
    const { expireSession } = gateway;
    const closing = Promise.withResolvers<void>();
    let asked = 0;
    gateway.expireSession = async (close, options) => {
      asked += 1;
      await closing.promise;
      return expireSession(close, options);
    };
    const resolving = rig.workerPayments.resolveAttempt(await payloadOf(purchase));
    await until(() => asked === 1);
    const given = rig.session(purchase, 'form');
    // Between the end of the first page and the resolver's next look the buyer is faster.
    const { withTenantTx } = rig.worker;
    let recorded = 0;
    rig.worker.withTenantTx = async (tenantId, fn, options) => {
      const value = await withTenantTx(tenantId, fn, options);
      recorded += 1;
      if (recorded === 1) await given;
      return value;
    };
    closing.resolve();
    try {
      const { sessionId } = await given;
      await resolving;
      assert.equal(gateway.sessions.get(sessionId)?.observation.status, 'open');
    } finally {
      rig.worker.withTenantTx = withTenantTx;
      gateway.expireSession = expireSession;
    }
    assert.deepEqual(await states(purchase), ['void', 'open']);
  });

  it('tries again when a page that must be closed was not', async () => {
    const purchase = await rig.purchase();
    const { sessionId } = await rig.session(purchase);
    gateway.fault({ operation: 'expire', outcome: 'unknown' });
    await assert.rejects(rig.cancel(purchase), refusal('payment_unknown'));
    gateway.fault({ operation: 'expire', outcome: 'refused', code: 'parameter_unknown' });
    await assert.rejects(rig.workerPayments.resolveAttempt(await payloadOf(purchase)), refusal('provider_refused'));
    assert.deepEqual(await states(purchase), ['expiring']);
    await rig.workerPayments.resolveAttempt(await payloadOf(purchase));
    assert.deepEqual(await states(purchase), ['expired']);
    assert.equal(gateway.sessions.get(sessionId)?.observation.status, 'expired');
  });
});
