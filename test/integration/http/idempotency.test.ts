import assert from 'node:assert/strict';
import { z } from 'zod';
import { statement } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { route } from '../../../services/api/deps.ts';
import { until } from '../../support/until.ts';
import { createWorld, effect, startTestApi, type TestApi, type World } from './fixture.ts';

/** What a test tells the handlers to do, and what it saw them do. */
const told = {
  gate: undefined as Promise<void> | undefined,
  failure: undefined as Error | undefined,
  runs: 0,
  signal: undefined as AbortSignal | undefined,
  beforeComplete: undefined as (() => Promise<unknown>) | undefined,
};

const body = z.object({ item: z.string() });
const answer = z.object({ id: z.string(), item: z.string() });

const routes = [
  route({
    id: 'test.buy',
    method: 'POST',
    path: '/api/test/buy',
    access: { kind: 'tenant', permission: 'orders.place' },
    rateClass: 'billing',
    summary: 'Buy',
    body,
    responses: { 201: answer },
    idempotent: true,
    audit: 'test.buy',
    async handle({ tx, body, signal }) {
      told.runs++;
      told.signal = signal;
      const id = await effect(tx);
      await told.gate;
      await told.beforeComplete?.();
      if (told.failure !== undefined) throw told.failure;
      return { status: 201, body: { id, item: body.item } };
    },
  }),
  route({
    id: 'test.buy_in_steps',
    method: 'POST',
    path: '/api/test/steps',
    access: { kind: 'tenant', permission: 'orders.place' },
    rateClass: 'billing',
    summary: 'Buy with a provider between',
    body,
    responses: { 201: answer },
    idempotent: true,
    steps: true,
    audit: 'test.buy',
    async handle({ withTx, finish, body }) {
      told.runs++;
      await withTx(async () => undefined);
      await told.gate;
      return finish(async (tx) => ({ status: 201, body: { id: await effect(tx), item: body.item } }));
    },
  }),
];

describe('Idempotency-Key', () => {
  let world: World;
  let api: TestApi;
  let other: TestApi;
  let buyer: string;

  before(async () => {
    world = await createWorld();
    api = await startTestApi(world, routes, { idempotency: { waitMs: 400, leaseMs: 60_000, pollMs: 20 } });
    other = await startTestApi(world, routes, { idempotency: { waitMs: 400, leaseMs: 60_000, pollMs: 20 } });
    buyer = await world.person();
  });
  after(async () => {
    await api.close();
    await other.close();
    await world.database.close();
  });
  beforeEach(() => {
    Object.assign(told, { gate: undefined, failure: undefined, runs: 0, beforeComplete: undefined });
  });

  let keys = 0;
  const newKey = () => `key ${++keys}`;

  async function buy(
    key: string,
    {
      at = api,
      item = 'course',
      person = buyer,
      path = 'buy',
      signal,
    }: { at?: TestApi; item?: string; person?: string; path?: string; signal?: AbortSignal } = {},
  ) {
    const response = await fetch(`${at.url}/api/test/${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${person}`,
        'klar-tenant': world.slug,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify({ item }),
      ...(signal ? { signal } : {}),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      json: JSON.parse(text) as Record<string, string>,
      headers: response.headers,
    };
  }

  async function effects(): Promise<number> {
    const [row] = await world.database.asSuperuser<{ n: number }>('select count(*)::int as n from app.test_effects');
    return row?.n ?? 0;
  }

  const expireLeases = () =>
    world.database.asSuperuser(
      "update app.idempotency_keys set lease_until = now() - interval '1 s' where lease_until is not null",
    );

  it('gives 50 parallel requests on two pods one effect and the same bytes', async () => {
    const before = await effects();
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => buy(key, { at: i % 2 ? api : other })));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(await effects(), before + 1);
    assert.equal(answers.filter(({ headers }) => headers.get('idempotent-replayed') !== 'true').length, 1);
  });

  it('answers a repeated request from the stored answer, also on another pod', async () => {
    const key = newKey();
    const first = await buy(key);
    const again = await buy(key, { at: other });
    assert.equal(again.text, first.text);
    assert.equal(told.runs, 1);
  });

  it('refuses the key with another body', async () => {
    const key = newKey();
    await buy(key);
    const reused = await buy(key, { item: 'another' });
    assert.equal(reused.status, 422);
    assert.equal(reused.json.code, 'idempotency_key_reused');
  });

  it('does not take white space and key order for another request', async () => {
    const key = newKey();
    const first = await buy(key);
    const response = await fetch(`${api.url}/api/test/buy`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${buyer}`,
        'klar-tenant': world.slug,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: '{ "item" :\n"course" }',
    });
    assert.equal(await response.text(), first.text);
  });

  it('gives another person of the tenant with the same key and body an own effect', async () => {
    const key = newKey();
    const first = await buy(key);
    const second = await buy(key, { person: await world.person() });
    assert.equal(second.status, 201);
    assert.notEqual(second.json.id, first.json.id);
  });

  for (const place of ['the same', 'another'] as const) {
    it(`answers 409 with Retry-After while the first runs longer than the wait, on ${place} pod`, async () => {
      const key = newKey();
      const gate = Promise.withResolvers<void>();
      told.gate = gate.promise;
      const first = buy(key);
      await until(() => told.runs === 1);
      const waiting = await buy(key, { at: place === 'another' ? other : api });
      assert.equal(waiting.status, 409);
      assert.equal(waiting.json.code, 'idempotency_in_progress');
      assert.equal(waiting.headers.get('retry-after'), '1');
      gate.resolve();
      assert.equal((await first).status, 201);
      assert.equal((await buy(key)).text, (await first).text);
      assert.equal(told.runs, 1);
    });
  }

  it('holds no connection while it waits: a pool of four still serves others', async () => {
    const gate = Promise.withResolvers<void>();
    told.gate = gate.promise;
    const key = newKey();
    const first = buy(key);
    await until(() => told.runs === 1);
    const waiting = Array.from({ length: 20 }, () => buy(key));
    told.gate = undefined;
    assert.equal((await buy(newKey())).status, 201);
    gate.resolve();
    await first;
    await Promise.all(waiting);
  });

  it('stores a business refusal, without its effect', async () => {
    const before = await effects();
    const key = newKey();
    told.failure = fail.unprocessable('not_for_sale', 'This is not for sale.');
    const first = await buy(key);
    assert.equal(first.status, 422);
    told.failure = undefined;
    const again = await buy(key, { at: other });
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('content-type'), 'application/problem+json');
    assert.equal(await effects(), before);
    assert.equal(told.runs, 1);
  });

  for (const failure of [new Error('broken'), fail.unavailable('provider_away', 'Later.'), fail.rateLimited(3)]) {
    it(`does not store ${failure.message}`, async () => {
      const before = await effects();
      const key = newKey();
      told.failure = failure;
      assert.ok([429, 500, 503].includes((await buy(key)).status));
      told.failure = undefined;
      assert.equal((await buy(key, { at: other })).status, 201);
      assert.equal(await effects(), before + 1);
    });
  }

  it('frees the key when the client leaves', async () => {
    const before = await effects();
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    told.gate = gate.promise;
    const leaving = new AbortController();
    const first = buy(key, { signal: leaving.signal }).catch(() => 'left');
    await until(() => told.runs === 1);
    leaving.abort();
    assert.equal(await first, 'left');
    await until(() => told.signal?.aborted);
    gate.resolve();
    await until(
      async () =>
        (await world.database.asSuperuser('select 1 from app.idempotency_keys where key = $1', [key])).length === 0,
    );
    told.gate = undefined;
    assert.equal((await buy(key)).status, 201);
    assert.equal(await effects(), before + 1);
  });

  it('takes over from a dead owner once its lease is over, and not before', async () => {
    const key = newKey();
    await world.database.asSuperuser(
      `insert into app.idempotency_keys (tenant_id, principal, operation, key, request_hash, state, owner_token, lease_until, expires_at)
       select tenant_id, principal, operation, $1, request_hash, 'in_progress', 'dead', now() + interval '35 s', expires_at
         from app.idempotency_keys where key = $2`,
      [key, await bought()],
    );
    assert.equal((await buy(key)).status, 409);
    assert.equal(told.runs, 1, 'only the purchase that the row was copied from');
    await expireLeases();
    assert.equal((await buy(key, { item: 'another' })).status, 422, 'an abandoned key stays its first body’s');
    assert.equal((await buy(key)).status, 201);
  });

  async function bought(): Promise<string> {
    const key = newKey();
    await buy(key);
    return key;
  }

  for (const path of ['buy', 'steps']) {
    it(`rolls back the effect of an owner that lost its lease (${path})`, async () => {
      const before = await effects();
      const key = newKey();
      const gate = Promise.withResolvers<void>();
      told.gate = gate.promise;
      const slow = buy(key, { path });
      await until(() => told.runs === 1);
      await expireLeases();
      told.gate = undefined;
      const taker = await buy(key, { at: other, path });
      assert.equal(taker.status, 201);
      gate.resolve();
      const lost = await slow;
      assert.equal(lost.status, 409);
      assert.equal(lost.json.code, 'idempotency_in_progress');
      assert.equal(await effects(), before + 1);
      assert.equal((await buy(key, { path })).text, taker.text);
    });
  }

  it('gives a handler with steps one effect and a stored answer', async () => {
    const before = await effects();
    const key = newKey();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => buy(key, { path: 'steps', at: i % 2 ? api : other })),
    );
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(await effects(), before + 1);
  });

  it('authorizes again before it gives a stored answer', async () => {
    const leaver = await world.person();
    const key = newKey();
    assert.equal((await buy(key, { person: leaver })).status, 201);
    await world.database.asSuperuser('delete from app.memberships where person_id = $1', [leaver]);
    const after = await buy(key, { person: leaver });
    assert.equal(after.status, 404);
    assert.equal(after.json.code, 'not_found');
  });

  it('stores nothing for a caller who may not', async () => {
    const stranger = 'usr_00000000000070008000000000000001';
    const key = newKey();
    assert.equal((await buy(key, { person: stranger })).status, 404);
    assert.deepEqual(await world.database.asSuperuser('select 1 from app.idempotency_keys where key = $1', [key]), []);
  });

  it('lets a key be used anew after its 72 hours', async () => {
    const key = newKey();
    const first = await buy(key);
    const [row] = await world.database.asSuperuser<{ hours: number }>(
      'select extract(epoch from expires_at - created_at)::int / 3600 as hours from app.idempotency_keys where key = $1',
      [key],
    );
    assert.equal(row?.hours, 72);
    await world.database.asSuperuser('update app.idempotency_keys set expires_at = now() where key = $1', [key]);
    const second = await buy(key, { item: 'another' });
    assert.equal(second.status, 201);
    assert.notEqual(second.json.id, first.json.id);
  });

  for (const [name, key] of [
    ['empty', ''],
    ['longer than 255', 'k'.repeat(256)],
    ['not ASCII', 'n\u00e4'],
  ] as const) {
    it(`refuses a key that is ${name}`, async () => {
      const { status, json } = await buy(key);
      assert.equal(status, 400);
      assert.equal(json.code, 'invalid_idempotency_key');
    });
  }

  it('works without a key, too', async () => {
    const response = await fetch(`${api.url}/api/test/buy`, {
      method: 'POST',
      headers: { authorization: `Bearer ${buyer}`, 'klar-tenant': world.slug, 'content-type': 'application/json' },
      body: '{"item":"x"}',
    });
    assert.equal(response.status, 201);
  });

  it('stores effect and answer in one commit: none of both when the commit fails', async () => {
    const before = await effects();
    const key = newKey();
    const db = world.database.db('klar_api');
    // The owner's connection dies with everything written and nothing committed.
    told.beforeComplete = async () => {
      told.beforeComplete = undefined;
      await world.database.asSuperuser(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'klar_api_a' and state like 'idle in transaction%'",
      );
    };
    const { status } = await buy(key);
    assert.ok(status === 201 || status === 503, `got ${status}`);
    const keyRow = await db.withTenantTx(world.tenantId, (tx) =>
      tx.maybe(
        statement<{ state: string }>(
          'test.state',
          'select k.state from app.idempotency_keys k where k.tenant_id = $1 and k.key = $2',
        ),
        [tx.tenantId, key],
      ),
    );
    assert.equal(await effects(), before + (keyRow?.state === 'done' ? 1 : 0));
  });
});
