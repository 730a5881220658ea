import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { courseSession, type Rig, startReceiver, startRig, WEBHOOK_SECRET } from './start-sandbox.ts';

describe('sandbox: webhooks', () => {
  let rig: Rig;
  let secrets: string | string[];
  beforeEach(async () => {
    secrets = WEBHOOK_SECRET;
    rig = await startRig({ webhookSecret: () => secrets });
  });
  afterEach(() => rig.stop());

  const buy = async () => {
    const session = await rig.stripe.checkout.sessions.create(courseSession());
    await rig.control('POST', `/sandbox/checkout/${session.id}/pay`, {});
    return session;
  };
  const fault = (event: string, kind: string, extra: object = {}) =>
    rig.control('POST', '/sandbox/faults', { match: { event }, kind, ...extra });
  const count = (type: string) => rig.receiver.types().filter((seen) => seen === type).length;

  it('names the request that caused an event, and nobody for what happens at the page', async () => {
    const { lastResponse } = await rig.stripe.customers.create({ name: 'x' }, { idempotencyKey: 'cause-1' });
    await buy();
    await rig.idle();
    assert.deepEqual(rig.receiver.received[0]?.event.request, {
      id: lastResponse.requestId,
      idempotency_key: 'cause-1',
    });
    const completed = rig.receiver.received.find(({ event }) => event.type === 'checkout.session.completed');
    assert.deepEqual(completed?.event.request, { id: null, idempotency_key: null });
    assert.equal(completed?.event.api_version, '2026-10-28.endive');
    assert.equal(completed?.event.livemode, false);
  });

  it('tries again until the endpoint takes it, and says so in the events list', async () => {
    let refusals = 2;
    rig.receiver.answer = () => (refusals-- > 0 ? 503 : 200);
    await rig.stripe.customers.create({ name: 'x' });
    await until(() => rig.receiver.received.length === 1);
    assert.equal((await rig.stripe.events.list({ delivery_success: false })).data.length, 1);
    await rig.idle();
    assert.equal(rig.receiver.received.length, 3);
    assert.equal(new Set(rig.receiver.received.map(({ event }) => event.id)).size, 1);
    const { data } = await rig.stripe.events.list({ delivery_success: true });
    assert.deepEqual([data.length, data[0]?.pending_webhooks], [1, 0]);
    const { body } = await rig.control('GET', '/sandbox/events');
    assert.deepEqual(
      body.data[0].deliveries[0].attempts.map((attempt: { status: number }) => attempt.status),
      [503, 503, 200],
    );
  });

  it('takes silence, a redirect and a dead port for failures', async () => {
    await rig.stop();
    rig = await startRig({ webhookTimeoutMs: 300 });
    const answers = [undefined, 302];
    rig.receiver.answer = () => (answers.length > 0 ? answers.shift() : 200);
    await rig.stripe.customers.create({ name: 'x' });
    await rig.idle();
    const { body } = await rig.control('GET', '/sandbox/events');
    const [silent, redirected, taken] = body.data[0].deliveries[0].attempts;
    assert.equal(silent.status, undefined);
    assert.deepEqual([redirected.status, taken.status], [302, 200]);
  });

  it('signs with both secrets while one is rolled', async () => {
    secrets = ['whsec_new', 'whsec_old'];
    await rig.stripe.customers.create({ name: 'x' });
    await rig.idle();
    const { body, headers } = rig.receiver.received[0] ?? assert.fail('nothing came');
    for (const secret of secrets) {
      assert.ok(rig.stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), secret));
    }
    assert.throws(() => rig.stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), WEBHOOK_SECRET));
  });

  it('signs with the real time even when its clock was advanced', async () => {
    await rig.control('POST', '/sandbox/clock', { advance_s: 100_000 });
    await rig.stripe.customers.create({ name: 'x' });
    await rig.idle();
    const { body, headers } = rig.receiver.received[0] ?? assert.fail('nothing came');
    // The SDK takes a time in the future; Klar's ingest does not.
    const signed = Number(/^t=(\d+),/.exec(String(headers['stripe-signature']))?.[1]);
    assert.ok(Math.abs(signed - Date.now() / 1000) < 60, String(headers['stripe-signature']));
    assert.ok(rig.stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), WEBHOOK_SECRET));
  });

  it('drops an event on command, which the events list still has, and sends it again on request', async () => {
    await fault('checkout.session.completed', 'drop');
    await buy();
    await rig.idle();
    assert.equal(count('checkout.session.completed'), 0);
    const { data } = await rig.stripe.events.list({ type: 'checkout.session.completed', delivery_success: false });
    assert.equal(data.length, 1);
    await rig.control('POST', `/sandbox/events/${data[0]?.id}/resend`);
    await rig.idle();
    assert.equal(count('checkout.session.completed'), 1);
  });

  it('sends an event twice on command', async () => {
    await fault('charge.*', 'duplicate');
    await buy();
    await rig.idle();
    assert.equal(count('charge.succeeded'), 2);
    assert.equal(count('charge.updated'), 1);
  });

  it('sends an event after the next one on command', async () => {
    await fault('payment_intent.succeeded', 'reorder');
    await buy();
    await rig.idle();
    const types = rig.receiver.types();
    assert.ok(types.indexOf('payment_intent.succeeded') > types.indexOf('charge.succeeded'), types.join());
    assert.equal(count('payment_intent.succeeded'), 1);
  });

  it('sends a held-back event even when nothing follows, once', async () => {
    await fault('customer.created', 'reorder');
    await rig.stripe.customers.create({ name: 'x' });
    await rig.idle();
    assert.deepEqual(rig.receiver.types(), ['customer.created']);
  });

  it('sends an event late on command', async () => {
    await fault('customer.created', 'delay', { delay_ms: 80 });
    const started = performance.now();
    await rig.stripe.customers.create({ name: 'x' });
    await rig.idle();
    assert.ok(performance.now() - started >= 75);
    assert.equal(count('customer.created'), 1);
  });

  it('serves endpoints made through the API, each with its own secret and types', async () => {
    const other = await startReceiver();
    const made = await rig.stripe.webhookEndpoints.create({ url: other.url, enabled_events: ['customer.created'] });
    assert.match(String(made.secret), /^whsec_/);
    assert.equal((await rig.stripe.webhookEndpoints.retrieve(made.id)).secret, undefined);
    await rig.stripe.customers.create({ name: 'x' });
    await rig.stripe.customers.create({ name: 'y' });
    await buy();
    await rig.idle();
    assert.deepEqual(other.types(), ['customer.created', 'customer.created']);
    const { body, headers } = other.received[0] ?? assert.fail('nothing came');
    assert.ok(rig.stripe.webhooks.constructEvent(body, String(headers['stripe-signature']), String(made.secret)));
    await rig.stripe.webhookEndpoints.update(made.id, { disabled: true });
    await rig.stripe.customers.create({ name: 'z' });
    await rig.idle();
    assert.equal(other.received.length, 2);
    assert.deepEqual(await rig.stripe.webhookEndpoints.del(made.id).then(({ deleted }) => deleted), true);
    await other.stop();
  });

  it('filters the events list by type, types and time', async () => {
    await buy();
    const { events } = rig.stripe;
    const types = async (params: object) => (await events.list({ limit: 100, ...params })).data.map(({ type }) => type);
    assert.deepEqual(await types({ type: 'charge.*' }), ['charge.updated', 'charge.succeeded']);
    assert.deepEqual(await types({ types: ['payment_intent.created', 'charge.succeeded'] }), [
      'charge.succeeded',
      'payment_intent.created',
    ]);
    assert.deepEqual(await types({ created: { gt: Math.floor(Date.now() / 1000) + 60 } }), []);
    const all = await events.list({ limit: 2 }).autoPagingToArray({ limit: 100 });
    assert.equal(all.length, 5);
    assert.equal((await events.retrieve(String(all[0]?.id))).type, all[0]?.type);
  });

  it('keeps in an event what the object was, not what it became', async () => {
    const { id } = await rig.stripe.customers.create({ name: 'before' });
    await rig.stripe.customers.update(id, { name: 'after' });
    const { data } = await rig.stripe.events.list({ type: 'customer.created' });
    assert.equal((data[0]?.data.object as { name?: string } | undefined)?.name, 'before');
  });
});
