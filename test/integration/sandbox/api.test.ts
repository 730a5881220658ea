import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { createRateLimit } from '../../../services/sandbox/stripe/rate-limit.ts';
import { API_VERSION } from '../../../services/sandbox/stripe/world.ts';
import { refusal } from './refusal.ts';
import { type Any, courseSession, type Rig, SECRET_KEY, startRig, stripeAt } from './start-sandbox.ts';

describe('sandbox: the API as stripe-node sees it', () => {
  let rig: Rig;
  const create = (extra: Any = {}) => rig.stripe.checkout.sessions.create(courseSession(extra));
  before(async () => {
    rig = await startRig({ rateLimitPerSecond: 100_000 });
  });
  after(() => rig.stop());

  it('speaks the version the pinned SDK is made for', () => {
    assert.equal(API_VERSION, Stripe.API_VERSION);
  });

  it('refuses a wrong key and none with 401', async () => {
    const wrong = await refusal(stripeAt(rig.url, 'sk_test_wrongwrongwrong').account.retrieveCurrent());
    assert.ok(wrong instanceof Stripe.errors.StripeAuthenticationError);
    assert.match(wrong.message, /^Invalid API Key provided: sk_test_\*+rong$/);
    const none = await fetch(`${rig.url}/v1/account`);
    assert.equal(none.status, 401);
    assert.match(String(none.headers.get('www-authenticate')), /^Basic/);
    const basic = await fetch(`${rig.url}/v1/account`, {
      headers: { authorization: `Basic ${Buffer.from(`${SECRET_KEY}:`).toString('base64')}` },
    });
    assert.equal(basic.status, 200);
  });

  it('answers with a request id and the version', async () => {
    const { lastResponse } = await create();
    assert.match(lastResponse.requestId, /^req_/);
    assert.equal(lastResponse.apiVersion, API_VERSION);
    const other = await refusal(stripeAt(rig.url, SECRET_KEY, { apiVersion: '2020-08-27' }).balance.retrieve());
    assert.match(other.message, /Invalid Stripe API version/);
  });

  it('tells the account and its balance', async () => {
    const account = await rig.stripe.accounts.retrieveCurrent();
    assert.match(account.id, /^acct_/);
    assert.equal((await rig.stripe.balance.retrieve()).livemode, false);
  });

  const refused: [string, Any, { code?: string; param?: string; message?: RegExp }][] = [
    ['an unknown parameter', { colour: 'red' }, { code: 'parameter_unknown', param: 'colour' }],
    [
      'an unknown nested parameter',
      { payment_intent_data: { colour: 'red' } },
      { code: 'parameter_unknown', param: 'payment_intent_data[colour]' },
    ],
    [
      'the parameter that this version dropped',
      { payment_method_types: ['card'] },
      { code: 'payment_method_types_no_longer_supported' },
    ],
    ['no mode', { mode: undefined }, { code: 'parameter_missing', param: 'mode' }],
    ['no lines', { line_items: undefined }, { code: 'parameter_missing', param: 'line_items' }],
    ['no success_url', { success_url: undefined }, { code: 'parameter_missing', param: 'success_url' }],
    ['a success_url that is no URL', { success_url: 'done' }, { code: 'url_invalid', param: 'success_url' }],
    ['an empty success_url', { success_url: '' }, { code: 'parameter_invalid_empty', param: 'success_url' }],
    ['an old ui_mode', { ui_mode: 'embedded' }, { param: 'ui_mode', message: /must be one of/ }],
    ['success_url with embedded_page', { ui_mode: 'embedded_page' }, { param: 'success_url' }],
    [
      'embedded_page without return_url',
      { ui_mode: 'embedded_page', success_url: undefined, cancel_url: undefined },
      { code: 'parameter_missing', param: 'return_url' },
    ],
    [
      'elements without return_url where a method redirects',
      { ui_mode: 'elements', success_url: undefined, cancel_url: undefined },
      { code: 'parameter_missing', param: 'return_url' },
    ],
    ['a life under 30 minutes', { expires_at: Math.floor(Date.now() / 1000) + 600 }, { param: 'expires_at' }],
    ['a life over 24 hours', { expires_at: Math.floor(Date.now() / 1000) + 90_000 }, { param: 'expires_at' }],
    ['a customer that does not exist', { customer: 'cus_nobody' }, { code: 'resource_missing', param: 'customer' }],
    ['an email that is none', { customer_email: 'nobody' }, { code: 'email_invalid', param: 'customer_email' }],
    ['a key of metadata of 41 characters', { metadata: { ['k'.repeat(41)]: 'x' } }, { param: 'metadata' }],
    ['what the sandbox does not play', { automatic_tax: { enabled: true } }, { param: 'automatic_tax' }],
    ['a property that cannot be expanded', { expand: ['metadata'] }, { param: 'expand' }],
    [
      'no offered method left',
      { allowed_payment_method_types: ['sepa_debit'] },
      { param: 'allowed_payment_method_types' },
    ],
  ];
  for (const [what, extra, expected] of refused) {
    it(`refuses a session with ${what}`, async () => {
      const error = await refusal(create(extra));
      assert.equal(error.statusCode, 400);
      assert.equal(error.rawType, 'invalid_request_error');
      if (expected.code) assert.equal(error.code, expected.code);
      if (expected.param) assert.equal(error.param, expected.param);
      if (expected.message) assert.match(error.message, expected.message);
    });
  }

  const line = (data: Any, extra: Any = {}) => ({
    line_items: [
      {
        quantity: 1,
        price_data: { currency: 'usd', unit_amount: 100, product_data: { name: 'x' }, ...data },
        ...extra,
      },
    ],
  });
  const refusedLines: [string, Any, { code?: string; param?: string }][] = [
    [
      'a negative amount',
      line({ unit_amount: -1 }),
      { code: 'parameter_invalid_integer', param: 'line_items[0][price_data][unit_amount]' },
    ],
    ['a broken amount', line({ unit_amount: 1.5 }), { code: 'parameter_invalid_integer' }],
    ['an amount under the minimum', line({ unit_amount: 49 }), { code: 'amount_too_small' }],
    ['an amount of nine digits', line({ unit_amount: 100_000_000 }), { code: 'amount_too_large' }],
    ['an unknown currency', line({ currency: 'xyz' }), { param: 'line_items[0][price_data][currency]' }],
    [
      'no currency',
      line({ currency: undefined }),
      { code: 'parameter_missing', param: 'line_items[0][price_data][currency]' },
    ],
    ['no name', line({ product_data: { name: undefined, description: 'x' } }), { code: 'parameter_missing' }],
    ['no quantity', line({}, { quantity: undefined }), { code: 'parameter_missing', param: 'line_items[0][quantity]' }],
    ['a quantity of 0', line({}, { quantity: 0 }), { code: 'parameter_invalid_integer' }],
    [
      'two currencies',
      {
        line_items: [
          { quantity: 1, price_data: { currency: 'usd', unit_amount: 100, product_data: { name: 'x' } } },
          { quantity: 1, price_data: { currency: 'eur', unit_amount: 100, product_data: { name: 'y' } } },
        ],
      },
      { param: 'line_items' },
    ],
  ];
  for (const [what, extra, expected] of refusedLines) {
    it(`refuses a line with ${what}`, async () => {
      const error = await refusal(create(extra));
      assert.equal(error.statusCode, 400);
      if (expected.code) assert.equal(error.code, expected.code);
      if (expected.param) assert.equal(error.param, expected.param);
    });
  }

  it('changes nothing when it refuses', async () => {
    const count = async () =>
      (await rig.stripe.checkout.sessions.list({ limit: 100 }).autoPagingToArray({ limit: 1000 })).length;
    const before = await count();
    await refusal(create({ expand: ['nonsense'] }));
    await refusal(create({ colour: 'red' }));
    assert.equal(await count(), before);
  });

  it('does not know what does not exist', async () => {
    const session = await refusal(rig.stripe.checkout.sessions.retrieve('cs_test_nothing'));
    assert.deepEqual([session.statusCode, session.code, session.param], [404, 'resource_missing', 'session']);
    assert.equal(session.message, "No such checkout.session: 'cs_test_nothing'");
    const intent = await refusal(rig.stripe.paymentIntents.retrieve('pi_nothing'));
    assert.deepEqual([intent.statusCode, intent.code, intent.param], [404, 'resource_missing', 'intent']);
    const url = await fetch(`${rig.url}/v1/nonsense`, { headers: { authorization: `Bearer ${SECRET_KEY}` } });
    assert.equal(url.status, 404);
    assert.match(((await url.json()) as Any).error.message, /Unrecognized request URL/);
  });

  it('pages through a list both ways, newest first', async () => {
    const made: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      made.unshift((await rig.stripe.customers.create({ name: `c${index}`, email: 'pages@example.com' })).id);
    }
    const first = await rig.stripe.customers.list({ email: 'pages@example.com', limit: 3 });
    assert.deepEqual(
      first.data.map(({ id }) => id),
      made.slice(0, 3),
    );
    assert.equal(first.has_more, true);
    const all = await rig.stripe.customers
      .list({ email: 'pages@example.com', limit: 2 })
      .autoPagingToArray({ limit: 100 });
    assert.deepEqual(
      all.map(({ id }) => id),
      made,
    );
    const before = await rig.stripe.customers.list({
      email: 'pages@example.com',
      limit: 2,
      ending_before: String(made[5]),
    });
    assert.deepEqual(
      before.data.map(({ id }) => id),
      made.slice(3, 5),
    );
    assert.equal(before.has_more, true);
    const wrong = await refusal(rig.stripe.customers.list({ starting_after: 'cus_nobody' }));
    assert.equal(wrong.code, 'resource_missing');
    const limit = await refusal(rig.stripe.customers.list({ limit: 101 }));
    assert.equal(limit.param, 'limit');
  });

  it('filters by time and state', async () => {
    const open = await create();
    const far = Math.floor(Date.now() / 1000) + 3600;
    assert.equal((await rig.stripe.checkout.sessions.list({ created: { gt: far } })).data.length, 0);
    const listed = await rig.stripe.checkout.sessions.list({ status: 'open', created: { lte: far } });
    assert.equal(listed.data[0]?.id, open.id);
  });

  it('merges and unsets metadata', async () => {
    const { id } = await rig.stripe.customers.create({ metadata: { a: '1', b: '2' } });
    const merged = await rig.stripe.customers.update(id, { metadata: { a: '', c: '3' } });
    assert.deepEqual(merged.metadata, { b: '2', c: '3' });
    assert.deepEqual((await rig.stripe.customers.update(id, { metadata: '' })).metadata, {});
  });

  it('decodes what forms can carry', async () => {
    const name = 'a=b&c[d]=ü+%00😀';
    const { name: kept } = await rig.stripe.customers.create({ name });
    assert.equal(kept, name);
    for (const [body, status] of [
      ['__proto__[admin]=1', 400],
      ['metadata[__proto__]=1', 400],
      ['metadata[constructor]=1', 200],
      ['name[=1', 400],
      ['a[b][c][d][e][f][g][h][i]=1', 400],
      ['name=%E0%A4%A', 400],
    ] as const) {
      const answer = await fetch(`${rig.url}/v1/customers`, {
        method: 'POST',
        headers: { authorization: `Bearer ${SECRET_KEY}`, 'content-type': 'application/x-www-form-urlencoded' },
        body,
      });
      assert.equal(answer.status, status, body);
    }
    assert.equal(({} as Any).admin, undefined);
    const json = await fetch(`${rig.url}/v1/customers`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET_KEY}`, 'content-type': 'application/json' },
      body: '{"name":"x"}',
    });
    assert.equal(json.status, 400);
  });

  it('records each request with its idempotency key and without the API key', async () => {
    await rig.stripe.customers.create({ name: 'recorded' }, { idempotencyKey: 'recorded-1' });
    const { body } = await rig.control('GET', '/sandbox/requests?path=/v1/customers&method=POST');
    const last = body.data.at(-1);
    assert.deepEqual([last.idempotency_key, last.params.name, last.status], ['recorded-1', 'recorded', 200]);
    assert.equal(JSON.stringify(body).includes(SECRET_KEY), false);
  });
});

describe('sandbox: the rate limit', () => {
  it('lets a hundred calls a second through and no more', () => {
    let ms = 0;
    const allow = createRateLimit(100, () => ms);
    const passed = (calls: number) => Array.from({ length: calls }, allow).filter(Boolean).length;
    assert.equal(passed(150), 100);
    ms += 50;
    assert.equal(passed(10), 5);
    ms += 10_000;
    assert.equal(passed(150), 100);
  });

  it('is answered with 429 in a shape that stripe-node knows', async () => {
    const rig = await startRig({ rateLimitPerSecond: 2 });
    try {
      const calls = await Promise.allSettled(Array.from({ length: 20 }, () => rig.stripe.balance.retrieve()));
      const refused = calls.filter((call) => call.status === 'rejected').map((call) => call.reason);
      assert.ok(refused.length > 0);
      for (const error of refused) {
        assert.ok(error instanceof Stripe.errors.StripeRateLimitError);
        assert.deepEqual([error.code, error.headers?.['stripe-rate-limited-reason']], ['rate_limit', 'global-rate']);
      }
    } finally {
      await rig.stop();
    }
  });
});
