import assert from 'node:assert/strict';
import { authorize, currentTenant, updateTenant } from '#domain/tenancy/index.ts';
import { SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

describe('tenancy: schools', () => {
  let database: TestDatabase;
  let make: Factory;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
  });
  after(() => database.close());

  it('opens a school for an unverified person, who owns it', async () => {
    const owner = make.person({ emailVerified: false });
    const { tenant, role } = await make.tenancy.createTenant(owner, { name: '  Anna’s Schule  ', slug: 'anna' });
    assert.equal(role, 'owner');
    assert.equal(tenant.name, 'Anna’s Schule');
    const grant = await make.db.withTenantTx(tenant.tenantId, (tx) => authorize(tx, owner, 'tenant.manage', 'write'));
    assert.equal(grant.role, 'owner');
    assert.equal(grant.slug, 'anna');
    const rows = await database.asSuperuser('select action, actor_id from app.audit_pending where tenant_id = $1', [
      tenant.tenantId,
    ]);
    assert.deepEqual(rows, [{ action: 'tenants.create', actor_id: owner.personId }]);
  });

  it('refuses a taken, a reserved and a malformed slug, and leaves nothing behind', async () => {
    const owner = make.person();
    await make.school({ slug: 'taken' });
    await assert.rejects(make.tenancy.createTenant(owner, { name: 'X1', slug: 'taken' }), refusal('slug_taken'));
    await assert.rejects(make.tenancy.createTenant(owner, { name: 'X1', slug: 'admin' }), refusal('slug_taken'));
    for (const slug of ['ab', 'Ab-cd', '-abc', 'abc-', 'xn--abc', 'a'.repeat(41), '_platform', 'a b c', 'abc\n']) {
      await assert.rejects(make.tenancy.createTenant(owner, { name: 'X1', slug }), refusal('invalid_slug'), slug);
    }
    assert.deepEqual((await make.tenancy.membershipsOf(owner.personId, '', 50)).memberships, []);
  });

  it('gives a slug to one of 20 parallel askers', async () => {
    const people = Array.from({ length: 20 }, () => make.person());
    const results = await Promise.allSettled(
      people.map((person) => make.tenancy.createTenant(person, { name: 'Race', slug: 'race' })),
    );
    assert.equal(results.filter((r) => r.status === 'fulfilled').length, 1);
    for (const result of results) if (result.status === 'rejected') refusal('slug_taken')(result.reason);
    const [row] = await database.asSuperuser(`select count(*)::int as n from app.tenants where slug = 'race'`);
    assert.equal(row?.n, 1);
  });

  it('refuses names with control or direction characters', async () => {
    for (const name of [
      'a\r\nBcc: x@y.z',
      'a\u0000b',
      'a\u202eb',
      ' \t ',
      '\u00a0\u200b',
      'a\ud800',
      'x'.repeat(121),
    ]) {
      await assert.rejects(make.tenancy.createTenant(make.person(), { name, slug: 'named' }), refusal('invalid_name'));
    }
  });

  it('changes name and registration rule', async () => {
    const school = await make.school();
    const changed = await make.db.withTenantTx(school.id, (tx) =>
      updateTenant(tx, school.owner, { name: 'New name', openRegistration: false }),
    );
    assert.equal(changed.name, 'New name');
    assert.equal(changed.openRegistration, false);
    const kept = await make.db.withTenantTx(school.id, (tx) => updateTenant(tx, school.owner, {}));
    assert.equal(kept.name, 'New name');
    assert.equal(kept.openRegistration, false);
  });

  it('makes one membership of 50 parallel joins, and answers all of them', async () => {
    const school = await make.school();
    const person = make.person();
    const answers = await Promise.all(Array.from({ length: 50 }, () => make.tenancy.join(person, school.slug)));
    assert.ok(answers.every((answer) => answer.role === 'student'));
    assert.equal(answers.filter((answer) => answer.joined).length, 1);
    const rows = await database.asSuperuser(
      `select (select count(*)::int from app.memberships where person_id = $1) as members,
              (select count(*)::int from routing.person_tenants where person_id = $1) as routes,
              (select count(*)::int from app.audit_pending where actor_id = $1 and action = 'members.join') as audits`,
      [person.personId],
    );
    assert.deepEqual(rows, [{ members: 1, routes: 1, audits: 1 }]);
  });

  it('keeps the role of a member who joins again', async () => {
    const school = await make.school();
    assert.deepEqual(await make.tenancy.join(school.owner, school.slug), { role: 'owner', joined: false });
  });

  it('lets nobody join where registration is closed, nor the platform itself', async () => {
    const school = await make.school();
    await make.db.withTenantTx(school.id, (tx) => updateTenant(tx, school.owner, { openRegistration: false }));
    await assert.rejects(make.tenancy.join(make.person(), school.slug), refusal('registration_closed'));
    await assert.rejects(make.tenancy.join(make.person(), '_platform'), refusal('not_found'));
    await assert.rejects(make.tenancy.join(make.person(), 'no-such-school'), refusal('not_found'));
  });

  it('lists the schools of a person page by page', async () => {
    const person = make.person();
    for (let i = 0; i < 5; i += 1) await make.school({ owner: person });
    const first = await make.tenancy.membershipsOf(person.personId, '', 3);
    const rest = await make.tenancy.membershipsOf(person.personId, first.next ?? '', 3);
    assert.equal(first.memberships.length, 3);
    assert.equal(rest.memberships.length, 2);
    assert.equal(rest.next, undefined);
    assert.equal(new Set([...first.memberships, ...rest.memberships].map((m) => m.tenant.tenantId)).size, 5);
  });

  it('has a system tenant that nobody is a member of', async () => {
    const tenant = await make.db.withTenantTx(SYSTEM_TENANT_ID, currentTenant);
    assert.equal(tenant.slug, '_platform');
    assert.equal(tenant.openRegistration, false);
    assert.equal(await make.tenancy.tenantIdOfSlug('_platform'), undefined);
  });
});
