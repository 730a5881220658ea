import assert from 'node:assert/strict';
import { listEnrollments } from '#domain/learning/index.ts';
import { refusal } from '../../support/refusals.ts';
import { type FakeGateway, fakeGateway } from './fake-gateway.ts';
import { action, createRig, type Rig, sessionObject } from './rig.ts';

describe('a purchase', () => {
  let rig: Rig;
  let gateway: FakeGateway;
  before(async () => {
    gateway = fakeGateway();
    rig = await createRig(gateway);
  });
  after(() => rig.close());

  it('goes from order to enrollment in the transaction that records the money', async () => {
    const purchase = await rig.purchase();
    const { school, student, course, order } = purchase;
    assert.equal(order.status, 'pending');
    const session = await rig.session(purchase);
    assert.equal(session.url, `https://pay.test/${session.sessionId}`);
    assert.deepEqual(await rig.rows('enrollments', school), []);

    gateway.pay(session.sessionId);
    await rig.event(school, 'checkout.session.completed', sessionObject(session.sessionId));

    const [row] = await rig.rows('orders', school);
    assert.equal(row?.status, 'paid');
    assert.ok(row?.paid_at);
    const [payment] = await rig.rows('payments', school);
    assert.equal(payment?.state, 'paid');
    assert.equal(Number(payment?.captured), 4900);
    const [attempt] = await rig.rows('payment_attempts', school);
    assert.equal(attempt?.state, 'paid');
    assert.equal(attempt?.method_brand, 'visa');
    assert.equal(attempt?.method_last4, '4242');
    assert.equal(attempt?.receipt_url, `https://pay.test/receipts/${session.sessionId}`);
    assert.equal(attempt?.client_secret, null);
    assert.equal(payment?.paid_attempt_id, attempt?.id);
    const [fulfilment] = await rig.rows('fulfilments', school);
    const page = { personId: student.personId, before: undefined, limit: 10 };
    const [enrollment] = await rig.api.withTenantTx(school.id, (tx) => listEnrollments(tx, page));
    assert.equal(enrollment?.course_id, course.id);
    assert.equal(enrollment?.source_id, order.id);
    assert.equal(fulfilment?.object_id, enrollment?.id);
    const mails = (await rig.rows('notification_deliveries', school)).filter((m) => m.template === 'orders.receipt');
    assert.equal(mails.length, 1);
    assert.equal(mails[0]?.to_email, student.email);
    assert.match(JSON.stringify(mails[0]?.data), /1 x Swedish for the curious: 49\.00 USD/);
    const mapped = await rig.database.asSuperuser(
      'select object_id from routing.provider_objects where tenant_id = $1',
      [school.id],
    );
    assert.equal(mapped.length, 3);
    const audited = (await rig.rows('audit_pending', school)).map((entry) => entry.action);
    for (const action of [
      'orders.place',
      'payments.create_session',
      'payments.record',
      'orders.pay',
      'orders.fulfil',
    ]) {
      assert.ok(audited.includes(action), action);
    }
    assert.ok(audited.includes('enrollments.grant'));
  });

  it('hands the open session out again, and no second one is made', async () => {
    const purchase = await rig.purchase();
    const first = await rig.session(purchase);
    const again = await rig.session(purchase);
    assert.deepEqual(again, first);
    assert.equal((await rig.rows('payment_attempts', purchase.school)).length, 1);
  });

  it('closes the session at the provider before another is made to be shown differently', async () => {
    const purchase = await rig.purchase();
    const hosted = await rig.session(purchase);
    gateway.calls.length = 0;
    const elements = await rig.session(purchase, 'elements');
    assert.deepEqual(gateway.calls, ['expire', 'create']);
    assert.equal(elements.clientSecret, `${elements.sessionId}_secret`);
    assert.equal(gateway.sessions.get(hosted.sessionId)?.observation.status, 'expired');
    // The event about the old session changes nothing for the order.
    await rig.event(purchase.school, 'checkout.session.expired', sessionObject(hosted.sessionId));
    assert.equal((await rig.rows('orders', purchase.school))[0]?.status, 'pending');
    assert.deepEqual(
      (await rig.rows('payment_attempts', purchase.school)).map((row) => row.state),
      ['void', 'open'],
    );
  });

  it('makes no other session when the one to be closed turns out to be paid', async () => {
    const purchase = await rig.purchase();
    const hosted = await rig.session(purchase);
    gateway.pay(hosted.sessionId);
    await assert.rejects(rig.session(purchase, 'form'), refusal('order_already_paid'));
    assert.equal((await rig.rows('orders', purchase.school))[0]?.status, 'paid');
    assert.equal((await rig.rows('payment_attempts', purchase.school)).length, 1);
    await rig.event(purchase.school, 'checkout.session.completed', sessionObject(hosted.sessionId));
    assert.equal((await rig.rows('fulfilments', purchase.school)).length, 1);
  });

  it('leads 50 parallel requests to one attempt and one session', async () => {
    const purchase = await rig.purchase();
    const before = gateway.sessions.size;
    const sessions = await Promise.all(Array.from({ length: 50 }, () => rig.session(purchase)));
    assert.equal(new Set(sessions.map((session) => session.sessionId)).size, 1);
    assert.equal(gateway.sessions.size, before + 1);
    assert.equal((await rig.rows('payment_attempts', purchase.school)).length, 1);
  });

  it('never has two open sessions while 30 requests want it shown in different ways', async () => {
    const purchase = await rig.purchase();
    const modes = ['hosted_page', 'embedded_page', 'elements', 'form'] as const;
    const wanted = Array.from({ length: 30 }, (_, i) => modes[i % 4] ?? 'form');
    const results = await Promise.allSettled(wanted.map((mode) => rig.session(purchase, mode)));
    assert.ok(results.some((result) => result.status === 'fulfilled'));
    for (const result of results) {
      if (result.status === 'rejected') refusal('payment_in_progress')(result.reason);
    }
    const ids = (await rig.rows('payment_attempts', purchase.school)).map((row) => String(row.session_id));
    assert.ok(gateway.open().filter((id) => ids.includes(id)).length <= 1);
  });

  it('keeps the order payable after a decline, and says why', async () => {
    const purchase = await rig.purchase();
    const session = await rig.session(purchase);
    gateway.change(session.sessionId, { lastError: 'insufficient_funds', paymentIntentId: 'pi_declined' });
    await rig.event(purchase.school, 'checkout.session.completed', sessionObject(session.sessionId));
    await rig.event(purchase.school, 'payment_intent.payment_failed', { id: 'pi_declined', object: 'payment_intent' });
    const [attempt] = await rig.rows('payment_attempts', purchase.school);
    assert.equal(attempt?.state, 'open');
    assert.equal(attempt?.last_error, 'insufficient_funds');
    assert.deepEqual(await rig.session(purchase), session);
  });

  it('waits for a delayed method, lets nobody pay twice meanwhile, and can be tried again when it fails', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const session = await rig.session(purchase);
    gateway.change(session.sessionId, { status: 'complete', money: 'processing', paymentIntentId: 'pi_delayed' });
    await rig.event(school, 'checkout.session.completed', sessionObject(session.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'pending');
    await assert.rejects(rig.session(purchase), refusal('payment_pending'));
    await assert.rejects(rig.cancel(purchase), refusal('payment_pending'));
    gateway.change(session.sessionId, { money: 'failed' });
    await rig.event(school, 'checkout.session.async_payment_failed', sessionObject(session.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'failed');
    const second = await rig.session(purchase);
    assert.notEqual(second.sessionId, session.sessionId);
    assert.equal((await rig.rows('orders', school))[0]?.status, 'pending');
    gateway.pay(second.sessionId);
    await rig.event(school, 'checkout.session.async_payment_succeeded', sessionObject(second.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'paid');
  });

  it('takes late money after the session was said to have expired', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const session = await rig.session(purchase);
    gateway.change(session.sessionId, { status: 'expired' });
    await rig.event(school, 'checkout.session.expired', sessionObject(session.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'expired');
    await assert.rejects(rig.session(purchase), refusal('order_expired'));
    gateway.pay(session.sessionId);
    await rig.event(school, 'checkout.session.completed', sessionObject(session.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'paid');
    assert.equal((await rig.rows('enrollments', school)).length, 1);
  });

  it('cancels an order once its page is closed, and again without harm', async () => {
    const purchase = await rig.purchase();
    const session = await rig.session(purchase);
    const canceled = await rig.cancel(purchase);
    assert.equal(canceled.status, 'expired');
    assert.ok(canceled.canceledAt);
    assert.equal(gateway.sessions.get(session.sessionId)?.observation.status, 'expired');
    assert.deepEqual(await rig.cancel(purchase), canceled);
    await assert.rejects(rig.session(purchase), refusal('order_expired'));
    const untouched = await rig.purchase();
    assert.equal((await rig.cancel(untouched)).status, 'expired');
  });

  it('does not cancel what was paid meanwhile', async () => {
    const purchase = await rig.purchase();
    const session = await rig.session(purchase);
    gateway.pay(session.sessionId);
    await assert.rejects(rig.cancel(purchase), refusal('order_already_paid'));
    assert.equal((await rig.rows('orders', purchase.school))[0]?.status, 'paid');
  });

  it('is invisible to another person and to another school, in the same words as an unknown order', async () => {
    const mine = await rig.purchase();
    const theirs = await rig.purchase();
    const ask = (school: typeof mine.school, who: typeof mine.student, orderId: string) =>
      rig.payments
        .createCheckout({ ...action(rig.api, school, who, orderId), uiMode: 'hosted_page' })
        .then(() => assert.fail('it was found'))
        .catch((error) => ({ kind: error.kind, code: error.code, detail: error.detail, extra: error.extra }));
    const unknown = await ask(mine.school, mine.student, 'ord_00000000000070008000000000000000');
    assert.equal(unknown.code, 'not_found');
    assert.deepEqual(await ask(mine.school, mine.student, theirs.order.id), unknown);
    const classmate = await rig.factory.member(mine.school);
    assert.deepEqual(await ask(mine.school, classmate, mine.order.id), unknown);
  });

  it('takes the enrollment back on a full refund, keeps it on a partial one', async () => {
    const purchase = await rig.purchase();
    const { school } = purchase;
    const session = await rig.session(purchase);
    gateway.pay(session.sessionId, { refunded: 900 });
    await rig.event(school, 'checkout.session.completed', sessionObject(session.sessionId));
    assert.equal((await rig.rows('orders', school))[0]?.status, 'partially_refunded');
    assert.equal((await rig.rows('enrollments', school))[0]?.status, 'active');
    const charge = { id: `ch_${session.sessionId}`, object: 'charge', payment_intent: `pi_${session.sessionId}` };
    gateway.change(session.sessionId, { refunded: 4900 });
    await rig.event(school, 'charge.refunded', charge);
    assert.equal((await rig.rows('orders', school))[0]?.status, 'refunded');
    assert.equal((await rig.rows('enrollments', school))[0]?.status, 'revoked');
    gateway.change(session.sessionId, { refunded: 0 });
    await rig.event(school, 'refund.failed', {
      id: 're_1',
      object: 'refund',
      payment_intent: `pi_${session.sessionId}`,
    });
    assert.equal((await rig.rows('orders', school))[0]?.status, 'paid');
    assert.equal((await rig.rows('enrollments', school))[0]?.status, 'active');
    assert.equal((await rig.rows('fulfilments', school)).length, 1);
  });
});
