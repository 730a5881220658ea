import assert from 'node:assert/strict';
import {
  heldBy,
  invite,
  listInvitations,
  type PersonPrincipal,
  type Role,
  revokeInvitation,
} from '#domain/tenancy/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

describe('tenancy: invitations', () => {
  let database: TestDatabase;
  let make: Factory;
  let school: School;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
    school = await make.school();
  });
  after(() => database.close());

  const as = (person: PersonPrincipal, role: Role) => ({ principal: person, held: heldBy(person, role) });
  const send = (person: PersonPrincipal, role: Role, email: string, to: Role = 'student') =>
    make.db.withTenantTx(school.id, (tx) =>
      invite(tx, as(person, role), { email, role: to, publicBaseUrl: 'https://klar.test' }),
    );

  it('makes one membership and one audit row of 50 parallel acceptances', async () => {
    const person = make.person();
    const { id, token } = await make.invitation(school, person.email, 'teacher');
    const answers = await Promise.all(Array.from({ length: 50 }, () => make.tenancy.acceptInvitation(person, token)));
    assert.ok(answers.every((a) => a.role === 'teacher' && a.tenant.slug === school.slug));
    const rows = await database.asSuperuser(
      `select (select count(*)::int from app.memberships where person_id = $1) as members,
              (select count(*)::int from routing.person_tenants where person_id = $1) as routes,
              (select count(*)::int from app.audit_pending where object_id = $2 and action = 'invitations.accept') as audits`,
      [person.personId, id],
    );
    assert.deepEqual(rows, [{ members: 1, routes: 1, audits: 1 }]);
  });

  it('lets in one of 50 persons who all claim the invited address', async () => {
    const email = 'shared@example.com';
    const { token } = await make.invitation(school, email);
    const people = Array.from({ length: 50 }, () => make.person({ email }));
    const results = await Promise.allSettled(people.map((person) => make.tenancy.acceptInvitation(person, token)));
    assert.equal(results.filter((r) => r.status === 'fulfilled').length, 1);
    for (const r of results) if (r.status === 'rejected') refusal('invitation_used')(r.reason);
  });

  it('belongs to its address, and only once that is verified', async () => {
    const person = make.person({ emailVerified: false });
    const { token } = await make.invitation(school, person.email.toUpperCase());
    await assert.rejects(
      make.tenancy.acceptInvitation(make.person(), token),
      refusal('invitation_for_another_address'),
    );
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('email_unverified'));
    const { role } = await make.tenancy.acceptInvitation({ ...person, emailVerified: true }, token);
    assert.equal(role, 'student');
  });

  it('tells whoever holds a foreign link nothing about its state', async () => {
    const person = make.person();
    const { id, token } = await make.invitation(school, person.email);
    await make.db.withTenantTx(school.id, (tx) => revokeInvitation(tx, as(school.owner, 'owner'), id));
    await assert.rejects(
      make.tenancy.acceptInvitation(make.person(), token),
      refusal('invitation_for_another_address'),
    );
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('invitation_revoked'));
  });

  it('expires by the time of the database', async () => {
    const person = make.person();
    const { id, token } = await make.invitation(school, person.email);
    await database.asSuperuser(`update app.invitations set expires_at = now() where id = $1`, [id]);
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('invitation_expired'));
  });

  it('answers not found for an unknown and a malformed token', async () => {
    const unknown = Buffer.alloc(32, 7).toString('base64url');
    for (const token of [unknown, '', 'x', `${unknown}\n`, "' or 1=1 --", '\u0000']) {
      await assert.rejects(make.tenancy.acceptInvitation(make.person(), token), refusal('not_found'));
    }
  });

  it('is spent once its member was removed', async () => {
    const person = make.person();
    const { token } = await make.invitation(school, person.email);
    await make.tenancy.acceptInvitation(person, token);
    await database.asSuperuser('delete from app.memberships where person_id = $1', [person.personId]);
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('invitation_used'));
  });

  it('never lowers a role, and raises it', async () => {
    const admin = await make.member(school, 'admin');
    const student = await make.member(school, 'student');
    // The copies of the addresses are outdated, so that members can be invited at all.
    await database.asSuperuser(`update app.memberships set email = id where tenant_id = $1`, [school.id]);
    const low = await make.invitation(school, admin.email, 'student');
    assert.equal((await make.tenancy.acceptInvitation(admin, low.token)).role, 'admin');
    const high = await make.invitation(school, student.email, 'teacher');
    assert.equal((await make.tenancy.acceptInvitation(student, high.token)).role, 'teacher');
  });

  it('invites to no role that the inviter could not hold', async () => {
    const admin = await make.member(school, 'admin');
    await assert.rejects(send(admin, 'admin', 'boss@example.com', 'owner'), refusal('role_not_yours_to_give'));
    await send(admin, 'admin', 'peer@example.com', 'admin');
    const made = await make.apiKey(school, ['invitations.manage']);
    const key = await make.tenancy.authenticateApiKey(made.key);
    assert.ok(key);
    const by = { principal: key, held: heldBy(key, undefined) };
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) =>
        invite(tx, by, { email: 'me@evil.example', role: 'admin', publicBaseUrl: 'https://klar.test' }),
      ),
      refusal('role_not_yours_to_give'),
    );
  });

  it('withdraws the open invitation when the same address is invited again, and keeps one of parallel ones', async () => {
    const person = make.person();
    const first = await make.invitation(school, person.email);
    const second = await make.invitation(school, person.email, 'teacher');
    await assert.rejects(make.tenancy.acceptInvitation(person, first.token), refusal('invitation_revoked'));
    assert.equal((await make.tenancy.acceptInvitation(person, second.token)).role, 'teacher');
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => send(school.owner, 'owner', 'many@example.com')),
    );
    assert.ok(results.some((r) => r.status === 'fulfilled'));
    for (const r of results) if (r.status === 'rejected') refusal('invitation_exists')(r.reason);
    const [row] = await database.asSuperuser(
      `select count(*)::int as n from app.invitations where email = 'many@example.com' and state = 'pending'`,
    );
    assert.equal(row?.n, 1);
  });

  it('refuses addresses that would break a header, and addresses of members', async () => {
    for (const email of [
      'a@b.c\r\nBcc: d@e.f',
      'a b@c.d',
      'a@b.c,d@e.f',
      '<a@b.c>',
      'a@b@c.d',
      'nobody',
      '"x y"@b.c',
    ]) {
      await assert.rejects(send(school.owner, 'owner', email), refusal('invalid_address'), email);
    }
    const member = await make.member(school);
    await assert.rejects(send(school.owner, 'owner', member.email), refusal('already_member'));
  });

  it('stores the token nowhere but in the unsent mail', async () => {
    const { id, token } = await make.invitation(school, 'quiet@example.com');
    const [row] = await database.asSuperuser<{ invitation: string; audit: string; routing: string }>(
      `select (select i::text from app.invitations i where id = $1) as invitation,
              (select string_agg(a::text, ' ') from app.audit_pending a) as audit,
              (select string_agg(r::text, ' ') from routing.invitations r) as routing`,
      [id],
    );
    assert.ok(!JSON.stringify(row).includes(token));
    assert.ok(!row?.audit.includes('quiet@example.com'));
  });

  it("does not reach another school's invitations", async () => {
    const { id } = await make.invitation(school, 'foreign@example.com');
    const other = await make.school();
    const asOther = as(other.owner, 'owner');
    await assert.rejects(
      make.db.withTenantTx(other.id, (tx) => revokeInvitation(tx, asOther, id)),
      refusal('not_found'),
    );
    assert.deepEqual(await make.db.withTenantTx(other.id, (tx) => listInvitations(tx, '', undefined, 50)), []);
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) => revokeInvitation(tx, as(school.owner, 'owner'), newId('inv'))),
      refusal('not_found'),
    );
  });

  it('is refused in a blocked and in a suspended school', async () => {
    const paused = await make.school();
    const person = make.person();
    const { token } = await make.invitation(paused, person.email);
    await database.asSuperuser(`update app.tenants set billing_state = 'suspended' where tenant_id = $1`, [paused.id]);
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('tenant_suspended'));
    await database.asSuperuser('update app.tenants set blocked = true, blocked_at = now() where tenant_id = $1', [
      paused.id,
    ]);
    await assert.rejects(make.tenancy.acceptInvitation(person, token), refusal('tenant_blocked'));
  });

  it('mails no more than 500 invitations a day for a school', async () => {
    const large = await make.school();
    await database.asSuperuser(
      `insert into app.invitations (tenant_id, id, email, role, token_hash, invited_by_kind, invited_by_id, expires_at)
       select $1, 'inv_' || n, n || '@example.com', 'student', sha256(n::text::bytea), 'person', 'x', now() + interval '1 day'
         from generate_series(1, 499) n`,
      [large.id],
    );
    await make.invitation(large, 'last@example.com');
    await assert.rejects(make.invitation(large, 'late@example.com'), refusal('too_many_invitations'));
    await database.asSuperuser(
      `update app.invitations set created_at = now() - interval '25 hours' where tenant_id = $1 and id = 'inv_1'`,
      [large.id],
    );
    await make.invitation(large, 'late@example.com');
  });
});
