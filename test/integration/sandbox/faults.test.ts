import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { until } from '../../support/until.ts';
import { refusal } from './refusal.ts';
import { courseSession, type Rig, startRig, stripeAt } from './start-sandbox.ts';

describe('sandbox: calls that misbehave on command', () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = await startRig();
  });
  afterEach(() => rig.stop());

  const PATH = '/v1/checkout/sessions';
  const fault = (kind: string, extra: object = {}) =>
    rig.control('POST', '/sandbox/faults', { match: { path: PATH, method: 'POST' }, kind, ...extra });
  const create = (key: string) => rig.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: key });
  const listed = async () => (await rig.stripe.checkout.sessions.list()).data.length;

  it('answers 429 and 500 as often as told, with nothing done', async () => {
    await fault('http_429', { times: 2 });
    assert.ok((await refusal(create('a'))) instanceof Stripe.errors.StripeRateLimitError);
    assert.equal((await refusal(create('a'))).statusCode, 429);
    await fault('http_500');
    assert.ok((await refusal(create('a'))) instanceof Stripe.errors.StripeAPIError);
    assert.equal(await listed(), 0);
    await create('a');
    assert.equal(await listed(), 1);
  });

  it('times out after applying: the object exists, and the same key finds it', async () => {
    await fault('timeout_after_applying', { delay_ms: 2000 });
    const impatient = stripeAt(rig.url, undefined, { timeout: 60 });
    const lost = await refusal(impatient.checkout.sessions.create(courseSession(), { idempotencyKey: 'b' }));
    assert.ok(lost instanceof Stripe.errors.StripeConnectionError);
    await until(async () => (await listed()) === 1);
    const found = await create('b');
    assert.equal(found.lastResponse.headers['idempotent-replayed'], 'true');
    assert.equal(await listed(), 1);
    const { data } = await rig.stripe.checkout.sessions.list();
    assert.equal(data[0]?.metadata?.order_id, 'ord_1');
  });

  it('drops the line before anything is done; stripe-node asks once more by itself', async () => {
    await fault('drop');
    const { id } = await create('c');
    assert.equal(await listed(), 1);
    const { body } = await rig.control('GET', `/sandbox/requests?path=${PATH}&method=POST`);
    assert.deepEqual(
      body.data.map((request: { status: number | null }) => request.status),
      [null, 200],
    );
    assert.equal((await create('c')).id, id);
  });

  it('can store a 500 for a call that was carried out, which the key then repeats', async () => {
    await fault('http_500', { applied: true });
    assert.equal((await refusal(create('d'))).statusCode, 500);
    const again = await refusal(create('d'));
    assert.equal(again.statusCode, 500);
    assert.equal(again.headers?.['idempotent-replayed'], 'true');
    assert.equal(await listed(), 1);
  });

  it('is slow on command', async () => {
    await fault('delay', { delay_ms: 80 });
    const started = performance.now();
    await create('e');
    assert.ok(performance.now() - started >= 75);
  });

  it('strikes a path with an id in it, and only its method', async () => {
    const { id } = await create('f');
    await rig.control('POST', '/sandbox/faults', {
      match: { path: `${PATH}/:id/expire`, method: 'post' },
      kind: 'http_500',
    });
    await rig.stripe.checkout.sessions.retrieve(id);
    assert.equal((await refusal(rig.stripe.checkout.sessions.expire(id))).statusCode, 500);
    assert.equal((await rig.stripe.checkout.sessions.expire(id)).status, 'expired');
  });

  it('lists and forgets faults, and says what is wrong with one', async () => {
    await fault('delay', { times: 3 });
    const { body } = await rig.control('GET', '/sandbox/faults');
    assert.deepEqual([body.data.length, body.data[0].kind, body.data[0].times], [1, 'delay', 3]);
    assert.equal((await rig.control('DELETE', `/sandbox/faults/${body.data[0].id}`)).body.data.length, 0);
    const wrong: object[] = [
      {},
      { match: { path: PATH }, kind: 'duplicate' },
      { match: { event: '*' }, kind: 'http_500' },
      { match: { mail: '*' }, kind: 'drop' },
      { match: { path: PATH }, kind: 'delay', times: 0 },
      { match: { path: PATH }, kind: 'delay', delay_ms: -1 },
      { match: { mail: '*' }, kind: 'smtp_reject', code: 250 },
    ];
    for (const input of wrong) {
      const answer = await rig.control('POST', '/sandbox/faults', input);
      assert.equal(answer.status, 400, JSON.stringify(input));
      assert.equal(typeof answer.body.error, 'string');
    }
  });

  it('is well-behaved and empty again after a reset', async () => {
    await create('g');
    await fault('http_500');
    await rig.control('POST', '/sandbox/reset');
    assert.equal(await listed(), 0);
    assert.deepEqual((await rig.control('GET', '/sandbox/faults')).body.data, []);
    await create('g');
    assert.equal(await listed(), 1);
  });
});
