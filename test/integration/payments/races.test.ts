import assert from 'node:assert/strict';
import { GatewayError } from '#domain/payments/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { refusal } from '../../support/refusals.ts';
import { until } from '../../support/until.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Purchase, type Rig, sessionObject } from './rig.ts';

describe('payments under races', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway();
    rig = await createRig(gateway, { waitMs: 300 });
  });
  after(() => rig.close());

  const first = async (table: string, purchase: Purchase) => (await rig.rows(table, purchase.school))[0];

  it('writes nothing that was seen before somebody else wrote: it looks again', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    const type = 'checkout.session.completed';
    await rig.event(school, type, sessionObject(sessionId));

    const handler = rig.handlers.get(type) ?? assert.fail();
    const event = {
      ...{ id: 'evt_slow', provider: 'stripe', account: '', eventId: 'evt_slow', type, livemode: false },
      ...{ receivedAt: new Date(), tenantId: school.id, attempt: 1 },
      payload: { data: { object: sessionObject(sessionId) } },
    };
    const withTenantTx = <T>(fn: (tx: TenantTx) => Promise<T>) => rig.worker.withTenantTx(school.id, fn);
    gateway.change(sessionId, { refunded: 100 });
    const stale = await handler.prepare(event, { signal: new AbortController().signal, withTenantTx });
    gateway.change(sessionId, { refunded: 900 });
    await rig.event(school, 'charge.refunded', { id: 'ch', object: 'charge', payment_intent: `pi_${sessionId}` });

    assert.equal(await withTenantTx((tx) => handler.apply(tx, event, stale)), 'refetch');
    assert.equal(Number((await first('payments', purchase))?.refunded), 900);
    const fresh = await handler.prepare(event, { signal: new AbortController().signal, withTenantTx });
    assert.equal(await withTenantTx((tx) => handler.apply(tx, event, fresh)), 'done');
    assert.equal(Number((await first('payments', purchase))?.refunded), 900);
  });

  it('lets a caller who lost its lease end nothing', async () => {
    const purchase = await rig.purchase();
    const { createSession } = gateway;
    const late = Promise.withResolvers<never>();
    let called = 0;
    gateway.createSession = () => {
      called += 1;
      return late.promise;
    };
    const slow = rig.session(purchase);
    slow.catch(() => {});
    await until(() => called === 1);
    gateway.createSession = createSession;
    await assert.rejects(rig.session(purchase), refusal('payment_in_progress'));
    await rig.database.asSuperuser(
      `update app.payment_attempts set lease_until = now() - interval '1 second' where tenant_id = $1`,
      [purchase.school.id],
    );
    const session = await rig.session(purchase);
    late.reject(new GatewayError('refused', 'too_late'));
    await assert.rejects(slow, refusal('provider_refused'));
    assert.equal((await first('payment_attempts', purchase))?.state, 'open');
    assert.deepEqual(await rig.session(purchase), session);
  });

  it('does not call the provider twice about one attempt at a time', async () => {
    const purchase = await rig.purchase();
    const open = Promise.withResolvers<void>();
    gateway.slow(open.promise);
    let givenUp = 0;
    const callers = Array.from({ length: 6 }, () =>
      rig.session(purchase).catch((error) => {
        refusal('payment_in_progress')(error);
        givenUp += 1;
      }),
    );
    // Who waits gives up after a while; who called goes on.
    await until(() => givenUp === 5);
    open.resolve();
    const [session] = (await Promise.all(callers)).filter((result) => result !== undefined);
    assert.deepEqual(await rig.session(purchase), session);
    assert.equal(gateway.mostAtOnce(), 1);
  });

  it('refunds money that came twice once, by three workers at once', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    await rig.event(school, 'checkout.session.completed', sessionObject(sessionId));
    gateway.payAgain(sessionId);
    await rig.event(school, 'checkout.session.completed', sessionObject(sessionId));
    const payload = { tenant_id: school.id, refund_id: String((await first('refunds', purchase))?.id) };
    await Promise.all([1, 2, 3].map(() => rig.workerPayments.refundDuplicate(payload)));
    assert.equal(gateway.sessions.get(sessionId)?.refunds.size, 1);
    const audited = (await rig.rows('audit_pending', school)).filter((a) => a.action === 'payments.refund_duplicate');
    assert.equal(audited.length, 1);
    assert.equal(Number((await first('payments', purchase))?.refunded), 4900);
  });

  it('does not offer to pay for what the buyer has got by another order', async () => {
    const purchase = await rig.purchase();
    const { school, student, course } = purchase;
    const other = { ...purchase, order: await rig.order(school, student, course.id) };
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    await rig.event(school, 'checkout.session.completed', sessionObject(sessionId));
    await assert.rejects(rig.session(other), refusal('already_enrolled'));
    assert.equal((await rig.cancel(other)).status, 'expired');
  });

  it('cancels or pays, never both, when both happen at once', async () => {
    for (let i = 0; i < 5; i += 1) {
      const purchase = await rig.purchase();
      const { sessionId } = await rig.session(purchase);
      const paying = (async () => {
        if (gateway.sessions.get(sessionId)?.observation.status !== 'open') return;
        gateway.pay(sessionId);
        await rig.event(purchase.school, 'checkout.session.completed', sessionObject(sessionId));
      })();
      const [canceled] = await Promise.allSettled([rig.cancel(purchase), paying]);
      const order = await first('orders', purchase);
      const paid = gateway.sessions.get(sessionId)?.observation.money === 'paid';
      assert.equal(order?.status, paid ? 'paid' : 'expired');
      assert.equal(canceled.status === 'fulfilled', !paid);
    }
  });
});
