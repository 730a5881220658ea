import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { until } from '../../support/until.ts';
import { freshKey, type Provider, refusal, startProvider } from './provider.ts';

/** What Klar's gateway relies on in intents, charges, refunds and events. */
describe('contract: money', () => {
  let provider: Provider;
  let stripe: Stripe;
  before(async () => {
    provider = await startProvider();
    stripe = provider.stripe;
  });
  after(() => provider.stop());

  const params = (extra: Partial<Stripe.PaymentIntentCreateParams> = {}): Stripe.PaymentIntentCreateParams => ({
    amount: 2000,
    currency: 'usd',
    confirm: true,
    payment_method: 'pm_card_visa',
    automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
    metadata: { order_id: 'ord_contract' },
    ...extra,
  });
  const paid = async () => {
    const intent = await stripe.paymentIntents.create({ ...params(), expand: ['latest_charge'] });
    return { intent, charge: intent.latest_charge as Stripe.Charge };
  };

  it('pays: an intent, its charge, a receipt', async () => {
    const { intent, charge } = await paid();
    assert.deepEqual([intent.status, intent.amount_received, intent.livemode], ['succeeded', 2000, false]);
    assert.deepEqual(intent.metadata, { order_id: 'ord_contract' });
    assert.deepEqual(
      [charge.status, charge.paid, charge.captured, charge.refunded, charge.amount_refunded],
      ['succeeded', true, true, false, 0],
    );
    assert.equal(charge.payment_intent, intent.id);
    assert.match(String(charge.receipt_url), /^https?:\/\//);
    assert.deepEqual(
      [charge.payment_method_details?.type, charge.payment_method_details?.card?.last4],
      ['card', '4242'],
    );
  });

  it('says which decline it was', async () => {
    const error = await refusal(stripe.paymentIntents.create(params({ payment_method: 'pm_card_chargeDeclined' })));
    assert.ok(error instanceof Stripe.errors.StripeCardError);
    assert.deepEqual([error.statusCode, error.code, error.decline_code], [402, 'card_declined', 'generic_decline']);
    const intent = await stripe.paymentIntents.retrieve(String(error.payment_intent?.id));
    assert.equal(intent.status, 'requires_payment_method');
    assert.equal(intent.last_payment_error?.code, 'card_declined');
    const charge = await stripe.charges.retrieve(String(intent.latest_charge));
    assert.deepEqual([charge.status, charge.paid, charge.failure_code], ['failed', false, 'card_declined']);
  });

  it('repeats a decline under its key and charges once', async () => {
    const idempotencyKey = freshKey();
    const declined = params({ payment_method: 'pm_card_chargeDeclined' });
    const first = await refusal(stripe.paymentIntents.create(declined, { idempotencyKey }));
    const second = await refusal(stripe.paymentIntents.create(declined, { idempotencyKey }));
    assert.equal(second.payment_intent?.id, first.payment_intent?.id);
  });

  it('refunds in parts, then the rest, then no more', async () => {
    const { intent, charge } = await paid();
    const part = await stripe.refunds.create({ payment_intent: intent.id, amount: 500, metadata: { order_id: 'x' } });
    assert.deepEqual(
      [part.amount, part.currency, part.charge, part.payment_intent],
      [500, 'usd', charge.id, intent.id],
    );
    assert.equal(part.status, 'succeeded');
    const rest = await stripe.refunds.create({ charge: charge.id });
    assert.equal(rest.amount, 1500);
    const after = await stripe.charges.retrieve(charge.id);
    assert.deepEqual([after.refunded, after.amount_refunded], [true, 2000]);
    const again = await refusal(stripe.refunds.create({ charge: charge.id }));
    assert.deepEqual([again.statusCode, again.code], [400, 'charge_already_refunded']);
    const { data } = await stripe.refunds.list({ charge: charge.id });
    assert.deepEqual(
      data.map(({ id }) => id),
      [rest.id, part.id],
    );
  });

  it('refuses to refund more than is left', async () => {
    const { charge } = await paid();
    const error = await refusal(stripe.refunds.create({ charge: charge.id, amount: 2001 }));
    assert.deepEqual([error.statusCode, error.rawType], [400, 'invalid_request_error']);
  });

  it('refunds once under one key', async () => {
    const { charge } = await paid();
    const idempotencyKey = freshKey();
    const once = () => stripe.refunds.create({ charge: charge.id, amount: 700 }, { idempotencyKey });
    assert.equal((await once()).id, (await once()).id);
    assert.equal((await stripe.charges.retrieve(charge.id)).amount_refunded, 700);
  });

  it('lists events of what happened, with the object as it was', async () => {
    const since = Math.floor(Date.now() / 1000) - 5;
    const { intent } = await paid();
    const event = await until(
      async () => {
        const { data } = await stripe.events.list({ type: 'payment_intent.succeeded', created: { gte: since } });
        return data.find(({ data: { object } }) => (object as { id?: string }).id === intent.id);
      },
      { timeoutMs: 15_000, everyMs: 200 },
    );
    assert.equal(event.object, 'event');
    assert.equal(event.livemode, false);
    assert.equal((await stripe.events.retrieve(event.id)).id, event.id);
  });

  it('pages to the end without a gap', async () => {
    const { charge } = await paid();
    const made: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      made.unshift((await stripe.refunds.create({ charge: charge.id, amount: 100 })).id);
    }
    const all = await stripe.refunds.list({ charge: charge.id, limit: 1 }).autoPagingToArray({ limit: 10 });
    assert.deepEqual(
      all.map(({ id }) => id),
      made,
    );
  });

  it('makes and removes a webhook endpoint, telling its secret once', async () => {
    const made = await stripe.webhookEndpoints.create({
      url: 'https://example.com/klar-contract',
      enabled_events: ['checkout.session.completed'],
      metadata: { by: 'klar contract suite' },
    });
    try {
      assert.match(String(made.secret), /^whsec_/);
      const read = await stripe.webhookEndpoints.retrieve(made.id);
      assert.deepEqual([read.secret, read.status], [undefined, 'enabled']);
    } finally {
      assert.equal((await stripe.webhookEndpoints.del(made.id)).deleted, true);
    }
  });

  it('tells the account and refuses a wrong key', async () => {
    assert.match((await stripe.accounts.retrieveCurrent()).id, /^acct_/);
    const answer = await fetch(`${provider.url}/v1/balance`, { headers: { authorization: 'Bearer sk_test_wrong' } });
    assert.equal(answer.status, 401);
    const { error } = (await answer.json()) as { error: { type: string } };
    assert.equal(error.type, 'invalid_request_error');
    assert.match(String(answer.headers.get('request-id')), /^req_/);
  });
});
