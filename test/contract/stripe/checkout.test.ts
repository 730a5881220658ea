import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { freshKey, type Provider, refusal, startProvider } from './provider.ts';

type Create = Stripe.Checkout.SessionCreateParams;

/** What Klar's gateway relies on in Checkout. */
describe('contract: checkout sessions', () => {
  let provider: Provider;
  let sessions: Stripe['checkout']['sessions'];
  before(async () => {
    provider = await startProvider();
    sessions = provider.stripe.checkout.sessions;
  });
  after(() => provider.stop());

  const base: Create = {
    mode: 'payment',
    line_items: [
      { quantity: 2, price_data: { currency: 'usd', unit_amount: 1500, product_data: { name: 'A lesson' } } },
    ],
    client_reference_id: 'ord_contract',
    metadata: { order_id: 'ord_contract' },
    payment_intent_data: { metadata: { order_id: 'ord_contract' } },
  };
  const hosted: Create = {
    ...base,
    success_url: 'https://example.com/done?session={CHECKOUT_SESSION_ID}',
    cancel_url: 'https://example.com/canceled',
  };

  it('opens a hosted page', async () => {
    const session = await sessions.create({ ...hosted, customer_email: 'student@example.com' });
    assert.match(session.id, /^cs_test_/);
    assert.equal(session.object, 'checkout.session');
    assert.equal(session.livemode, false);
    assert.equal(session.mode, 'payment');
    assert.equal(session.ui_mode, 'hosted_page');
    assert.equal(session.status, 'open');
    assert.equal(session.payment_status, 'unpaid');
    assert.equal(session.payment_intent, null);
    assert.equal(session.amount_subtotal, 3000);
    assert.equal(session.amount_total, 3000);
    assert.equal(session.currency, 'usd');
    assert.equal(session.client_reference_id, 'ord_contract');
    assert.equal(session.customer_email, 'student@example.com');
    assert.deepEqual(session.metadata, { order_id: 'ord_contract' });
    assert.equal(session.client_secret, null);
    assert.match(String(session.url), /^https?:\/\//);
    assert.ok(session.payment_method_types.includes('card'));
    assert.ok(Math.abs(session.expires_at - session.created - 24 * 3600) <= 5);
  });

  for (const ui_mode of ['embedded_page', 'elements'] as const) {
    it(`opens ${ui_mode} with a client secret instead of a page`, async () => {
      const session = await sessions.create({ ...base, ui_mode, return_url: 'https://example.com/back' });
      assert.equal(session.ui_mode, ui_mode);
      assert.equal(session.url, null);
      assert.match(String(session.client_secret), /^cs_test_.+_secret_.+/);
      assert.equal(session.return_url, 'https://example.com/back');
    });
  }

  it('takes a life of 30 minutes and lists its lines', async () => {
    const expires_at = Math.floor(Date.now() / 1000) + 31 * 60;
    const { id } = await sessions.create({ ...hosted, expires_at });
    const session = await sessions.retrieve(id, { expand: ['line_items'] });
    assert.equal(session.expires_at, expires_at);
    const [line] = session.line_items?.data ?? [];
    assert.deepEqual([line?.description, line?.quantity, line?.amount_total], ['A lesson', 2, 3000]);
    assert.equal((await sessions.listLineItems(id)).data[0]?.id, line?.id);
  });

  it('narrows the payment methods', async () => {
    const session = await sessions.create({ ...hosted, allowed_payment_method_types: ['card'] });
    assert.deepEqual(session.payment_method_types, ['card']);
  });

  it('expires once', async () => {
    const { id } = await sessions.create(hosted);
    const expired = await sessions.expire(id);
    assert.deepEqual([expired.status, expired.payment_status, expired.url], ['expired', 'unpaid', null]);
    const again = await refusal(sessions.expire(id));
    assert.deepEqual([again.statusCode, again.rawType], [400, 'invalid_request_error']);
    assert.equal((await sessions.retrieve(id)).status, 'expired');
  });

  it('gives one session for one key', async () => {
    const idempotencyKey = freshKey();
    const first = await sessions.create(hosted, { idempotencyKey });
    const second = await sessions.create(hosted, { idempotencyKey });
    assert.equal(second.id, first.id);
    assert.equal(second.lastResponse.headers['idempotent-replayed'], 'true');
    const other = await refusal(sessions.create({ ...hosted, client_reference_id: 'other' }, { idempotencyKey }));
    assert.ok(other instanceof Stripe.errors.StripeIdempotencyError);
    assert.equal(other.statusCode, 400);
  });

  it('is found again among the newest, by what we put into it', async () => {
    const tag = freshKey();
    const { id } = await sessions.create({ ...hosted, metadata: { tag } });
    const { data } = await sessions.list({ limit: 20, created: { gte: Math.floor(Date.now() / 1000) - 60 } });
    assert.equal(data.find(({ metadata }) => metadata?.tag === tag)?.id, id);
  });

  const refused: [string, object, { code?: string; param?: string }][] = [
    ['an unknown parameter', { nonsense: '1' }, { code: 'parameter_unknown', param: 'nonsense' }],
    ['no success_url', { success_url: undefined }, {}],
    ['success_url beside embedded_page', { ui_mode: 'embedded_page' }, {}],
    ['an old ui_mode', { ui_mode: 'hosted' }, { param: 'ui_mode' }],
    [
      'a total under the minimum',
      { line_items: [{ quantity: 1, price_data: { currency: 'usd', unit_amount: 10, product_data: { name: 'x' } } }] },
      { code: 'amount_too_small' },
    ],
    [
      'a negative amount',
      { line_items: [{ quantity: 1, price_data: { currency: 'usd', unit_amount: -5, product_data: { name: 'x' } } }] },
      { code: 'parameter_invalid_integer', param: 'line_items[0][price_data][unit_amount]' },
    ],
    ['a life of ten minutes', { expires_at: Math.floor(Date.now() / 1000) + 600 }, { param: 'expires_at' }],
    ['no mode', { mode: undefined }, {}],
  ];
  for (const [what, extra, expected] of refused) {
    it(`refuses ${what}`, async () => {
      const error = await refusal(sessions.create({ ...hosted, ...extra } as Create));
      assert.deepEqual([error.statusCode, error.rawType], [400, 'invalid_request_error']);
      if (expected.code) assert.equal(error.code, expected.code);
      if (expected.param) assert.equal(error.param, expected.param);
    });
  }

  it('does not know a session that is not there', async () => {
    const error = await refusal(sessions.retrieve('cs_test_nothing'));
    assert.deepEqual([error.statusCode, error.code], [404, 'resource_missing']);
  });
});
