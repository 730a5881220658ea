import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Observation } from '#domain/payments/index.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { createRig, type Purchase, type Rig, sessionObject } from './rig.ts';

describe('money that arrives', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway();
    rig = await createRig(gateway);
  });
  after(() => rig.close());

  const completed = (purchase: Purchase, sessionId: string, overrides = {}) =>
    rig.event(purchase.school, 'checkout.session.completed', sessionObject(sessionId), overrides);
  const first = async (table: string, purchase: Purchase) => (await rig.rows(table, purchase.school))[0];

  const mismatches: [string, Partial<Observation>][] = [
    ['amount', { amount: 4800 }],
    ['captured', { captured: 100 }],
    ['currency', { currency: 'EUR' }],
    ['livemode', { livemode: true }],
    ['account', { account: 'acct_other' }],
    ['order', { orderId: 'ord_other' }],
    ['attempt', { attemptId: 'att_other' }],
    ['session', { sessionId: 'cs_other' }],
  ];
  for (const [field, overrides] of mismatches) {
    it(`with a wrong ${field} is stored, alerted, and never fulfilled`, async () => {
      const purchase = await rig.purchase();
      const { sessionId } = await rig.session(purchase);
      const alerts = await rig.metric('klar_payments_incidents_total');
      gateway.pay(sessionId, overrides);
      for (let i = 0; i < 3; i += 1) await completed(purchase, sessionId);
      assert.equal((await first('orders', purchase))?.status, 'pending');
      assert.equal((await first('payments', purchase))?.state, 'unknown');
      assert.equal((await first('payment_attempts', purchase))?.state, 'held');
      assert.deepEqual(await rig.rows('fulfilments', purchase.school), []);
      assert.deepEqual(await rig.rows('enrollments', purchase.school), []);
      const incidents = await rig.rows('payment_incidents', purchase.school);
      assert.equal(incidents.length, 1);
      assert.equal(incidents[0]?.kind, 'mismatch');
      assert.deepEqual(incidents[0]?.details, { ...Object(incidents[0]?.details), fields: [field] });
      assert.equal(await rig.metric('klar_payments_incidents_total'), alerts + 1);
      const audited = (await rig.rows('audit_pending', purchase.school)).filter(
        (a) => a.action === 'payments.mismatch',
      );
      assert.equal(audited.length, 1);
      await assert.rejects(rig.session(purchase), /payment_under_review/);
    });
  }

  it('has its alert counters at zero before anything happens: an increase from nothing is seen by nobody', async () => {
    const { metrics } = rig;
    const values = (await metrics.registry.getSingleMetric('klar_payments_incidents_total')?.get())?.values ?? [];
    const kinds = values.map(({ labels }) => labels.kind);
    assert.deepEqual(kinds.sort(), ['already_had', 'duplicate_money', 'mismatch', 'refund_failed']);
  });

  it('by an event of the other mode is listed, and decides nothing', async () => {
    const purchase = await rig.purchase();
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    gateway.calls.length = 0;
    await completed(purchase, sessionId, { livemode: true });
    assert.deepEqual(gateway.calls, []);
    assert.equal((await first('orders', purchase))?.status, 'pending');
    assert.equal((await first('payment_incidents', purchase))?.kind, 'mismatch');
    await completed(purchase, sessionId);
    assert.equal((await first('orders', purchase))?.status, 'paid');
  });

  /** Two sessions of one order that can both be paid: the first is paid after it was confirmed closed. */
  async function payTwice(): Promise<{ purchase: Purchase; ids: string[] }> {
    const purchase = await rig.purchase();
    const { sessionId: a } = await rig.session(purchase);
    const { sessionId: b } = await rig.session(purchase, 'form');
    gateway.pay(a);
    gateway.pay(b);
    return { purchase, ids: [a, b] };
  }

  it('twice is recorded, listed, and refunded once', async () => {
    const { purchase, ids } = await payTwice();
    const { school } = purchase;
    await Promise.all([...ids, ...ids, ...ids].map((id) => completed(purchase, id)));
    assert.equal((await first('orders', purchase))?.status, 'paid');
    assert.equal(Number((await first('payments', purchase))?.captured), 9800);
    assert.equal((await rig.rows('refunds', school)).length, 1);
    assert.equal((await first('payment_incidents', purchase))?.kind, 'duplicate_money');
    assert.equal(await rig.jobs('payments.refund_duplicate'), 1);

    const refunds = [...gateway.sessions.values()].flatMap((s) =>
      ids.includes(s.observation.sessionId) ? [...s.refunds] : [],
    );
    assert.equal(refunds.length, 1);
    const payment = await first('payments', purchase);
    assert.equal(payment?.state, 'paid');
    assert.equal(Number(payment?.refunded), 4900);
    assert.equal((await first('refunds', purchase))?.state, 'succeeded');
    assert.equal((await first('enrollments', purchase))?.status, 'active');
    assert.equal((await rig.rows('fulfilments', school)).length, 1);
    const mails = (await rig.rows('notification_deliveries', school)).map((mail) => mail.template);
    assert.deepEqual(mails.sort(), ['orders.receipt', 'payments.duplicate_refunded']);
    // The provider tells of the refund, too, and the job may run again.
    for (const id of ids) {
      await rig.event(school, 'charge.refunded', { id: `ch_${id}`, object: 'charge', payment_intent: `pi_${id}` });
    }
    await rig.workerPayments.refundDuplicate({
      tenant_id: school.id,
      refund_id: String((await first('refunds', purchase))?.id),
    });
    assert.equal((await first('orders', purchase))?.status, 'paid');
    assert.equal(Number((await first('payments', purchase))?.refunded), 4900);
    assert.equal((await rig.rows('payment_incidents', school)).length, 1);
  });

  it('twice through one session is recorded, listed, and refunded once', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    await completed(purchase, sessionId);
    gateway.payAgain(sessionId);
    await Promise.all([1, 2, 3].map(() => completed(purchase, sessionId)));
    assert.equal(Number((await first('payments', purchase))?.captured), 9800);
    assert.equal((await first('payment_incidents', purchase))?.kind, 'duplicate_money');
    assert.equal(await rig.jobs('payments.refund_duplicate'), 1);
    const object = { id: 'ch_again', object: 'charge', payment_intent: `pi_${sessionId}_again` };
    await rig.event(school, 'charge.refunded', object);
    await completed(purchase, sessionId);
    const payment = await first('payments', purchase);
    assert.deepEqual([payment?.state, Number(payment?.captured), Number(payment?.refunded)], ['paid', 9800, 4900]);
    assert.equal(gateway.sessions.get(sessionId)?.observation.refunded, 0);
    assert.equal((await rig.rows('refunds', school)).length, 1);
    assert.equal((await first('orders', purchase))?.status, 'paid');
    assert.equal((await first('enrollments', purchase))?.status, 'active');
  });

  it('twice is refunded once although the answer to the refund is lost', async () => {
    const { purchase, ids } = await payTwice();
    for (const id of ids) await completed(purchase, id);
    const payload = { tenant_id: purchase.school.id, refund_id: String((await first('refunds', purchase))?.id) };
    for (const applied of [false, true]) {
      gateway.fault({ operation: 'refund', outcome: 'unknown', applied });
      await assert.rejects(rig.workerPayments.refundDuplicate(payload), /unknown/);
    }
    await rig.workerPayments.refundDuplicate(payload);
    await rig.jobs('payments.refund_duplicate');
    assert.equal(Number((await first('payments', purchase))?.refunded), 4900);
    const given = [...gateway.sessions.values()].filter((s) => ids.includes(s.observation.sessionId));
    assert.deepEqual(given.map((s) => s.refunds.size).sort(), [0, 1]);
  });

  it('twice and cannot be refunded is listed for a person', async () => {
    const { purchase, ids } = await payTwice();
    for (const id of ids) await completed(purchase, id);
    gateway.fault({ operation: 'refund', outcome: 'refused', code: 'insufficient_funds' });
    await rig.jobs('payments.refund_duplicate');
    assert.equal((await first('refunds', purchase))?.state, 'failed');
    const kinds = (await rig.rows('payment_incidents', purchase.school)).map((incident) => incident.kind);
    assert.deepEqual(kinds.sort(), ['duplicate_money', 'refund_failed']);
  });

  for (const end of ['succeeded', 'failed'] as const) {
    it(`twice is followed to the end of its refund, which ${end} days later`, async () => {
      const { purchase, ids } = await payTwice();
      const { school } = purchase;
      gateway.refundsAre('pending');
      for (const id of ids) await completed(purchase, id);
      await rig.jobs('payments.refund_duplicate');
      gateway.refundsAre('succeeded');
      assert.equal((await first('refunds', purchase))?.state, 'pending');

      const id = ids.find((one) => gateway.sessions.get(one)?.refunds.size === 1) ?? assert.fail();
      const about = { id: 're', object: 'refund', charge: `ch_${id}`, payment_intent: `pi_${id}` };
      // A provider may take back what it said: a refund that has succeeded can fail afterwards.
      for (const state of end === 'failed' ? (['succeeded', 'failed'] as const) : (['succeeded'] as const)) {
        gateway.endRefund(id, state);
        await rig.event(school, 'refund.updated', about);
        if (state === 'failed') await rig.event(school, 'refund.failed', about);
        await rig.jobs('payments.refund_duplicate');
        assert.equal((await first('refunds', purchase))?.state, state);
      }
      const kinds = (await rig.rows('payment_incidents', school)).map((incident) => incident.kind);
      assert.deepEqual(kinds.sort(), end === 'failed' ? ['duplicate_money', 'refund_failed'] : ['duplicate_money']);
      assert.equal(Number((await first('payments', purchase))?.refunded), end === 'failed' ? 0 : 4900);
      assert.equal((await first('orders', purchase))?.status, 'paid');
      // Told again, nothing more happens: no audit row, no second refund; a refused question undoes nothing.
      if (end === 'succeeded') {
        await rig.event(school, 'refund.updated', about);
        gateway.fault({ operation: 'refund', outcome: 'refused', code: 'resource_missing' });
        await assert.rejects(rig.jobs('payments.refund_duplicate'), /resource_missing/);
        assert.equal((await first('refunds', purchase))?.state, 'succeeded');
      }
      const audited = async () =>
        (await rig.rows('audit_pending', school)).filter((a) => a.action === 'payments.refund_duplicate').length;
      const before = await audited();
      await rig.event(school, 'refund.updated', about);
      await rig.jobs('payments.refund_duplicate');
      assert.equal(await audited(), before);
      assert.equal(gateway.sessions.get(id)?.refunds.size, 1);
    });
  }

  it('late, while another page is open, closes that page', async () => {
    const purchase = await rig.purchase();
    const { sessionId: a } = await rig.session(purchase);
    const { sessionId: b } = await rig.session(purchase, 'form');
    gateway.pay(a);
    await completed(purchase, a);
    await rig.jobs('payments.resolve_attempt');
    assert.equal(gateway.sessions.get(b)?.observation.status, 'expired');
    assert.deepEqual(
      (await rig.rows('payment_attempts', purchase.school)).map((row) => row.state),
      ['paid', 'void'],
    );
    await rig.event(purchase.school, 'checkout.session.expired', sessionObject(b));
    assert.equal((await first('orders', purchase))?.status, 'paid');
  });

  it('for a course that was got by another order meanwhile is listed', async () => {
    const purchase = await rig.purchase();
    const { school, student, course } = purchase;
    const other = { ...purchase, order: await rig.order(school, student, course.id) };
    const { sessionId: a } = await rig.session(purchase);
    const { sessionId: b } = await rig.session(other);
    gateway.pay(a);
    gateway.pay(b);
    await completed(purchase, a);
    await completed(purchase, b);
    assert.equal((await rig.rows('enrollments', school)).length, 1);
    assert.deepEqual(
      (await rig.rows('orders', school)).map((row) => row.status),
      ['paid', 'paid'],
    );
    assert.equal((await first('payment_incidents', purchase))?.kind, 'already_had');
    // One of the two is given back, whichever: the other one holds.
    gateway.change(a, { refunded: 4900 });
    await completed(purchase, a);
    const [enrollment] = await rig.rows('enrollments', school);
    assert.deepEqual([enrollment?.status, enrollment?.source_id], ['active', other.order.id]);
    gateway.change(b, { refunded: 4900 });
    await completed(purchase, b);
    assert.equal((await first('enrollments', purchase))?.status, 'revoked');
  });

  it('ends in the same state whatever the order and number of its events, 50 times in parallel too', async () => {
    const types = [
      'checkout.session.completed',
      'checkout.session.async_payment_succeeded',
      'checkout.session.async_payment_failed',
      'checkout.session.expired',
      'payment_intent.payment_failed',
      'charge.refunded',
      'refund.updated',
    ];
    const histories = fc.record({
      refunded: fc.constantFrom(0, 900, 4900),
      events: fc.array(fc.constantFrom(...types), { minLength: 1, maxLength: 8 }),
      parallel: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(histories, async ({ refunded, events, parallel }) => {
        const purchase = await rig.purchase();
        const { school } = purchase;
        const { sessionId } = await rig.session(purchase);
        gateway.pay(sessionId, { refunded });
        const deliver = (type: string) => {
          const session = type.startsWith('checkout.');
          const intent = { payment_intent: `pi_${sessionId}` };
          const object = session ? sessionObject(sessionId) : { id: `x_${type}`, object: 'charge', ...intent };
          return rig.event(school, type, object);
        };
        // Only a session's event finds the attempt before its payment is known; the inbox holds the others back.
        await completed(purchase, sessionId);
        if (parallel) await Promise.all(events.map(deliver));
        else for (const type of events) await deliver(type);
        const expected = refunded === 0 ? 'paid' : refunded === 4900 ? 'refunded' : 'partially_refunded';
        assert.equal((await first('orders', purchase))?.status, expected);
        assert.equal((await first('payments', purchase))?.state, expected);
        assert.equal((await first('payments', purchase))?.version, 3);
        assert.deepEqual(await rig.rows('payment_incidents', school), []);
        assert.equal((await rig.rows('fulfilments', school)).length, refunded === 4900 ? 0 : 1);
      }),
      { numRuns: 25 },
    );
    const purchase = await rig.purchase();
    const { sessionId } = await rig.session(purchase);
    gateway.pay(sessionId);
    await Promise.all(Array.from({ length: 50 }, () => completed(purchase, sessionId)));
    assert.equal((await rig.rows('fulfilments', purchase.school)).length, 1);
    assert.equal((await rig.rows('notification_deliveries', purchase.school)).length, 1);
    const paid = (await rig.rows('audit_pending', purchase.school)).filter((entry) => entry.action === 'orders.pay');
    assert.equal(paid.length, 1);
  }).timeout(60_000);

  it('is seen as it changes in any order of looking: sums of the payment are those of the provider', async () => {
    const steps = fc.array(
      fc.oneof(
        fc.constant('look' as const),
        fc.constant('pay' as const),
        fc.constant('decline' as const),
        fc.constant('switch' as const),
        fc.constantFrom(0, 900, 4900).map((refunded) => ({ refunded })),
      ),
      { minLength: 3, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const purchase = await rig.purchase();
        const { school } = purchase;
        const ids = new Set<string>();
        let mode: 'hosted_page' | 'form' = 'hosted_page';
        ids.add((await rig.session(purchase)).sessionId);
        const look = async () => {
          for (const id of ids) await completed(purchase, id);
        };
        for (const step of history) {
          const last = [...ids].at(-1) ?? '';
          if (step === 'look') await look();
          else if (step === 'pay') gateway.pay(last);
          else if (step === 'decline') gateway.change(last, { lastError: 'card_declined' });
          else if (step === 'switch') {
            mode = mode === 'form' ? 'hosted_page' : 'form';
            await rig.session(purchase, mode).then(
              (session) => ids.add(session.sessionId),
              (error: Error) => assert.match(error.message, /order_already_paid|already_enrolled/),
            );
          } else {
            const { captured = 0 } = gateway.sessions.get(last)?.observation ?? {};
            gateway.change(last, { refunded: Math.min(step.refunded, captured) });
          }
        }
        await look();
        await rig.jobs('payments.refund_duplicate');
        await rig.jobs('payments.resolve_attempt');
        await look();
        const all = [...ids].map((id) => gateway.sessions.get(id)?.observation);
        const sum = (pick: (o: Observation) => number) => all.reduce((s, o) => s + (o ? pick(o) : 0), 0);
        const payment = await first('payments', purchase);
        assert.equal(
          Number(payment?.captured),
          sum((o) => o.captured),
        );
        assert.equal(
          Number(payment?.refunded),
          sum((o) => o.refunded),
        );
        const kept = Number(payment?.captured) - Number(payment?.refunded);
        const order = await first('orders', purchase);
        if (Number(payment?.captured) > 0) {
          const expected = kept >= 4900 ? 'paid' : kept === 0 ? 'refunded' : 'partially_refunded';
          assert.equal(order?.status, expected);
          const enrollment = (await rig.rows('enrollments', school))[0]?.status ?? 'none';
          assert.equal(enrollment === 'active', kept > 0, `${enrollment} with ${kept} kept`);
        } else assert.equal(order?.status, 'pending');
      }),
      { numRuns: 30 },
    );
  }).timeout(60_000);
});
