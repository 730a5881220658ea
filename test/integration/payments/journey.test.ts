import assert from 'node:assert/strict';
import { generateSecret, loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningApi, startApi } from '../../../services/api/main.ts';
import { type Sandbox, startSandbox } from '../../../services/sandbox/main.ts';
import { type RunningIngest, startIngest } from '../../../services/webhook-ingest/main.ts';
import { type RunningWorker, startWorker } from '../../../services/worker/main.ts';
import { ApiClient } from '../../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

type Json = Record<string, unknown>;
type Order = { id: string; status: string; total: { amount: number; currency: string } };
type Session = { session_id: string; url?: string; client_secret?: string };
type List = { data: Json[]; next_cursor: string | null };

describe('the journey over HTTP, with ingest, worker and the sandbox', () => {
  let database: TestDatabase;
  let sandbox: Sandbox;
  let api: RunningApi;
  let ingest: RunningIngest;
  let worker: RunningWorker;
  let teacher: ApiClient;
  let slug: string;
  let url: string;

  before(async () => {
    database = await createTestDatabase();
    const webhookSecret = generateSecret('STRIPE_WEBHOOK_SECRET');
    const quiet = { info() {}, warn() {}, error() {} };
    sandbox = await startSandbox({
      profile: 'test',
      port: 0,
      smtpPort: 0,
      webhookUrl: () => `http://127.0.0.1:${ingest.port}/api/billing/stripe/webhook`,
      webhookSecret: () => webhookSecret,
      stripeSecretKey: 'sk_test_journey',
      clock: { now: () => new Date() },
      log: quiet,
      delayedSettleMs: 3_600_000,
      webhookRetryMs: [50, 50, 50],
    });
    const env = {
      KLAR_PROFILE: 'test',
      PORT: '0',
      INGEST_PORT: '0',
      ADMIN_PORT: '0',
      KLAR_SECRETS_DIR: '/nonexistent',
      DATABASE_URL_API: database.url('klar_api'),
      DATABASE_URL_AUTH: database.url('klar_auth'),
      DATABASE_URL_INGEST: database.url('klar_ingest'),
      DATABASE_URL_WORKER: database.url('klar_worker'),
      AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
      AUTH_SECRET: generateSecret('AUTH_SECRET'),
      API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
      ADMIN_TOKEN: generateSecret('ADMIN_TOKEN'),
      STRIPE_SECRET_KEY: 'sk_test_journey',
      STRIPE_WEBHOOK_SECRET: webhookSecret,
      STRIPE_API_BASE: sandbox.url,
      SMTP_URL: sandbox.smtpUrl,
      RATE_LIMIT_AUTH: '100000',
      RATE_LIMIT_BILLING: '100000',
    };
    const log = silentLogger();
    api = await startApi({ settings: loadSettings('api', env), log });
    ingest = await startIngest({ settings: loadSettings('webhook-ingest', env), log });
    worker = await startWorker({ settings: loadSettings('worker', env), log });
    url = `http://127.0.0.1:${api.port}`;
    const opened = await new ApiClient(url).register('teacher');
    slug = `journey-${opened.id.slice(-10)}`;
    await opened.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Journey', slug } });
    teacher = opened.client.with({ tenant: slug });
  });
  after(async () => {
    await Promise.all([api?.stop(), ingest?.stop(), worker?.stop()]);
    await sandbox?.stop();
    await database.close();
  });

  const price = { amount: 4900, currency: 'USD' };
  async function course(body: Json = {}): Promise<{ id: string }> {
    const title = 'Swedish for the curious';
    const made = await teacher.expect<{ id: string }>(201, 'POST', '/api/courses', {
      body: { title, price, status: 'published', ...body },
    });
    await teacher.expect(201, 'POST', `/api/courses/${made.id}/lessons`, { body: { title: 'Hej!', content: 'Hej' } });
    return made;
  }
  async function student(): Promise<ApiClient> {
    const { client } = await new ApiClient(url).register('student');
    await client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    return client.with({ tenant: slug });
  }
  const order = (who: ApiClient, id: string) =>
    who.expect<Order>(201, 'POST', '/api/orders', { body: { lines: [{ kind: 'course', id, quantity: 1 }] } });
  const session = (who: ApiClient, orderId: string, ui_mode = 'hosted_page') =>
    who.expect<Session>(201, 'POST', '/api/payments/stripe/create-session', { body: { order_id: orderId, ui_mode } });
  async function atThePage(path: string, body: Json, status = 200): Promise<void> {
    const response = await fetch(`${sandbox.url}/sandbox/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, status, await response.text());
  }
  const becomes = (who: ApiClient, id: string, status: string) =>
    until(async () => (await who.expect<Order>(200, 'GET', `/api/orders/${id}`)).status === status, {
      what: `order ${status}`,
      timeoutMs: 15_000,
    });

  it('sells a course: the lessons open for the buyer, and for nobody else', async () => {
    const [made, buyer, classmate] = [await course(), await student(), await student()];
    const listed = await buyer.expect<List>(200, 'GET', '/api/courses');
    assert.ok(listed.data.some((row) => row.id === made.id));
    const lessons = `/api/courses/${made.id}/lessons`;
    await buyer.expect(404, 'GET', lessons);
    const placed = await order(buyer, made.id);
    assert.deepEqual([placed.status, placed.total], ['pending', price]);
    const { session_id, url: page } = await session(buyer, placed.id);
    assert.ok(page?.startsWith(sandbox.url));
    await atThePage(`checkout/${session_id}/pay`, { card: '4242424242424242' });
    await becomes(buyer, placed.id, 'paid');
    const { payment } = await buyer.expect<{ payment: Json }>(200, 'GET', `/api/orders/${placed.id}`);
    assert.equal(payment.status, 'paid');
    assert.match(String(payment.receipt_url), /^http/);
    const open = await buyer.expect<List>(200, 'GET', lessons);
    assert.equal(open.data[0]?.content, 'Hej');
    await classmate.expect(404, 'GET', lessons);
    const mine = await buyer.expect<List>(200, 'GET', '/api/enrollments');
    assert.equal(mine.data[0]?.course_id, made.id);
    const payments = await teacher.expect<List>(200, 'GET', `/api/payments?order_id=${placed.id}`);
    assert.equal(payments.data[0]?.status, 'paid');
    assert.deepEqual(payments.data[0]?.method, { type: 'card', brand: 'visa', last4: '4242' });
    await buyer.expect(403, 'GET', '/api/payments');
    await until(async () => {
      const mails = (await (await fetch(`${sandbox.url}/sandbox/mail`)).json()) as { data: Json[] };
      return JSON.stringify(mails.data).includes(placed.id);
    });
  });

  it('takes a decline, then 3-D Secure, in every way the page can be shown', async () => {
    for (const mode of ['embedded_page', 'elements', 'form', 'hosted_page']) {
      const [made, buyer] = [await course(), await student()];
      const placed = await order(buyer, made.id);
      const { session_id, client_secret } = await session(buyer, placed.id, mode);
      assert.equal(client_secret === undefined, mode === 'hosted_page');
      await atThePage(`checkout/${session_id}/pay`, { outcome: 'decline' });
      assert.equal((await session(buyer, placed.id, mode)).session_id, session_id);
      await atThePage(`checkout/${session_id}/pay`, { card: '4000002500003155' });
      await becomes(buyer, placed.id, 'paid');
    }
  }).timeout(60_000);

  it('waits for a delayed method that fails, and lets the buyer try again', async () => {
    const [made, buyer] = [await course(), await student()];
    const placed = await order(buyer, made.id);
    const { session_id } = await session(buyer, placed.id);
    await atThePage(`checkout/${session_id}/pay`, { method: 'klarna' });
    await until(async () => {
      const body = { order_id: placed.id };
      const again = await buyer.call('POST', '/api/payments/stripe/create-session', { body });
      return again.status === 409 && again.body.code === 'payment_pending';
    });
    await atThePage(`checkout/${session_id}/settle`, { succeeds: false });
    await becomes(buyer, placed.id, 'failed');
    const second = await session(buyer, placed.id);
    await atThePage(`checkout/${second.session_id}/pay`, { method: 'klarna' });
    await atThePage(`checkout/${second.session_id}/settle`, { succeeds: true });
    await becomes(buyer, placed.id, 'paid');
  }).timeout(60_000);

  it('gives money back that comes a second time, and late', async () => {
    const [made, buyer] = [await course(), await student()];
    const placed = await order(buyer, made.id);
    const first = await session(buyer, placed.id);
    const second = await session(buyer, placed.id, 'form');
    await atThePage(`checkout/${second.session_id}/pay`, { card: '4242424242424242' });
    await becomes(buyer, placed.id, 'paid');
    await atThePage(`double-pay/${first.session_id}`, { as: 'same_session' });
    const payment = await until(
      async () => {
        const { data } = await teacher.expect<List>(200, 'GET', `/api/payments?order_id=${placed.id}`);
        return data[0]?.refunded === 4900 ? data[0] : undefined;
      },
      { timeoutMs: 20_000 },
    );
    assert.deepEqual([payment.status, payment.captured], ['paid', 9800]);
    const incidents = await teacher.expect<List>(200, 'GET', '/api/payments/incidents');
    assert.equal(incidents.data.filter((row) => row.order_id === placed.id).length, 1);
    await becomes(buyer, placed.id, 'paid');
  }).timeout(60_000);

  it('lists a refund that the bank sends back an hour later', async () => {
    const [made, buyer] = [await course(), await student()];
    const placed = await order(buyer, made.id);
    const first = await session(buyer, placed.id);
    const second = await session(buyer, placed.id, 'form');
    // The news of the second page is late, so its money is the one that came twice; refunds to this card fail later.
    await atThePage('faults', { match: { event: 'checkout.session.completed' }, kind: 'drop', times: 1 }, 201);
    await atThePage(`checkout/${second.session_id}/pay`, { card: '4000000000005126' });
    await atThePage(`double-pay/${first.session_id}`, { as: 'same_session' });
    await becomes(buyer, placed.id, 'paid');
    const { data } = (await (await fetch(`${sandbox.url}/sandbox/events`)).json()) as { data: Json[] };
    const lost = data.find((one) => {
      const text = JSON.stringify(one);
      return text.includes('checkout.session.completed') && text.includes(second.session_id);
    });
    await atThePage(`events/${lost?.id}/resend`, {}, 202);
    const refunded = (amount: number) =>
      until(
        async () => {
          const list = await teacher.expect<List>(200, 'GET', `/api/payments?order_id=${placed.id}`);
          return list.data[0]?.captured === 9800 && list.data[0]?.refunded === amount;
        },
        { timeoutMs: 20_000, what: `${amount} refunded` },
      );
    await refunded(4900);
    await atThePage('clock', { advance_s: 3_700 });
    await refunded(0);
    await until(async () => {
      const incidents = await teacher.expect<List>(200, 'GET', '/api/payments/incidents');
      const kinds = incidents.data.filter((row) => row.order_id === placed.id).map((row) => row.kind);
      return kinds.includes('duplicate_money') && kinds.includes('refund_failed');
    });
    await becomes(buyer, placed.id, 'paid');
  }).timeout(60_000);

  it('cancels an order: its page is closed, and it is never charged', async () => {
    const [made, buyer] = [await course(), await student()];
    const placed = await order(buyer, made.id);
    const { session_id } = await session(buyer, placed.id);
    const canceled = await buyer.expect<Order>(200, 'POST', `/api/orders/${placed.id}/cancel`);
    assert.equal(canceled.status, 'expired');
    const pay = await fetch(`${sandbox.url}/sandbox/checkout/${session_id}/pay`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ card: '4242424242424242' }),
    });
    const answer = (await pay.json()) as { result?: { status: string } };
    assert.notEqual(answer.result?.status, 'succeeded');
    assert.equal((await buyer.expect<Order>(200, 'GET', `/api/orders/${placed.id}`)).status, 'expired');
  });

  it('answers the same bytes for another’s order and for an unknown one', async () => {
    const [made, buyer, stranger] = [await course(), await student(), await student()];
    const placed = await order(buyer, made.id);
    const body = (order_id: string) => ({ body: { order_id } });
    const same = async (ask: (id: string) => Promise<{ status: number; body: Json }>) => {
      const unknown = `ord_${'0'.repeat(32)}`;
      const [theirs, none] = [await ask(placed.id), await ask(unknown)];
      assert.equal(theirs.status, 404);
      const bytes = ({ body: { request_id: _, instance: __, ...problem } }: { body: Json }) => JSON.stringify(problem);
      assert.equal(bytes(theirs), bytes(none));
    };
    await same((id) => stranger.call('GET', `/api/orders/${id}`));
    await same((id) => stranger.call('POST', `/api/orders/${id}/cancel`));
    await same((id) => stranger.call('POST', '/api/payments/stripe/create-session', body(id)));
  });

  it('refuses what cannot be ordered with a reason', async () => {
    const [buyer, free, draft] = [
      await student(),
      await course({ price: { amount: 0, currency: 'USD' } }),
      await course({ status: 'draft' }),
    ];
    const place = (lines: Json[]) => buyer.call<Json & Order>('POST', '/api/orders', { body: { lines } });
    const cases: [Json[], number, string][] = [
      [[{ kind: 'seminar', id: 'sem_1', quantity: 1 }], 422, 'kind_not_available'],
      [[{ kind: 'credits', quantity: 10 }], 422, 'kind_not_available'],
      [[{ kind: 'course', id: draft.id, quantity: 1 }], 422, 'item_not_available'],
      [[{ kind: 'course', id: 'crs_none', quantity: 1 }], 422, 'item_not_available'],
      [[{ kind: 'course', id: free.id, quantity: 2 }], 422, 'invalid_quantity'],
    ];
    for (const [lines, status, code] of cases) {
      const answer = await place(lines);
      assert.deepEqual([answer.status, answer.body.code], [status, code]);
    }
    for (const line of [{}, { kind: 'car', quantity: 1 }, { kind: 'course', id: free.id, quantity: 1.5 }]) {
      assert.equal((await place([line])).status, 400);
    }
    const taken = await place([{ kind: 'course', id: free.id, quantity: 1 }]);
    assert.deepEqual([taken.status, taken.body.status], [201, 'paid']);
    assert.equal((await place([{ kind: 'course', id: free.id, quantity: 1 }])).body.code, 'already_enrolled');
    const body = { order_id: taken.body.id };
    const paid = await buyer.call('POST', '/api/payments/stripe/create-session', { body });
    assert.deepEqual([paid.status, paid.body.code], [409, 'order_already_paid']);
  });

  it('refuses prices that are no amounts of money', async () => {
    for (const wrong of [
      { amount: -1, currency: 'USD' },
      { amount: 1.5, currency: 'USD' },
      { amount: 2 ** 53, currency: 'USD' },
      { amount: 1, currency: 'usd' },
      { amount: 1, currency: 'XXX' },
      { amount: '1', currency: 'USD' },
    ]) {
      const answer = await teacher.call('POST', '/api/courses', { body: { title: 'x', price: wrong } });
      assert.equal(answer.status, 400, JSON.stringify(wrong));
    }
  });

  it('places one order for one key, also in parallel, and pages through orders', async () => {
    const [made, buyer] = [await course(), await student()];
    const body = { lines: [{ kind: 'course', id: made.id, quantity: 1 }] };
    const headers = { 'idempotency-key': `journey-${made.id}` };
    const placed = await Promise.all(
      Array.from({ length: 10 }, () => buyer.expect<Order>(201, 'POST', '/api/orders', { body, headers })),
    );
    assert.equal(new Set(placed.map(({ id }) => id)).size, 1);
    for (let i = 0; i < 4; i += 1) await order(buyer, made.id);
    const seen: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: List = await buyer.expect<List>(200, 'GET', `/api/orders?limit=2${query}`);
      seen.push(...page.data.map((row) => row.id));
      cursor = page.next_cursor;
    }
    assert.equal(new Set(seen).size, 5);
    assert.equal(seen.length, 5);
  });
});
