import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { refusal } from './refusal.ts';
import { type Any, courseSession, type Rig, startRig } from './start-sandbox.ts';

describe('sandbox: refunds and disputes', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig({ delayedSettleMs: 30, rateLimitPerSecond: 10_000 });
  });
  after(() => rig.stop());
  beforeEach(() => {
    rig.receiver.received.length = 0;
  });

  /** A paid session; its intent and charge. */
  const paid = async (card = '4242424242424242') => {
    const { id } = await rig.stripe.checkout.sessions.create(courseSession());
    await rig.control('POST', `/sandbox/checkout/${id}/pay`, { card });
    const { payment_intent } = await rig.stripe.checkout.sessions.retrieve(id, { expand: ['payment_intent'] });
    return { intent: (payment_intent as Any).id as string, charge: (payment_intent as Any).latest_charge as string };
  };

  it('refunds all of an intent and says so', async () => {
    const { intent, charge } = await paid();
    const refund = await rig.stripe.refunds.create({ payment_intent: intent, metadata: { why: 'test' } });
    assert.deepEqual(
      [refund.amount, refund.currency, refund.status, refund.charge, refund.metadata?.why],
      [4900, 'usd', 'succeeded', charge, 'test'],
    );
    const after = await rig.stripe.charges.retrieve(charge, { expand: ['refunds', 'balance_transaction'] });
    assert.deepEqual([after.refunded, after.amount_refunded], [true, 4900]);
    assert.equal(after.refunds?.data[0]?.id, refund.id);
    assert.equal((after.balance_transaction as Any).fee, Math.round(4900 * 0.029) + 30);
    await rig.idle();
    assert.deepEqual(rig.receiver.types().slice(-2), ['refund.created', 'charge.refunded']);
  });

  it('refunds in parts, never more than is left', async () => {
    const { charge } = await paid();
    await rig.stripe.refunds.create({ charge, amount: 1000 });
    assert.equal((await rig.stripe.charges.retrieve(charge)).refunded, false);
    const tooMuch = await refusal(rig.stripe.refunds.create({ charge, amount: 4000 }));
    assert.match(tooMuch.message, /\$40\.00\) is greater than unrefunded amount on charge \(\$39\.00/);
    await rig.stripe.refunds.create({ charge });
    const again = await refusal(rig.stripe.refunds.create({ charge }));
    assert.deepEqual([again.statusCode, again.code], [400, 'charge_already_refunded']);
    const { data } = await rig.stripe.refunds.list({ charge });
    assert.deepEqual(
      data.map(({ amount }) => amount),
      [3900, 1000],
    );
  });

  it('refunds once under one key, in parallel too', async () => {
    const { charge } = await paid();
    const calls = await Promise.all(
      Array.from({ length: 10 }, () =>
        rig.stripe.refunds.create({ charge, amount: 500 }, { idempotencyKey: `r-${charge}` }),
      ),
    );
    assert.equal(new Set(calls.map(({ id }) => id)).size, 1);
    assert.equal((await rig.stripe.charges.retrieve(charge)).amount_refunded, 500);
  });

  it('refuses to refund nothing, the unknown and the unpaid', async () => {
    assert.equal((await refusal(rig.stripe.refunds.create({}))).statusCode, 400);
    const unknown = await refusal(rig.stripe.refunds.create({ charge: 'ch_nothing' }));
    assert.deepEqual([unknown.code, unknown.param], ['resource_missing', 'charge']);
    const intent = await rig.stripe.paymentIntents.create({ amount: 500, currency: 'usd' });
    const unpaid = await refusal(rig.stripe.refunds.create({ payment_intent: intent.id }));
    assert.equal(unpaid.statusCode, 400);
    const { charge } = await paid();
    assert.equal((await refusal(rig.stripe.refunds.create({ charge, amount: 0 }))).param, 'amount');
    const wrong = await refusal(rig.stripe.refunds.create({ charge, reason: 'mood' as 'duplicate' }));
    assert.equal(wrong.param, 'reason');
  });

  it('lets a refund succeed later and another fail later, giving the money back', async () => {
    const slow = await paid('4000000000007726');
    const pending = await rig.stripe.refunds.create({ charge: slow.charge });
    assert.equal(pending.status, 'pending');
    await until(async () => (await rig.stripe.refunds.retrieve(pending.id)).status === 'succeeded');

    const bad = await paid('4000000000005126');
    const failing = await rig.stripe.refunds.create({ charge: bad.charge });
    assert.equal(failing.status, 'succeeded');
    await until(async () => (await rig.stripe.refunds.retrieve(failing.id)).status === 'failed');
    const charge = await rig.stripe.charges.retrieve(bad.charge);
    assert.deepEqual([charge.refunded, charge.amount_refunded], [false, 0]);
    await rig.idle();
    assert.ok(rig.receiver.types().includes('refund.failed'));
  });

  it('keeps the balance at what came in minus what went out', async () => {
    await rig.control('POST', '/sandbox/reset');
    const { charge } = await paid();
    await rig.stripe.refunds.create({ charge, amount: 900 });
    const { pending } = await rig.stripe.balance.retrieve();
    const fee = Math.round(4900 * 0.029) + 30;
    assert.deepEqual(pending, [
      { amount: 4900 - fee - 900, currency: 'usd', source_types: { card: 4900 - fee - 900 } },
    ]);
    const { data } = await rig.stripe.balanceTransactions.list();
    assert.equal(
      data.reduce((sum, entry) => sum + entry.net, 0),
      4900 - fee - 900,
    );
  });

  it('disputes a charge by card and on command; a disputed charge cannot be refunded', async () => {
    const { charge } = await paid('4000000000000259');
    await rig.idle();
    assert.deepEqual(rig.receiver.types().slice(-2), ['charge.dispute.created', 'charge.dispute.funds_withdrawn']);
    const { data } = await rig.stripe.disputes.list({ charge });
    assert.equal(data[0]?.status, 'needs_response');
    const refused = await refusal(rig.stripe.refunds.create({ charge }));
    assert.equal(refused.code, 'charge_disputed');
    assert.equal((await rig.stripe.disputes.close(String(data[0]?.id))).status, 'lost');

    const other = await paid();
    const opened = await rig.control('POST', `/sandbox/charges/${other.charge}/dispute`);
    assert.equal(opened.status, 201);
    const won = await rig.control('POST', `/sandbox/disputes/${opened.body.id}/close`, { outcome: 'won' });
    assert.equal(won.body.status, 'won');
    assert.equal((await rig.control('POST', `/sandbox/charges/${other.charge}/dispute`)).status, 409);
  });

  it('confirms intents with the ready-made methods', async () => {
    const params = { amount: 1234, currency: 'eur', confirm: true };
    const ok = await rig.stripe.paymentIntents.create({ ...params, payment_method: 'pm_card_visa' });
    assert.deepEqual([ok.status, ok.amount_received], ['succeeded', 1234]);
    const no = await refusal(rig.stripe.paymentIntents.create({ ...params, payment_method: 'pm_card_chargeDeclined' }));
    assert.deepEqual([no.statusCode, no.code, no.decline_code], [402, 'card_declined', 'generic_decline']);
    assert.equal(no.payment_intent?.status, 'requires_payment_method');
    const ask = await rig.stripe.paymentIntents.create({ ...params, payment_method: 'pm_card_threeDSecure2Required' });
    assert.equal(ask.status, 'requires_action');
    await fetch(String(ask.next_action?.redirect_to_url?.url), {
      method: 'POST',
      body: new URLSearchParams({ decision: 'approve' }),
    });
    assert.equal((await rig.stripe.paymentIntents.retrieve(ask.id)).status, 'succeeded');
    const late = await refusal(rig.stripe.paymentIntents.cancel(ask.id));
    assert.equal(late.code, 'payment_intent_unexpected_state');
  });
});
