import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { refusal } from './refusal.ts';
import { type Any, courseSession, type Rig, startRig } from './start-sandbox.ts';

describe('sandbox: the checkout page, used with plain forms', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig({ delayedSettleMs: 50, rateLimitPerSecond: 10_000 });
  });
  after(() => rig.stop());
  beforeEach(async () => {
    await rig.control('POST', '/sandbox/reset');
    rig.receiver.received.length = 0;
  });

  const create = (extra: Any = {}) => rig.stripe.checkout.sessions.create(courseSession(extra));
  const get = (path: string) => fetch(`${rig.url}${path}`, { redirect: 'manual' });
  const post = (path: string, form: Record<string, string>) =>
    fetch(`${rig.url}${path}`, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual' });
  const pay = (id: string, form: Record<string, string>) => post(`/c/pay/${id}`, form);
  const step = (id: string, decision: string) => post(`/c/pay/${id}/step`, { decision });
  const retrieve = (id: string) => rig.stripe.checkout.sessions.retrieve(id, { expand: ['payment_intent'] });
  const done = (id: string) => `http://127.0.0.1:9/done?session=${id}`;
  const CARD = { method: 'card', card_number: '4242424242424242', email: 'a@example.com' };

  it('shows a decline, keeps the session open, and takes the next card on the same intent', async () => {
    const { id } = await create();
    const declined = await pay(id, { ...CARD, card_number: '4000000000000002' });
    assert.deepEqual([declined.status, declined.headers.get('location')], [303, `/c/pay/${id}`]);
    assert.match(await (await get(`/c/pay/${id}`)).text(), /role="alert">Your card was declined\./);
    await rig.idle();
    assert.deepEqual(rig.receiver.types(), [
      'payment_intent.created',
      'payment_intent.payment_failed',
      'charge.failed',
    ]);
    const open = await retrieve(id);
    const intent = open.payment_intent as Any;
    assert.deepEqual([open.status, open.payment_status, intent.status], ['open', 'unpaid', 'requires_payment_method']);
    assert.deepEqual(
      [intent.last_payment_error.code, intent.last_payment_error.decline_code],
      ['card_declined', 'generic_decline'],
    );
    await pay(id, CARD);
    const paid = await retrieve(id);
    assert.deepEqual(
      [paid.status, paid.payment_status, (paid.payment_intent as Any).id],
      ['complete', 'paid', intent.id],
    );
    assert.equal((await rig.stripe.charges.list({ payment_intent: intent.id })).data.length, 2);
  });

  const cards: [string, string, string | null, RegExp][] = [
    ['4000000000009995', 'card_declined', 'insufficient_funds', /insufficient funds/],
    ['4000000000000069', 'expired_card', null, /expired/],
    ['4000000000000127', 'incorrect_cvc', null, /security code/],
    ['4000000000000119', 'processing_error', null, /processing your card/],
    ['4242424242424241', 'incorrect_number', null, /number is incorrect/],
    ['4111111111111111', 'card_declined', 'test_mode_live_card', /non test card/],
    ['', 'incorrect_number', null, /number is incorrect/],
  ];
  for (const [number, code, declineCode, message] of cards) {
    it(`refuses card "${number}" with ${declineCode ?? code}`, async () => {
      const { id } = await create();
      await pay(id, { ...CARD, card_number: number });
      const { last_payment_error } = (await retrieve(id)).payment_intent as Any;
      assert.equal(last_payment_error.code, code);
      assert.equal(last_payment_error.decline_code ?? null, declineCode);
      assert.match(last_payment_error.message, message);
    });
  }

  it('asks for 3-D Secure; passing it pays, failing it keeps the session open', async () => {
    const { id } = await create();
    const asked = await pay(id, { ...CARD, card_number: '4000002500003155' });
    assert.equal(asked.headers.get('location'), `/c/pay/${id}/step`);
    assert.equal(((await retrieve(id)).payment_intent as Any).status, 'requires_action');
    assert.match(await (await get(`/c/pay/${id}/step`)).text(), /3-D Secure/);
    assert.equal((await get(`/c/pay/${id}`)).headers.get('location'), `/c/pay/${id}/step`);
    await step(id, 'refuse');
    const failed = await retrieve(id);
    assert.equal(failed.status, 'open');
    assert.equal((failed.payment_intent as Any).last_payment_error.code, 'payment_intent_authentication_failure');
    await pay(id, { ...CARD, card_number: '4000002500003155' });
    const passed = await step(id, 'approve');
    assert.equal(passed.headers.get('location'), done(id));
    const paid = await retrieve(id);
    assert.equal(paid.payment_status, 'paid');
    const charge = await rig.stripe.charges.retrieve(String((paid.payment_intent as Any).latest_charge));
    assert.equal(charge.payment_method_details?.card?.three_d_secure?.result, 'authenticated');
  });

  it('declines a card after its challenge when the card is that kind', async () => {
    const { id } = await create();
    await pay(id, { ...CARD, card_number: '4000008400001629' });
    await step(id, 'approve');
    const { status, payment_intent } = await retrieve(id);
    assert.deepEqual([status, (payment_intent as Any).last_payment_error.code], ['open', 'card_declined']);
  });

  it('lets Klarna succeed later', async () => {
    const { id } = await create();
    await pay(id, { method: 'klarna', email: 'a@example.com' });
    assert.match(await (await get(`/c/pay/${id}/step`)).text(), /Approve, fails later/);
    const approved = await step(id, 'approve');
    assert.equal(approved.headers.get('location'), done(id));
    const unpaid = await retrieve(id);
    assert.deepEqual([unpaid.status, unpaid.payment_status], ['complete', 'unpaid']);
    assert.equal((unpaid.payment_intent as Any).status, 'processing');
    await until(() => rig.receiver.types().includes('checkout.session.async_payment_succeeded'));
    await rig.idle();
    assert.deepEqual(rig.receiver.types(), [
      'payment_intent.created',
      'payment_intent.requires_action',
      'payment_intent.processing',
      'charge.pending',
      'checkout.session.completed',
      'payment_intent.succeeded',
      'charge.succeeded',
      'checkout.session.async_payment_succeeded',
      'charge.updated',
    ]);
    const completed = rig.receiver.received[4]?.event.data.object as Any;
    assert.equal(completed.payment_status, 'unpaid');
    assert.equal((await retrieve(id)).payment_status, 'paid');
  });

  it('lets Klarna fail later', async () => {
    const { id } = await create();
    await pay(id, { method: 'klarna' });
    await step(id, 'approve_fails_later');
    await until(() => rig.receiver.types().includes('checkout.session.async_payment_failed'));
    assert.deepEqual(rig.receiver.types().slice(-3), [
      'payment_intent.payment_failed',
      'charge.failed',
      'checkout.session.async_payment_failed',
    ]);
    const { status, payment_status, payment_intent } = await retrieve(id);
    assert.deepEqual(
      [status, payment_status, (payment_intent as Any).status],
      ['complete', 'unpaid', 'requires_payment_method'],
    );
  });

  it('lets PayPal pay at once or be canceled', async () => {
    const canceled = await create();
    await pay(canceled.id, { method: 'paypal' });
    assert.equal((await step(canceled.id, 'refuse')).headers.get('location'), `/c/pay/${canceled.id}`);
    assert.equal((await retrieve(canceled.id)).status, 'open');
    await pay(canceled.id, { method: 'paypal' });
    await step(canceled.id, 'approve');
    assert.equal((await retrieve(canceled.id)).payment_status, 'paid');
  });

  it('links back to the shop', async () => {
    const { url } = await create();
    assert.match(await (await fetch(String(url))).text(), /href="http:\/\/127\.0\.0\.1:9\/canceled"/);
  });

  for (const ui_mode of ['embedded_page', 'elements', 'form'] as const) {
    it(`plays ui_mode ${ui_mode}: a client secret, no url, a page all the same`, async () => {
      const session = await create({
        ui_mode,
        success_url: undefined,
        cancel_url: undefined,
        return_url: 'http://127.0.0.1:9/back?s={CHECKOUT_SESSION_ID}',
      });
      assert.equal(session.url, null);
      assert.ok(session.client_secret?.startsWith(`${session.id}_secret_`));
      assert.equal((await get(`/c/pay/${session.client_secret}`)).status, 200);
      const paid = await pay(String(session.client_secret), CARD);
      assert.equal(paid.headers.get('location'), `http://127.0.0.1:9/back?s=${session.id}`);
      assert.equal((await retrieve(session.id)).payment_status, 'paid');
    });
  }

  it('pays once when the form is sent twice at once', async () => {
    const { id } = await create();
    const answers = await Promise.all(Array.from({ length: 10 }, () => pay(id, CARD)));
    assert.ok(answers.every(({ status }) => status === 303));
    await rig.idle();
    assert.equal(rig.receiver.types().filter((type) => type === 'charge.succeeded').length, 1);
    assert.match(await (await get(`/c/pay/${id}`)).text(), /Payment complete/);
  });

  it('completes an order of 0 without a card', async () => {
    const { id } = await create({
      line_items: [{ quantity: 1, price_data: { currency: 'usd', unit_amount: 0, product_data: { name: 'Free' } } }],
    });
    assert.match(await (await get(`/c/pay/${id}`)).text(), /Complete order/);
    await pay(id, {});
    const { status, payment_status, payment_intent } = await retrieve(id);
    assert.deepEqual([status, payment_status, payment_intent], ['complete', 'no_payment_required', null]);
  });

  it('expires a session by command and by time, cancels its intent, and takes no money after that', async () => {
    const commanded = await create();
    await pay(commanded.id, { ...CARD, card_number: '4000000000000002' });
    const expired = await rig.stripe.checkout.sessions.expire(commanded.id);
    assert.deepEqual([expired.status, expired.url], ['expired', null]);
    assert.equal(((await retrieve(commanded.id)).payment_intent as Any).status, 'canceled');
    const again = await refusal(rig.stripe.checkout.sessions.expire(commanded.id));
    assert.equal(again.statusCode, 400);
    await pay(commanded.id, CARD);
    assert.equal((await retrieve(commanded.id)).payment_status, 'unpaid');
    assert.match(await (await get(`/c/pay/${commanded.id}`)).text(), /has expired/);

    const timed = await create({ expires_at: Math.floor(Date.now() / 1000) + 1800 });
    await rig.control('POST', '/sandbox/clock', { advance_s: 1801 });
    assert.equal((await retrieve(timed.id)).status, 'expired');
    await rig.idle();
    assert.equal(rig.receiver.types().filter((type) => type === 'checkout.session.expired').length, 2);
    const paid = await create();
    await pay(paid.id, CARD);
    assert.match((await refusal(rig.stripe.checkout.sessions.expire(paid.id))).message, /status of `complete`/);
  });

  it('escapes what a shop puts into a session and allows no script', async () => {
    const { url } = await create({
      line_items: [
        {
          quantity: 2,
          price_data: { currency: 'jpy', unit_amount: 500, product_data: { name: '<script>alert(1)</script>"\'' } },
        },
      ],
      customer_email: 'x"onfocus="1@example.com',
    });
    const page = await fetch(String(url));
    const text = await page.text();
    assert.equal(text.includes('<script'), false);
    assert.match(text, /&lt;script&gt;/);
    assert.match(text, /value="x&quot;onfocus=&quot;1@example\.com"/);
    assert.match(text, /¥1,000/);
    const policy = String(page.headers.get('content-security-policy'));
    assert.equal(policy.includes('script-src'), false);
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /form-action 'self' http:\/\/127\.0\.0\.1:9/);
    assert.equal(policy.includes('unsafe'), false);
  });

  it('answers a script with the same flows', async () => {
    const declined = await create();
    const decline = await rig.control('POST', `/sandbox/checkout/${declined.id}/pay`, { outcome: 'decline' });
    assert.deepEqual([decline.body.result.status, decline.body.session.status], ['declined', 'open']);
    const paid = await rig.control('POST', `/sandbox/checkout/${declined.id}/pay`, { card: '4000002500003155' });
    assert.deepEqual([paid.body.result.status, paid.body.redirect_to], ['succeeded', done(declined.id)]);
    const klarna = await create();
    const settled = await rig.control('POST', `/sandbox/checkout/${klarna.id}/pay`, { method: 'klarna', settle: true });
    assert.deepEqual([settled.body.result.status, settled.body.session.payment_status], ['processing', 'paid']);
    const wrong = await rig.control('POST', `/sandbox/checkout/${klarna.id}/pay`, { method: 'cash' });
    assert.equal(wrong.status, 400);
    assert.equal((await rig.control('POST', '/sandbox/checkout/cs_test_none/pay', {})).status, 404);
  });

  it('makes money arrive late and twice on command', async () => {
    const late = await create();
    await rig.stripe.checkout.sessions.expire(late.id);
    await rig.control('POST', `/sandbox/double-pay/${late.id}`, {});
    const paidLate = await retrieve(late.id);
    assert.deepEqual([paidLate.status, paidLate.payment_status], ['complete', 'paid']);

    const twice = await create();
    await pay(twice.id, CARD);
    const first = ((await retrieve(twice.id)).payment_intent as Any).id;
    const { body } = await rig.control('POST', `/sandbox/double-pay/${twice.id}`, { as: 'same_session' });
    assert.notEqual(body.payment_intent, first);
    assert.equal((await rig.stripe.paymentIntents.retrieve(body.payment_intent)).metadata.order_id, 'ord_1');
    const second = await rig.control('POST', `/sandbox/double-pay/${twice.id}`, { as: 'new_session' });
    assert.notEqual(second.body.session, twice.id);
    const third = await rig.control('POST', `/sandbox/double-pay/${twice.id}`, { as: 'intent_only' });
    assert.equal((await retrieve(twice.id)).payment_intent !== third.body.payment_intent, true);
    assert.equal(
      (await rig.stripe.paymentIntents.list()).data.filter(({ status }) => status === 'succeeded').length,
      5,
    );
  });

  it('refuses commands from pages of other sites', async () => {
    const { id } = await create();
    const answer = await fetch(`${rig.url}/sandbox/double-pay/${id}`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site' },
    });
    assert.equal(answer.status, 403);
  });
});
