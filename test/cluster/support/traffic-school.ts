import assert from 'node:assert/strict';
import type { ApiClient } from '../../support/client.ts';
import type { LoadTarget } from '../../support/load.ts';
import { until } from '../../support/until.ts';
import { clientOf } from './traffic.ts';

/** A student who sends requests; the token is renewed in time. */
export interface Student {
  headers(): Record<string, string>;
}

export interface School {
  tenantSlug: string;
  courseId: string;
  serviceId: string;
  students: Student[];
  /** Paid at the provider, which told nobody: the events of the load bring the money. */
  purchases: { orderId: string; sessionId: string }[];
  /** Ends the renewal of tokens. */
  close(): void;
}

const STUDENTS = 4;
/** Purchases that are prepared at a time: a load of its own, so a small one. */
const PARALLEL = 6;
/** An access token lives 5 minutes. */
const RENEW_MS = 120_000;

/** Opens a school, with students whose orders stay unpaid and purchases that wait for their webhook. */
export async function openSchool(input: {
  target: LoadTarget;
  sandbox: LoadTarget;
  purchases: number;
  run: string;
}): Promise<School> {
  const anybody = clientOf(input.target);
  const tenantSlug = `load-${input.run}`;
  const teacher = await anybody.register('teacher');
  await teacher.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Load', slug: tenantSlug } });
  const school = teacher.client.with({ tenant: tenantSlug });
  const price = { amount: 4900, currency: 'USD' };
  const course = await school.expect<{ id: string }>(201, 'POST', '/api/courses', {
    body: { title: 'Standing firm', price, status: 'published' },
  });
  const service = await school.expect<{ id: string }>(201, 'POST', '/api/services', {
    body: { title: 'An hour under load', duration_minutes: 60, price, status: 'published' },
  });
  const stops: (() => void)[] = [];
  const students: Student[] = [];
  for (let n = 0; n < STUDENTS; n++) {
    const student = await join(anybody, tenantSlug);
    stops.push(student.close);
    students.push(student);
  }
  const buyer = await join(anybody, tenantSlug);
  stops.push(buyer.close);
  const purchases = await preparePurchases({ ...input, buyer, serviceId: service.id });
  return {
    tenantSlug,
    courseId: course.id,
    serviceId: service.id,
    students,
    purchases,
    close: () => {
      for (const stop of stops) stop();
    },
  };
}

async function join(anybody: ApiClient, slug: string) {
  const student = await anybody.register('student');
  await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
  let { token, refreshToken } = student;
  let renewing = Promise.resolve();
  const renew = () =>
    until(
      async () => {
        const answer = await anybody.expect<{ access_token: string; refresh_token: string }>(
          200,
          'POST',
          '/api/auth/refresh',
          { body: { refresh_token: refreshToken } },
        );
        token = answer.access_token;
        refreshToken = answer.refresh_token;
        return true;
      },
      { timeoutMs: 60_000, everyMs: 500, what: 'a renewed token' },
    ).then(
      () => {},
      // The load shows it: its requests are refused from now on.
      (error: Error) => void process.stdout.write(`      ${error.message}: ${(error.cause as Error)?.message}\n`),
    );
  const timer = setInterval(() => {
    renewing = renewing.then(renew);
  }, RENEW_MS).unref();
  return {
    headers: () => ({ authorization: `Bearer ${token}`, 'klar-tenant': slug }),
    client: () => student.client.with({ token, tenant: slug }),
    close: () => clearInterval(timer),
  };
}

async function preparePurchases(input: {
  sandbox: LoadTarget;
  purchases: number;
  buyer: { client(): ApiClient };
  serviceId: string;
}): Promise<School['purchases']> {
  const sandbox = clientOf(input.sandbox);
  const fault = await sandbox.call<{ id: string }>('POST', '/sandbox/faults', {
    body: { match: { event: '*' }, kind: 'drop', times: 1_000_000 },
  });
  assert.ok(fault.status < 300, `the sandbox takes no fault: ${fault.status} ${JSON.stringify(fault.body)}`);
  const prepared: School['purchases'] = [];
  let begun = 0;
  const prepare = async () => {
    while (begun < input.purchases) {
      begun += 1;
      const client = input.buyer.client();
      const order = await client.expect<{ id: string }>(201, 'POST', '/api/orders', {
        body: { lines: [{ kind: 'service', id: input.serviceId, quantity: 1 }] },
      });
      const session = await client.expect<{ session_id: string }>(201, 'POST', '/api/payments/stripe/create-session', {
        body: { order_id: order.id },
      });
      await sandbox.expect(200, 'POST', `/sandbox/checkout/${session.session_id}/pay`, {
        body: { card: '4242424242424242' },
      });
      prepared.push({ orderId: order.id, sessionId: session.session_id });
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, prepare));
  } finally {
    await sandbox.call('DELETE', `/sandbox/faults/${fault.body.id}`);
  }
  return prepared;
}
