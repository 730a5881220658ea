import assert from 'node:assert/strict';
import { ApiClient } from '../support/client.ts';
import { createRedis, type TestRedis } from '../support/redis.ts';
import { createStack, type Replica, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const LIMIT = 20;

describe('two api processes and one Redis', function () {
  this.timeout(60_000);
  let redis: TestRedis;
  let stack: Stack;
  let replicas: Replica[];
  let clients: ApiClient[];

  before(async () => {
    redis = await createRedis();
    stack = await createStack({ REDIS_URL: redis.url, RATE_LIMIT_READ: String(LIMIT), LOG_LEVEL: 'info' });
    replicas = [await stack.start('api'), await stack.start('api')];
    clients = replicas.map(({ url }) => new ApiClient(url));
    const connected = async () => /connected_clients:[3-9]/.test(String(await redis.command('INFO', 'clients')));
    await until(connected, { what: 'both processes at Redis' });
  });
  after(async () => {
    await stack?.close();
    await redis?.close();
  });

  const person = async () => {
    const [client] = clients as [ApiClient];
    return (await client.register('reader')).token;
  };

  /** Reads of one person in turn at both processes: how many of each status there were. */
  async function read(token: string, times: number): Promise<Record<number, number>> {
    const statuses: Record<number, number> = {};
    for (let i = 0; i < times; i++) {
      const client = clients[i % 2] as ApiClient;
      const { status, headers } = await client.with({ token }).call('GET', '/api/me');
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (status === 429) assert.ok(Number(headers.get('retry-after')) > 0);
    }
    return statuses;
  }
  const times = (text: string) => replicas.map(({ process }) => process.output().split(text).length - 1);
  const away = () => times('redis is away');
  const back = () => times('redis is back');

  it('share the count of a caller', async () => {
    assert.deepEqual(await read(await person(), 2 * LIMIT), { 200: LIMIT, 429: LIMIT });
  });

  it('count alone when Redis dies in the middle: no request fails, and each says so once', async () => {
    const token = await person();
    assert.deepEqual(await read(token, 4), { 200: 4 });
    await redis.kill();
    // What Redis had counted is gone with it; each process begins anew.
    assert.deepEqual(await read(token, 4 * LIMIT), { 200: 2 * LIMIT, 429: 2 * LIMIT });
    assert.deepEqual(away(), [1, 1]);
  });

  it('share again by themselves when it is back, empty', async () => {
    await redis.start();
    await until(() => back().every((n) => n === 1), { timeoutMs: 15_000, what: 'both processes at Redis again' });
    assert.deepEqual(await read(await person(), 2 * LIMIT), { 200: LIMIT, 429: LIMIT });
  });

  it('hold out against a Redis that hangs, and notice by themselves that it answers again', async () => {
    redis.pause();
    const from = performance.now();
    assert.deepEqual(await read(await person(), 4 * LIMIT), { 200: 2 * LIMIT, 429: 2 * LIMIT });
    assert.ok(performance.now() - from < 5_000, `${performance.now() - from} ms`);
    assert.deepEqual(away(), [2, 2]);
    redis.resume();
    const shares = async () => {
      await read(await person(), 2);
      return back().every((n) => n === 2);
    };
    await until(shares, { timeoutMs: 15_000, everyMs: 250, what: 'both processes at Redis again' });
    assert.deepEqual(await read(await person(), 2 * LIMIT), { 200: LIMIT, 429: LIMIT });
  });

  it('lose no order and no idempotent answer with what Redis knew', async () => {
    const [first, second] = clients as [ApiClient, ApiClient];
    const owner = await first.register('owner');
    const slug = `redis-${Date.now()}`;
    await owner.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Redis', slug } });
    const course = await owner.client.with({ tenant: slug }).expect<{ id: string }>(201, 'POST', '/api/courses', {
      body: { title: 'Caches', price: { amount: 900, currency: 'USD' }, status: 'published' },
    });
    const student = await first.register('student');
    await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    const order = {
      body: { lines: [{ kind: 'course', id: course.id, quantity: 1 }] },
      headers: { 'idempotency-key': 'kept-elsewhere' },
    };
    const asStudent = { token: student.token, tenant: slug };
    const placed = await first.with(asStudent).expect<{ id: string }>(201, 'POST', '/api/orders', order);

    await redis.command('FLUSHALL');

    assert.deepEqual(await second.with(asStudent).expect(201, 'POST', '/api/orders', order), placed);
    const other = { ...order, body: { lines: [{ kind: 'course', id: course.id, quantity: 2 }] } };
    await second.with(asStudent).expect(422, 'POST', '/api/orders', other);
    const list = await second.with(asStudent).expect<{ data: { id: string }[] }>(200, 'GET', '/api/orders');
    assert.deepEqual(
      list.data.map(({ id }) => id),
      [placed.id],
    );
  });
});
