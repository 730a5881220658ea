import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiClient } from '../support/client.ts';
import { createStack, type Replica, type Stack } from '../support/stack.ts';

/** Moments of the kill, in ms after the requests were sent: before, inside and after an order's transactions. */
const MOMENTS = [0, 2, 4, 6, 8, 10, 13, 16, 20, 30, 50, 90];

describe('an api killed while it works on an Idempotency-Key', () => {
  let stack: Stack;
  let api: Replica;
  let course: string;
  let credentials: { token: string; tenant: string };

  before(async () => {
    stack = await createStack();
    api = await stack.start('api');
    const owner = await new ApiClient(api.url).register('owner');
    await owner.client.expect(201, 'POST', '/api/tenants', { body: { name: 'School', slug: 'school' } });
    credentials = { token: owner.token, tenant: 'school' };
    const made = await owner.client.with({ tenant: 'school' }).expect<{ id: string }>(201, 'POST', '/api/courses', {
      body: { title: 'Course', price: { amount: 4_900, currency: 'USD' }, status: 'published' },
    });
    course = made.id;
  });
  after(() => stack.close());

  async function place(key: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`${api.url}/api/orders`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${credentials.token}`,
        'klar-tenant': credentials.tenant,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body: JSON.stringify({ lines: [{ kind: 'course', id: course, quantity: 1 }] }),
    });
    return { status: response.status, text: await response.text() };
  }

  const orders = async () =>
    (await stack.database.asSuperuser<{ n: number }>('select count(*)::int as n from app.orders'))[0]?.n ?? 0;

  for (const moment of MOMENTS) {
    it(`after ${moment} ms leaves one order, and one answer for everybody`, async () => {
      const before = await orders();
      const key = `killed-after-${moment}`;
      const sent = Array.from({ length: 8 }, () => place(key).catch(() => undefined));
      await pause(moment);
      await api.process.kill();
      const answered = (await Promise.all(sent)).filter((answer) => answer?.status === 201);
      api = await stack.start('api', { port: api.port, adminPort: api.adminPort });
      // The dead owner's lease would end by itself after 35 s.
      await stack.database.asSuperuser(
        "update app.idempotency_keys set lease_until = now() - interval '1 s' where state = 'in_progress'",
      );
      const again = await Promise.all([place(key), place(key), place(key)]);
      const texts = new Set([...answered, ...again].map((answer) => answer?.text));
      assert.deepEqual(
        again.map(({ status }) => status),
        [201, 201, 201],
      );
      assert.equal(texts.size, 1);
      assert.equal(await orders(), before + 1);
    });
  }
});
