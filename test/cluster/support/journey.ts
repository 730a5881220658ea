import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { ingressTarget } from './ingress.ts';
import { clientOf } from './traffic.ts';
import { HOSTS } from './values.ts';

/** One purchase through the ingress: a school opens, a student orders, pays at the provider, and may enter. */
export async function purchaseJourney(): Promise<{ slug: string; orderId: string }> {
  const anybody = clientOf(ingressTarget(HOSTS.api));
  const sandbox = clientOf(ingressTarget(HOSTS.sandbox));
  const teacher = await anybody.register('teacher');
  const slug = `journey-${teacher.id.slice(-10).toLowerCase()}`;
  await teacher.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Journey', slug } });
  const school = teacher.client.with({ tenant: slug });
  const course = await school.expect<{ id: string }>(201, 'POST', '/api/courses', {
    body: { title: 'Swedish', price: { amount: 4900, currency: 'USD' }, status: 'published' },
  });
  await school.expect(201, 'POST', `/api/courses/${course.id}/lessons`, { body: { title: 'Hej!', content: 'Hej' } });

  const student = await anybody.register('student');
  await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
  const buyer = student.client.with({ tenant: slug });
  await buyer.expect(404, 'GET', `/api/courses/${course.id}/lessons`);
  const order = await buyer.expect<{ id: string; status: string }>(201, 'POST', '/api/orders', {
    headers: { 'idempotency-key': `journey-${course.id}` },
    body: { lines: [{ kind: 'course', id: course.id, quantity: 1 }] },
  });
  assert.equal(order.status, 'pending');
  const session = await buyer.expect<{ session_id: string; url: string }>(
    201,
    'POST',
    '/api/payments/stripe/create-session',
    { body: { order_id: order.id } },
  );
  assert.equal(new URL(session.url).hostname, HOSTS.sandbox, 'people are sent to where the provider can be reached');
  await sandbox.expect(200, 'POST', `/sandbox/checkout/${session.session_id}/pay`, {
    body: { card: '4242424242424242' },
  });
  await until(
    async () => (await buyer.expect<{ status: string }>(200, 'GET', `/api/orders/${order.id}`)).status === 'paid',
    { timeoutMs: 60_000, everyMs: 300, what: 'the paid order' },
  );
  const lessons = await buyer.expect<{ data: unknown[] }>(200, 'GET', `/api/courses/${course.id}/lessons`);
  assert.equal(lessons.data.length, 1, 'what was bought is open');
  const mail = await until(
    async () => {
      const found = await sandbox.expect<{ data: unknown[] }>(200, 'GET', `/sandbox/mail?to=${student.email}`);
      return found.data.length > 0 ? found.data : undefined;
    },
    { timeoutMs: 60_000, everyMs: 300, what: 'the receipt by mail' },
  );
  assert.ok(mail.length > 0);
  return { slug, orderId: order.id };
}
