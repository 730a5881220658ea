import assert from 'node:assert/strict';
import type { ApiClient } from '../support/client.ts';
import { until } from '../support/until.ts';
import { ACCOUNTS } from './conformance-accounts.ts';
import { refuse } from './conformance-refusals.ts';
import { type List, type Made, pages, type System, startSystem } from './conformance-system.ts';

type Json = { [key: string]: unknown };
type Person = Awaited<ReturnType<ApiClient['register']>>;

/** Statuses that have to be met at least once: each is answered by another part of the api. */
const MET = [200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 429, 503];

describe('every documented operation, called on a real system, answers as openapi.json says', () => {
  let system: System;
  let anybody: ApiClient;
  let admin: ApiClient;
  /** A school, its owner, a student of it, and a key of it with every permission of the owner. */
  let slug: string;
  let schoolId: string;
  let owner: Person;
  let student: Person;
  let teacher: ApiClient;
  let pupil: ApiClient;
  let key: string;

  before(async function () {
    this.timeout(60_000);
    system = await startSystem();
    ({ anybody, admin } = system);
    owner = await anybody.register('owner');
    student = await anybody.register('student');
    slug = `conformance-${owner.id.slice(-10)}`;
    const opened = { name: 'Conformance', slug };
    ({ id: schoolId } = await owner.client.expect<Made>(201, 'POST', '/api/tenants', { body: opened }));
    teacher = owner.client.with({ tenant: slug });
    pupil = student.client.with({ tenant: slug });
    await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    ({ key } = await teacher.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'Tests' } }));
  });
  after(() => system?.close());

  const price = { amount: 4900, currency: 'USD' };
  async function course(body: Json = {}): Promise<string> {
    const given = { title: 'Khmer for beginners', price, status: 'published', ...body };
    const { id } = await teacher.expect<Made>(201, 'POST', '/api/courses', { body: given });
    await teacher.expect(201, 'POST', `/api/courses/${id}/lessons`, { body: { title: 'Suosdey', content: 'Hello' } });
    return id;
  }
  async function order(who: ApiClient, id: string): Promise<string> {
    const body = { lines: [{ kind: 'course', id, quantity: 1 }] };
    return (await who.expect<Made>(201, 'POST', '/api/orders', { body })).id;
  }
  async function session(who: ApiClient, order_id: string, ui_mode?: string): Promise<string> {
    const body = { order_id, ...(ui_mode === undefined ? {} : { ui_mode }) };
    const url = '/api/payments/stripe/create-session';
    return (await who.expect<{ session_id: string }>(201, 'POST', url, { body })).session_id;
  }
  const becomes = (who: ApiClient, orderId: string, status: string) =>
    until(async () => (await who.expect<Json>(200, 'GET', `/api/orders/${orderId}`)).status === status, {
      what: `order ${status}`,
      timeoutMs: 15_000,
    });

  it('about itself', async () => {
    await anybody.expect(200, 'GET', '/api/ready');
    await anybody.expect(200, 'GET', '/api/openapi.json');
    await anybody.expect(200, 'GET', '/api/auth/jwks');
    await admin.expect(200, 'GET', '/api/ops/metrics');
  });

  for (const [what, step] of Object.entries(ACCOUNTS)) it(`accounts: ${what}`, () => step(system));

  it('schools, members, keys', async () => {
    const body = { name: 'Second', slug: `second-${slug}`.slice(0, 40) };
    await owner.client.expect(201, 'POST', '/api/tenants', { body });
    await owner.client.expect(409, 'POST', '/api/tenants', { body });
    await pages(owner.client, '/api/tenants');
    await teacher.expect(200, 'GET', '/api/tenants/current');
    await teacher.expect(200, 'PATCH', '/api/tenants/current', { body: { name: 'Conformance 2' } });
    await student.client.expect(200, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    const { client } = await anybody.register('classmate');
    await client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    await pages(teacher, '/api/members');
    const members = await teacher.expect<List<Made & { role: string; person_id: string }>>(200, 'GET', '/api/members');
    const classmate = members.data.find(({ role, person_id }) => role === 'student' && person_id !== student.id);
    const owning = members.data.find(({ role }) => role === 'owner');
    await teacher.expect(200, 'PATCH', `/api/members/${classmate?.id}`, { body: { role: 'teacher' } });
    await teacher.expect(409, 'PATCH', `/api/members/${owning?.id}`, { body: { role: 'student' } });
    await teacher.expect(204, 'DELETE', `/api/members/${classmate?.id}`);
    await pupil.expect(403, 'GET', '/api/api-keys');
    const made = await teacher.expect<Made>(201, 'POST', '/api/api-keys', { body: { name: 'Short-lived' } });
    await pages(teacher, '/api/api-keys');
    await teacher.expect(204, 'DELETE', `/api/api-keys/${made.id}`);
  });

  it('invitations', async () => {
    const guest = await anybody.register('guest');
    const body = { email: guest.email, role: 'teacher' };
    const headers = { 'idempotency-key': 'invite the guest' };
    await teacher.expect(201, 'POST', '/api/invitations', { body, headers });
    await teacher.expect(201, 'POST', '/api/invitations', { body, headers });
    await teacher.expect(422, 'POST', '/api/invitations', { body: { ...body, role: 'student' }, headers });
    const token = await system.mailed('accept-invitation', guest.email);
    await guest.client.expect(403, 'POST', `/api/invitations/${token}/accept`);
    const proof = await system.mailed('verify-email', guest.email);
    await anybody.expect(204, 'POST', '/api/auth/verify-email', { body: { token: proof } });
    await guest.client.expect(200, 'POST', `/api/invitations/${token}/accept`);
    const second = { body: { email: 'late@example.com', role: 'student' } };
    const { id } = await teacher.expect<Made>(201, 'POST', '/api/invitations', second);
    await pages(teacher, '/api/invitations');
    await teacher.expect(204, 'DELETE', `/api/invitations/${id}`);

    const late = await anybody.register('late');
    const lateProof = await system.mailed('verify-email', late.email);
    await anybody.expect(204, 'POST', '/api/auth/verify-email', { body: { token: lateProof } });
    await teacher.expect(201, 'POST', '/api/invitations', { body: { email: late.email, role: 'student' } });
    const over = await system.mailed('accept-invitation', late.email);
    await system.asSuperuser(`update app.invitations set expires_at = now() where email = $1`, [late.email]);
    await late.client.expect(410, 'POST', `/api/invitations/${over}/accept`);
  });

  it('courses, lessons, enrollments', async () => {
    const [id, other] = [await course(), await course({ status: 'draft' })];
    await pages(teacher, '/api/courses');
    await pupil.expect(200, 'GET', `/api/courses/${id}`);
    await pupil.expect(404, 'GET', `/api/courses/${other}`);
    await teacher.expect(200, 'PATCH', `/api/courses/${other}`, { body: { price: null, description: 'Soon' } });
    const lessons = `/api/courses/${id}/lessons`;
    const lesson = await teacher.expect<Made>(201, 'POST', lessons, { body: { title: 'Second', position: 7 } });
    await teacher.expect(409, 'POST', lessons, { body: { title: 'Third', position: 7 } });
    await teacher.expect(200, 'PATCH', `/api/lessons/${lesson.id}`, { body: { content: 'More' } });
    await pages(teacher, lessons);
    const enrollment = { body: { course_id: id, person_id: student.id } };
    await teacher.expect(201, 'POST', '/api/enrollments', enrollment);
    await teacher.expect(409, 'POST', '/api/enrollments', enrollment);
    await pupil.expect(200, 'POST', `/api/lessons/${lesson.id}/done`);
    await teacher.with({ token: key }).expect(403, 'POST', `/api/lessons/${lesson.id}/done`);
    const done = await pupil.expect<List<{ done_at: string | null }>>(200, 'GET', lessons);
    assert.ok(done.data.some(({ done_at }) => done_at !== null));
    await pupil.expect(200, 'GET', '/api/enrollments');
  });

  it('services', async () => {
    const body = { title: 'A lesson for one', duration_minutes: 60, price, status: 'published' };
    const { id } = await teacher.expect<Made>(201, 'POST', '/api/services', { body });
    await teacher.expect(201, 'POST', '/api/services', { body });
    await pages(teacher, '/api/services');
    await pupil.expect(200, 'GET', `/api/services/${id}`);
    await teacher.expect(200, 'PATCH', `/api/services/${id}`, { body: { price: null } });
  });

  it('orders and payments: every way to pay, a second payment, a cancellation', async () => {
    const headers = { 'idempotency-key': 'the same order' };
    const body = { lines: [{ kind: 'course', id: await course(), quantity: 1 }] };
    const { id: first } = await pupil.expect<Made>(201, 'POST', '/api/orders', { body, headers });
    assert.equal((await pupil.expect<Made>(201, 'POST', '/api/orders', { body, headers })).id, first);
    await pupil.expect(422, 'POST', '/api/orders', { body: { lines: [...body.lines, ...body.lines] }, headers });
    for (const mode of ['embedded_page', 'elements', 'form']) await session(pupil, first, mode);
    const early = await session(pupil, first);
    const last = await session(pupil, first, 'form');
    await system.atThePage(`checkout/${last}/pay`, { card: '4242424242424242' });
    await becomes(pupil, first, 'paid');
    await pupil.expect(409, 'POST', `/api/orders/${first}/cancel`);
    await system.atThePage(`double-pay/${early}`, { as: 'same_session' });
    await until(async () => (await teacher.expect<List>(200, 'GET', '/api/payments/incidents')).data.length > 0, {
      what: 'an incident',
      timeoutMs: 15_000,
    });
    const second = await order(pupil, await course());
    await session(pupil, second);
    await pupil.expect(200, 'POST', `/api/orders/${second}/cancel`);
    await pages(pupil, '/api/orders');
    await pages(teacher, '/api/payments');
    await pupil.expect(403, 'GET', '/api/payments');
    const free = await order(pupil, await course({ price: { amount: 0, currency: 'USD' } }));
    await becomes(pupil, free, 'paid');
    const unlucky = await order(pupil, await course());
    await system.atThePage('faults', { match: { path: '/v1/checkout/sessions' }, kind: 'http_500', times: 9 });
    await pupil.expect(503, 'POST', '/api/payments/stripe/create-session', { body: { order_id: unlucky } });
  }).timeout(60_000);

  it('the platform: schools, and the events of the payments above', async () => {
    await owner.client.expect(404, 'GET', '/api/admin/tenants');
    await pages(admin, '/api/admin/tenants');
    await admin.expect(200, 'GET', `/api/admin/tenants/${schoolId}`);
    const change = (verb: string) =>
      admin.expect(200, 'POST', `/api/admin/tenants/${schoolId}/${verb}`, { body: { reason: 'a test' } });
    await change('suspend');
    await teacher.expect(200, 'GET', '/api/tenants/current');
    await teacher.expect(402, 'PATCH', '/api/tenants/current', { body: { name: 'Unpaid' } });
    await change('unsuspend');
    await change('block');
    await teacher.expect(403, 'GET', '/api/tenants/current');
    await change('unblock');
    await pages(admin, '/api/admin/webhooks');
    const { data } = await admin.expect<List>(200, 'GET', '/api/admin/webhooks?state=done');
    const [event] = data;
    await admin.expect(200, 'GET', `/api/admin/webhooks/${event?.id}`);
    const again = { ids: [event?.id], reason: 'a test' };
    await admin.expect(200, 'POST', '/api/admin/webhooks/replay', { body: again });
    await admin.expect(200, 'POST', '/api/admin/webhooks/redrive', { body: { ...again, dry_run: true } });
    await admin.expect(422, 'POST', '/api/admin/webhooks/replay', { body: { reason: 'everything' } });
  });

  it('refusals of every operation, whoever asks and whatever is sent', async () => {
    const callers = { public: anybody, person: owner.client, tenant: teacher, platform: admin };
    for (const at of system.conformance.operations) {
      await refuse({ ...system, at, caller: callers[at.operation['x-klar-access'].kind], person: owner.client, key });
    }
  }).timeout(60_000);

  it('nothing that is documented was left out', () => {
    const { conformance } = system;
    assert.deepEqual(conformance.missing(), []);
    const met = new Set(conformance.operations.flatMap(({ operation }) => conformance.statuses(operation.operationId)));
    assert.deepEqual(
      MET.filter((status) => !met.has(status)),
      [],
    );
  });
});
