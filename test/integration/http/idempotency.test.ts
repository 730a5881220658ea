import assert from 'node:assert/strict';
import { fail } from '#platform/errors/index.ts';
import { until } from '../../support/until.ts';
import { type Shop, startShop, told } from './shop.ts';

describe('Idempotency-Key', () => {
  let shop: Shop;
  before(async () => {
    shop = await startShop();
  });
  after(() => shop.close());
  beforeEach(() => {
    Object.assign(told, { gate: undefined, failure: undefined, runs: 0, signal: undefined, beforeComplete: undefined });
  });

  it('gives 50 parallel requests on two pods one effect and the same bytes', async () => {
    const before = await shop.effects();
    const key = shop.newKey();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => shop.buy(key, { at: i % 2 ? shop.api : shop.other })),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(await shop.effects(), before + 1);
    assert.equal(answers.filter(({ headers }) => headers.get('idempotent-replayed') !== 'true').length, 1);
  });

  it('answers a repeated request from the stored answer, also on another pod', async () => {
    const key = shop.newKey();
    const first = await shop.buy(key);
    const again = await shop.buy(key, { at: shop.other });
    assert.equal(again.text, first.text);
    assert.equal(told.runs, 1);
  });

  it('refuses the key with another body', async () => {
    const key = shop.newKey();
    await shop.buy(key);
    const reused = await shop.buy(key, { item: 'another' });
    assert.equal(reused.status, 422);
    assert.equal(reused.json.code, 'idempotency_key_reused');
  });

  it('does not take white space and key order for another request', async () => {
    const key = shop.newKey();
    const first = await shop.buy(key);
    const again = await shop.buy(key, { body: '{ "item" :\n"course" }' });
    assert.equal(again.text, first.text);
  });

  it('gives another person of the tenant with the same key and body an own effect', async () => {
    const key = shop.newKey();
    const first = await shop.buy(key);
    const second = await shop.buy(key, { person: await shop.world.person() });
    assert.equal(second.status, 201);
    assert.notEqual(second.json.id, first.json.id);
  });

  for (const place of ['the same', 'another'] as const) {
    it(`answers 409 with Retry-After while the first runs longer than the wait, on ${place} pod`, async () => {
      const key = shop.newKey();
      const gate = Promise.withResolvers<void>();
      told.gate = gate.promise;
      const first = shop.buy(key, { at: place === 'another' ? shop.api : shop.hurried });
      await until(() => told.runs === 1);
      const waiting = await shop.buy(key, { at: shop.hurried });
      assert.equal(waiting.status, 409);
      assert.equal(waiting.json.code, 'idempotency_in_progress');
      assert.equal(waiting.headers.get('retry-after'), '1');
      gate.resolve();
      assert.equal((await first).status, 201);
      assert.equal((await shop.buy(key)).text, (await first).text);
      assert.equal(told.runs, 1);
    });
  }

  it('holds no connection while it waits: a pool of four still serves others', async () => {
    const gate = Promise.withResolvers<void>();
    told.gate = gate.promise;
    const key = shop.newKey();
    const first = shop.buy(key);
    await until(() => told.runs === 1);
    const waiting = Array.from({ length: 20 }, () => shop.buy(key));
    told.gate = undefined;
    assert.equal((await shop.buy(shop.newKey())).status, 201);
    gate.resolve();
    await first;
    await Promise.all(waiting);
  });

  it('stores a business refusal, without its effect', async () => {
    const before = await shop.effects();
    const key = shop.newKey();
    told.failure = fail.unprocessable('not_for_sale', 'This is not for sale.');
    const first = await shop.buy(key);
    assert.equal(first.status, 422);
    told.failure = undefined;
    const again = await shop.buy(key, { at: shop.other });
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('content-type'), 'application/problem+json');
    assert.equal(await shop.effects(), before);
    assert.equal(told.runs, 1);
  });

  for (const failure of [new Error('broken'), fail.unavailable('provider_away', 'Later.'), fail.rateLimited(3)]) {
    it(`does not store ${failure.message}`, async () => {
      const before = await shop.effects();
      const key = shop.newKey();
      told.failure = failure;
      assert.ok([429, 500, 503].includes((await shop.buy(key)).status));
      told.failure = undefined;
      assert.equal((await shop.buy(key, { at: shop.other })).status, 201);
      assert.equal(await shop.effects(), before + 1);
    });
  }

  it('gives a handler with steps one effect and a stored answer', async () => {
    const before = await shop.effects();
    const key = shop.newKey();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => shop.buy(key, { path: 'steps', at: i % 2 ? shop.api : shop.other })),
    );
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(await shop.effects(), before + 1);
  });

  for (const [name, key] of [
    ['empty', ''],
    ['longer than 255', 'k'.repeat(256)],
    ['not ASCII', 'n\u00e4'],
  ] as const) {
    it(`refuses a key that is ${name}`, async () => {
      const { status, json } = await shop.buy(key);
      assert.equal(status, 400);
      assert.equal(json.code, 'invalid_idempotency_key');
    });
  }

  it('works without a key, too', async () => {
    const response = await fetch(`${shop.api.url}/api/test/buy`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await shop.world.person()}`,
        'klar-tenant': shop.world.slug,
        'content-type': 'application/json',
      },
      body: '{"item":"x"}',
    });
    assert.equal(response.status, 201);
  });
});
