import assert from 'node:assert/strict';
import { newId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import type { RunningApi } from '../../../services/api/main.ts';
import { startTestApi } from '../../support/api.ts';
import type { ApiClient } from '../../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

type Listed = { data: Record<string, unknown>[]; next_cursor: string | null };
type Problem = { code: string; request_id?: string };

describe('tenancy over HTTP', () => {
  let database: TestDatabase;
  let api: RunningApi;
  let anybody: ApiClient;
  let admin: ApiClient;
  let count = 0;
  before(async () => {
    database = await createTestDatabase();
    ({ api, anybody, admin } = await startTestApi(database));
  });
  after(async () => {
    await api.stop();
    await database.close();
  });

  async function school() {
    const owner = await anybody.register('owner');
    count += 1;
    const slug = `http-${count}`;
    const body = { name: `School ${count}`, slug };
    const made = await owner.client.expect<{ id: string }>(201, 'POST', '/api/tenants', { body });
    assert.deepEqual(made, { id: made.id, ...body, role: 'owner' });
    return { id: made.id, slug, owner, client: owner.client.with({ tenant: slug }) };
  }
  /** The token in the mail that was queued for an address. */
  const tokenFor = (template: string, email: string) =>
    until(async () => {
      const [row] = await database.asSuperuser<{ url: string }>(
        `select data ->> 'url' as url from app.notification_deliveries where template = $1 and to_email = $2
          order by created_at desc limit 1`,
        [template, email],
      );
      return row?.url.split('#token=')[1];
    });

  it('walks from an open school over invitation, membership and roles to a key that is revoked', async () => {
    const { client, slug } = await school();
    const teacher = await anybody.register('teacher');
    const invited = await client.expect<{ id: string; state: string }>(201, 'POST', '/api/invitations', {
      body: { email: teacher.email, role: 'teacher' },
    });
    assert.equal(invited.state, 'pending');
    assert.ok(!('token' in invited));
    const token = await tokenFor('tenancy.invitation', teacher.email);
    const accept = `/api/invitations/${token}/accept`;
    const early = await teacher.client.call<Problem>('POST', accept, { body: {} });
    assert.deepEqual([early.status, early.body.code], [403, 'email_unverified']);
    const verify = await tokenFor('auth.verify_email', teacher.email);
    await anybody.expect(204, 'POST', '/api/auth/verify-email', { body: { token: verify } });
    const login = await anybody.expect<{ access_token: string }>(200, 'POST', '/api/auth/login', {
      body: { email: teacher.email, password: teacher.password },
    });
    const verified = anybody.with({ token: login.access_token });
    const accepted = await verified.expect<{ role: string; tenant: { slug: string } }>(200, 'POST', accept);
    assert.deepEqual([accepted.role, accepted.tenant.slug], ['teacher', slug]);

    const me = await verified.expect<{ user: { email_verified: boolean }; memberships: unknown[] }>(
      200,
      'GET',
      '/api/me',
    );
    assert.equal(me.user.email_verified, true);
    assert.equal(me.memberships.length, 1);
    const members = await client.expect<Listed>(200, 'GET', '/api/members?role=teacher');
    const memberId = String(members.data[0]?.id);
    assert.equal(members.data[0]?.email, teacher.email);
    await client.expect(200, 'PATCH', `/api/members/${memberId}`, { body: { role: 'admin' } });
    await client.expect(204, 'DELETE', `/api/members/${memberId}`);
    await client.expect(404, 'DELETE', `/api/members/${memberId}`);
    assert.equal((await verified.expect<Listed>(200, 'GET', '/api/tenants')).data.length, 0);

    const made = await client.expect<{ id: string; key: string; prefix: string }>(201, 'POST', '/api/api-keys', {
      body: { name: 'Importer' },
    });
    assert.ok(made.key.startsWith(`klar_${made.prefix}_`));
    const machine = anybody.with({ token: made.key });
    const current = await machine.expect<{ slug: string }>(200, 'GET', '/api/tenants/current');
    assert.equal(current.slug, slug);
    const listed = await client.call('GET', '/api/api-keys');
    assert.ok(!JSON.stringify(listed.body).includes(made.key));
    await client.expect(204, 'DELETE', `/api/api-keys/${made.id}`);
    const refused = await machine.call<Problem>('GET', '/api/tenants/current');
    assert.deepEqual([refused.status, refused.body.code], [401, 'invalid_api_key']);
  });

  it('joins with 201, joins again with 200, and pages through schools and members', async () => {
    const { client, slug } = await school();
    const student = await anybody.register('student');
    assert.deepEqual(await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} }), {
      role: 'student',
    });
    assert.deepEqual(await student.client.expect(200, 'POST', `/api/tenants/${slug}/join`, { body: {} }), {
      role: 'student',
    });
    const first = await client.expect<Listed>(200, 'GET', '/api/members?limit=1');
    const second = await client.expect<Listed>(200, 'GET', `/api/members?limit=1&cursor=${first.next_cursor}`);
    assert.equal(second.next_cursor, null);
    assert.notEqual(first.data[0]?.id, second.data[0]?.id);
    // A cursor of another list has the right form; something else altogether has not.
    await client.expect(422, 'GET', `/api/invitations?cursor=${first.next_cursor}`);
    await client.expect(400, 'GET', '/api/invitations?cursor=%20');
    await client.expect(200, 'PATCH', '/api/tenants/current', { body: { open_registration: false } });
    const late = await anybody.register('late');
    const closed = await late.client.call<Problem>('POST', `/api/tenants/${slug}/join`, { body: {} });
    assert.deepEqual([closed.status, closed.body.code], [403, 'registration_closed']);
  });

  it('answers a stranger of a school and an unknown school with the same bytes', async () => {
    const { slug } = await school();
    const stranger = await anybody.register('stranger');
    const strip = (answer: { status: number; body: Problem }) => ({
      ...answer.body,
      request_id: '',
      status: answer.status,
    });
    for (const [method, path] of [
      ['GET', '/api/tenants/current'],
      ['PATCH', '/api/tenants/current'],
      ['GET', '/api/members'],
      ['DELETE', `/api/members/${newId('mem')}`],
      ['GET', '/api/invitations'],
      ['GET', '/api/api-keys'],
    ] as const) {
      const options = method === 'PATCH' ? { body: { name: 'x' } } : {};
      const own = await stranger.client.with({ tenant: slug }).call<Problem>(method, path, options);
      const unknown = await stranger.client.with({ tenant: 'no-such-school' }).call<Problem>(method, path, options);
      assert.equal(own.status, 404, path);
      assert.deepEqual(strip(own), strip(unknown), path);
    }
  });

  it('shows the admin routes to nobody but platform administrators', async () => {
    const { id, client, owner } = await school();
    const key = await client.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'k' } });
    const missing = await owner.client.call<Problem>('GET', '/api/no-such-route');
    await anybody.expect(401, 'GET', '/api/admin/tenants');
    for (const caller of [owner.client, client, anybody.with({ token: key.key })]) {
      for (const [method, path] of [
        ['GET', '/api/admin/tenants'],
        ['GET', `/api/admin/tenants/${id}`],
        ['POST', `/api/admin/tenants/${id}/block`],
        ['POST', `/api/admin/tenants/${id}/suspend`],
      ] as const) {
        const answer = await caller.call<Problem>(method, path, method === 'POST' ? { body: { reason: 'x' } } : {});
        assert.deepEqual([answer.status, answer.body.code], [404, missing.body.code], path);
      }
    }
    await admin.expect(200, 'GET', `/api/admin/tenants/${id}`);
  });

  it('admits a person with a platform role to what that role says, and audits by that person', async () => {
    const { id } = await school();
    const person = await anybody.register('operator');
    await database.asSuperuser(`insert into ops.platform_admins values ($1, '{platform.tenants.read}', 'test')`, [
      person.id,
    ]);
    await person.client.expect(200, 'GET', `/api/admin/tenants/${id}?reason=ticket-7`);
    await person.client.expect(404, 'POST', `/api/admin/tenants/${id}/block`, { body: { reason: 'x' } });
    const rows = await database.asSuperuser(
      `select actor_kind, actor_id, details ->> 'reason' as reason from app.audit_pending
        where tenant_id = $1 and action = 'platform.tenants.show'`,
      [id],
    );
    assert.deepEqual(rows, [{ actor_kind: 'platform', actor_id: person.id, reason: 'ticket-7' }]);
  });

  it('blocks: everything 403 at once; suspends: writes 402, reads stay', async () => {
    const { id, client } = await school();
    const reason = { body: { reason: 'test' } };
    await admin.expect(400, 'POST', `/api/admin/tenants/${id}/block`, { body: {} });
    await admin.expect(200, 'POST', `/api/admin/tenants/${id}/block`, reason);
    for (const [method, path] of [
      ['GET', '/api/tenants/current'],
      ['GET', '/api/members'],
      ['GET', '/api/courses'],
    ] as const) {
      const answer = await client.call<Problem>(method, path);
      assert.deepEqual([answer.status, answer.body.code], [403, 'tenant_blocked'], path);
    }
    await admin.expect(200, 'POST', `/api/admin/tenants/${id}/unblock`, reason);
    await admin.expect(200, 'POST', `/api/admin/tenants/${id}/suspend`, reason);
    await client.expect(200, 'GET', '/api/members');
    const write = await client.call<Problem>('PATCH', '/api/tenants/current', { body: { name: 'New' } });
    assert.deepEqual([write.status, write.body.code], [402, 'tenant_suspended']);
    await admin.expect(200, 'POST', `/api/admin/tenants/${id}/unsuspend`, reason);
    await client.expect(200, 'PATCH', '/api/tenants/current', { body: { name: 'New' } });
    await admin.expect(404, 'POST', `/api/admin/tenants/${SYSTEM_TENANT_ID}/block`, reason);
    const listed = await admin.expect<Listed>(200, 'GET', '/api/admin/tenants?limit=200&blocked=false');
    assert.ok(listed.data.some((row) => row.id === id));
    assert.ok(!listed.data.some((row) => row.id === SYSTEM_TENANT_ID));
  });

  it('refuses bad names, slugs, roles, scopes and addresses with 400 and never with 500', async () => {
    const { client, owner } = await school();
    const bad: [ApiClient, string, string, unknown][] = [
      ...['a\r\nBcc: x', '\u0000', '', ' ', 'x'.repeat(121), '\u202e', 7].map(
        (name): [ApiClient, string, string, unknown] => [
          owner.client,
          'POST',
          '/api/tenants',
          { name, slug: 'fine-slug' },
        ],
      ),
      ...['A', 'a--b', '../x', 'a'.repeat(41), null].map((slug): [ApiClient, string, string, unknown] => [
        owner.client,
        'POST',
        '/api/tenants',
        { name: 'Fine', slug },
      ]),
      ...['a@b.c\r\nBcc: d@e.f', 'a,b@c.d', '\u0000@b.c', 'x'.repeat(300)].map(
        (email): [ApiClient, string, string, unknown] => [
          client,
          'POST',
          '/api/invitations',
          { email, role: 'student' },
        ],
      ),
      [client, 'POST', '/api/invitations', { email: 'a@b.c', role: 'root' }],
      [client, 'POST', '/api/invitations', { email: 'a@b.c', role: 'student', tenant_id: 'ten_x' }],
      [client, 'POST', '/api/api-keys', { name: 'k', scopes: ['everything'] }],
      [client, 'POST', '/api/api-keys', { name: 'k', scopes: [] }],
      [client, 'PATCH', '/api/tenants/current', { billing_state: 'active' }],
    ];
    for (const [caller, method, path, body] of bad) {
      const answer = await caller.call(method, path, { body });
      assert.equal(answer.status, 400, `${path} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
    }
    for (const path of ['/api/members/%00', '/api/members/x', `/api/members/${'x'.repeat(65)}`]) {
      const { status } = await client.call('DELETE', path);
      assert.ok(status === 404 || status === 400, `${path}: ${status}`);
    }
    const taken = await owner.client.call<Problem>('POST', '/api/tenants', { body: { name: 'Fine', slug: 'admin' } });
    assert.deepEqual([taken.status, taken.body.code], [409, 'slug_taken']);
  });

  it('lets no API key act as a person', async () => {
    const { client, slug } = await school();
    const { key } = await client.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'k' } });
    const machine = anybody.with({ token: key });
    for (const [method, path] of [
      ['GET', '/api/me'],
      ['GET', '/api/tenants'],
      ['POST', `/api/tenants/${slug}/join`],
    ] as const) {
      assert.equal((await machine.call(method, path, method === 'POST' ? { body: {} } : {})).status, 403, path);
    }
    const other = await school();
    assert.equal((await machine.with({ tenant: other.slug }).call('GET', '/api/tenants/current')).status, 404);
  });
});
