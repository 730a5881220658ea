/** A school with a course, its students, and money that moves in the sandbox: the real journey, over HTTP. */
import assert from 'node:assert/strict';
import type { Sandbox } from '../../services/sandbox/main.ts';
import { startSandbox } from '../../services/sandbox/main.ts';
import { ApiClient } from '../support/client.ts';
import { freePorts, type KlarProcess, startProcess, untilAnswers } from '../support/process.ts';
import { createStack, type Stack } from '../support/stack.ts';

const SECRET = 'whsec_crash_secret';

export type Purchase = { orderId: string; client: ApiClient };

export type Shop = {
  stack: Stack;
  sandbox: Sandbox;
  /** A student orders the course and opens a checkout session. */
  order(): Promise<Purchase & { sessionId: string }>;
  /** The student pays; resolves when ingest has taken every webhook of it. */
  pay(sessionId: string): Promise<void>;
  status(purchase: Purchase): Promise<string>;
  /** Starts a worker; `ready` false does not wait for it. */
  worker(env?: Record<string, string>, ready?: boolean): Promise<KlarProcess>;
  close(): Promise<void>;
};

export async function openShop(): Promise<Shop> {
  const [sandboxPort = 0, ingestPort = 0] = await freePorts(2);
  const sandboxUrl = `http://127.0.0.1:${sandboxPort}`;
  const stack = await createStack({
    STRIPE_WEBHOOK_SECRET: SECRET,
    STRIPE_API_BASE: sandboxUrl,
    SMTP_URL: 'smtp://127.0.0.1:9',
  });
  const sandbox = await startSandbox({
    profile: 'test',
    port: sandboxPort,
    smtpPort: 0,
    webhookUrl: `http://127.0.0.1:${ingestPort}/api/billing/stripe/webhook`,
    webhookSecret: () => SECRET,
    stripeSecretKey: 'sk_test_stack',
    clock: { now: () => new Date() },
    log: { info() {}, warn() {}, error() {} },
    rateLimitPerSecond: 10_000,
    webhookRetryMs: Array.from({ length: 100 }, () => 100),
  });
  stack.env.SMTP_URL = sandbox.smtpUrl;
  await stack.start('webhook-ingest', { port: ingestPort });
  const api = await stack.start('api');

  const teacher = await new ApiClient(api.url).register('teacher');
  const slug = `school-${teacher.id.slice(-8)}`;
  await teacher.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Crash School', slug } });
  const school = teacher.client.with({ tenant: slug });
  const course = await school.expect<{ id: string }>(201, 'POST', '/api/courses', {
    body: { title: 'Surviving', status: 'published', price: { amount: 4900, currency: 'USD' } },
  });

  return {
    stack,
    sandbox,
    async order() {
      const student = await new ApiClient(api.url).register('student');
      await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
      const client = student.client.with({ tenant: slug });
      const order = await client.expect<{ id: string }>(201, 'POST', '/api/orders', {
        body: { lines: [{ kind: 'course', id: course.id, quantity: 1 }] },
      });
      const session = await client.expect<{ session_id: string }>(201, 'POST', '/api/payments/stripe/create-session', {
        body: { order_id: order.id },
      });
      return { orderId: order.id, client, sessionId: session.session_id };
    },
    async pay(sessionId) {
      const response = await fetch(`${sandboxUrl}/sandbox/checkout/${sessionId}/pay`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ card: '4242424242424242', outcome: 'approve' }),
      });
      assert.equal(response.status, 200, await response.text());
      await sandbox.idle();
    },
    async status({ orderId, client }) {
      return (await client.expect<{ status: string }>(200, 'GET', `/api/orders/${orderId}`)).status;
    },
    async worker(env = {}, ready = true) {
      const [adminPort = 0] = await freePorts(1);
      const process = startProcess('test/crash/worker-process.ts', {
        ...stack.env,
        ADMIN_PORT: String(adminPort),
        ...env,
      });
      if (ready) await untilAnswers(process, `http://127.0.0.1:${adminPort}/readyz`);
      return process;
    },
    async close() {
      await sandbox.stop();
      await stack.close();
    },
  };
}

/** What one purchase has left in the database, counted past row level security. */
export type Traces = {
  paid_orders: number;
  payments: number;
  captured: number;
  fulfilments: number;
  enrollments: number;
  receipts: number;
  pay_audits: number;
  grant_audits: number;
};

export const ONE_OF_EACH: Traces = {
  paid_orders: 1,
  payments: 1,
  captured: 4900,
  fulfilments: 1,
  enrollments: 1,
  receipts: 1,
  pay_audits: 1,
  grant_audits: 1,
};

export async function tracesOf(stack: Stack, orderId: string): Promise<Traces | undefined> {
  const [row] = await stack.database.asSuperuser<Traces>(
    `select
       (select count(*)::int from app.orders o where o.id = $1 and o.status = 'paid') as paid_orders,
       (select count(*)::int from app.payments p where p.order_id = $1) as payments,
       (select coalesce(sum(p.captured), 0)::int from app.payments p where p.order_id = $1) as captured,
       (select count(*)::int from app.fulfilments f where f.order_id = $1) as fulfilments,
       (select count(*)::int from app.enrollments e join app.orders o on o.person_id = e.person_id where o.id = $1)
         as enrollments,
       (select count(*)::int from app.notification_deliveries d
        where d.template = 'orders.receipt' and d.dedupe_key like '%' || $1 || '%') as receipts,
       (select count(*)::int from app.audit_pending a where a.action = 'orders.pay' and a.object_id = $1) as pay_audits,
       (select count(*)::int from app.audit_pending a join app.enrollments e on e.id = a.object_id
          join app.orders o on o.person_id = e.person_id
        where a.action = 'enrollments.grant' and o.id = $1) as grant_audits`,
    [orderId],
  );
  return row;
}
