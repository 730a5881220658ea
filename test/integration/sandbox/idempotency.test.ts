import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { until } from '../../support/until.ts';
import { refusal } from './refusal.ts';
import { courseSession, type Rig, startRig, stripeAt } from './start-sandbox.ts';

describe('sandbox: idempotency keys', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig();
  });
  after(() => rig.stop());
  afterEach(() => rig.control('DELETE', '/sandbox/faults'));

  it('answers a repeated call with the first answer and says so', async () => {
    const first = await rig.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'k1' });
    const second = await rig.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'k1' });
    assert.deepEqual({ ...second }, { ...first });
    assert.equal(second.lastResponse.headers['idempotent-replayed'], 'true');
    assert.equal(second.lastResponse.headers['original-request'], first.lastResponse.requestId);
    assert.equal(first.lastResponse.headers['idempotent-replayed'], undefined);
    assert.equal(second.lastResponse.idempotencyKey, 'k1');
  });

  it('takes equal parameters in another order for the same call', async () => {
    const session = courseSession();
    const reversed = Object.fromEntries(Object.entries(session).reverse()) as typeof session;
    const first = await rig.stripe.checkout.sessions.create(session, { idempotencyKey: 'k2' });
    const second = await rig.stripe.checkout.sessions.create(reversed, { idempotencyKey: 'k2' });
    assert.equal(second.id, first.id);
  });

  it('refuses other parameters and another endpoint under the same key', async () => {
    await rig.stripe.customers.create({ name: 'a' }, { idempotencyKey: 'k3' });
    const other = await refusal(rig.stripe.customers.create({ name: 'b' }, { idempotencyKey: 'k3' }));
    assert.ok(other instanceof Stripe.errors.StripeIdempotencyError);
    assert.equal(other.statusCode, 400);
    assert.match(other.message, /same parameters they were first used with/);
    const endpoint = await refusal(rig.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'k3' }));
    assert.match(endpoint.message, /same endpoint .*'\/v1\/checkout\/sessions' vs '\/v1\/customers'/);
  });

  it('repeats a refusal by the bank, and its charge is made once', async () => {
    const declined = () =>
      refusal(
        rig.stripe.paymentIntents.create(
          { amount: 1000, currency: 'usd', payment_method: 'pm_card_chargeDeclined', confirm: true },
          { idempotencyKey: 'k4' },
        ),
      );
    const [first, second] = [await declined(), await declined()];
    assert.ok(first instanceof Stripe.errors.StripeCardError && second instanceof Stripe.errors.StripeCardError);
    assert.equal(first.charge, second.charge);
    assert.equal((await rig.stripe.charges.list({ payment_intent: first.payment_intent?.id ?? '' })).data.length, 1);
  });

  it('does not keep a refusal of parameters', async () => {
    await refusal(rig.stripe.customers.create({ name: 'x', nonsense: 1 } as object, { idempotencyKey: 'k5' }));
    const { name } = await rig.stripe.customers.create({ name: 'x' }, { idempotencyKey: 'k5' });
    assert.equal(name, 'x');
  });

  it('answers 409 while the first call is under way', async () => {
    await rig.control('POST', '/sandbox/faults', {
      match: { path: '/v1/customers', method: 'POST' },
      kind: 'delay',
      delay_ms: 1500,
    });
    const slow = rig.stripe.customers.create({ name: 'slow' }, { idempotencyKey: 'k6' });
    await until(async () => {
      const { body } = await rig.control('GET', '/sandbox/requests?path=/v1/customers');
      return body.data.at(-1)?.idempotency_key === 'k6';
    });
    const busy = await refusal(rig.stripe.customers.create({ name: 'slow' }, { idempotencyKey: 'k6' }));
    assert.deepEqual([busy.statusCode, busy.code], [409, 'idempotency_key_in_use']);
    const { id } = await slow;
    assert.equal((await rig.stripe.customers.create({ name: 'slow' }, { idempotencyKey: 'k6' })).id, id);
  });

  it('lets fifty parallel calls of one key make one session', async () => {
    const retrying = stripeAt(rig.url, undefined, { maxNetworkRetries: 5 });
    const calls = Array.from({ length: 50 }, () =>
      retrying.checkout.sessions.create(courseSession(), { idempotencyKey: 'k7' }),
    );
    const ids = new Set((await Promise.all(calls)).map((session) => session.id));
    assert.equal(ids.size, 1);
  });

  it('forgets a key after 24 hours', async () => {
    const first = await rig.stripe.customers.create({ name: 'day' }, { idempotencyKey: 'k8' });
    await rig.control('POST', '/sandbox/clock', { advance_s: 24 * 3600 + 1 });
    const second = await rig.stripe.customers.create({ name: 'day' }, { idempotencyKey: 'k8' });
    assert.notEqual(second.id, first.id);
  });
});
