import assert from 'node:assert/strict';
import { type Any, courseSession, type Rig, startRig, WEBHOOK_SECRET } from './start-sandbox.ts';

describe('sandbox: the journey through stripe-node', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.stop());

  const post = (path: string, form: Record<string, string>) =>
    fetch(`${rig.url}${path}`, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual' });

  it('sells a course: session, page, form post, signed webhooks in order, charge with a receipt', async () => {
    const session = await rig.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'journey-1' });
    assert.equal(session.object, 'checkout.session');
    assert.equal(session.amount_total, 4900);
    assert.equal(session.status, 'open');
    assert.equal(session.payment_status, 'unpaid');
    assert.equal(session.livemode, false);
    assert.equal(session.client_secret, null);
    assert.equal(session.url, `${rig.url}/c/pay/${session.id}`);
    assert.deepEqual(session.payment_method_types, ['card', 'klarna', 'paypal']);
    assert.equal(session.expires_at - session.created, 24 * 3600);

    const page = await fetch(String(session.url));
    const text = await page.text();
    assert.equal(page.status, 200);
    assert.match(text, /Khmer for beginners/);
    assert.match(text, /\$49\.00/);
    assert.match(String(page.headers.get('content-security-policy')), /default-src 'none'/);

    const paid = await post(`/c/pay/${session.id}`, {
      method: 'card',
      card_number: '4242 4242 4242 4242',
      email: 'student@example.com',
    });
    assert.equal(paid.status, 303);
    assert.equal(paid.headers.get('location'), `http://127.0.0.1:9/done?session=${session.id}`);
    await rig.idle();
    assert.deepEqual(rig.receiver.types(), [
      'payment_intent.created',
      'payment_intent.succeeded',
      'charge.succeeded',
      'checkout.session.completed',
      'charge.updated',
    ]);
    for (const { body, headers } of rig.receiver.received) {
      const event = rig.stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), WEBHOOK_SECRET);
      assert.equal(event.object, 'event');
      assert.equal(event.pending_webhooks, 1);
    }
    const completed = rig.receiver.received[3]?.event.data.object as Any;
    assert.equal(completed.id, session.id);
    assert.equal(completed.payment_status, 'paid');

    const after = await rig.stripe.checkout.sessions.retrieve(session.id, {
      expand: ['payment_intent.latest_charge', 'line_items'],
    });
    assert.equal(after.status, 'complete');
    assert.equal(after.payment_status, 'paid');
    assert.equal(after.customer_details?.email, 'student@example.com');
    assert.equal(after.line_items?.data[0]?.description, 'Khmer for beginners');
    const intent = after.payment_intent as Any;
    assert.equal(intent.status, 'succeeded');
    assert.deepEqual(intent.metadata, { order_id: 'ord_1' });
    assert.equal(intent.latest_charge.paid, true);
    const receipt = await fetch(intent.latest_charge.receipt_url);
    assert.equal(receipt.status, 200);
  });
});
