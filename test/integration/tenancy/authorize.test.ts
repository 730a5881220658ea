import assert from 'node:assert/strict';
import {
  authorize,
  type Permission,
  PLATFORM_PERMISSIONS,
  type PlatformPrincipal,
  type Principal,
  setBlocked,
  setSuspended,
} from '#domain/tenancy/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

const platform: PlatformPrincipal = { kind: 'platform', id: 'admin-token', permissions: PLATFORM_PERMISSIONS };

describe('tenancy: authorize', () => {
  let database: TestDatabase;
  let make: Factory;
  let school: School;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
  });
  beforeEach(async () => {
    school = await make.school();
  });
  after(() => database.close());

  const ask = (who: Principal, permission: Permission, mode: 'read' | 'write' = 'read', tenantId = school.id) =>
    make.db.withTenantTx(tenantId, (tx) => authorize(tx, who, permission, mode), { readOnly: mode === 'read' });
  const answerTo = async (promise: Promise<unknown>) => {
    const error = await promise.then(
      () => assert.fail('was allowed'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof KlarError);
    return { status: error.status, code: error.code, detail: error.detail, extra: error.extra };
  };

  it("tells a stranger, another school's owner, a platform administrator and a foreign key what an unknown tenant tells", async () => {
    const other = await make.school();
    const { key } = await make.apiKey(other);
    const foreignKey = await make.tenancy.authenticateApiKey(key);
    assert.ok(foreignKey);
    const unknown = await answerTo(ask(make.person(), 'tenant.read', 'read', newId('ten')));
    assert.equal(unknown.code, 'not_found');
    assert.deepEqual(await answerTo(ask(make.person(), 'tenant.read')), unknown);
    assert.deepEqual(await answerTo(ask(other.owner, 'tenant.read')), unknown);
    assert.deepEqual(await answerTo(ask(platform, 'tenant.read')), unknown);
    // Not even one who is also the owner, as long as the call is made as an administrator.
    assert.deepEqual(await answerTo(ask({ ...platform, id: school.owner.personId }, 'tenant.read')), unknown);
    assert.deepEqual(await answerTo(ask(foreignKey, 'tenant.read')), unknown);
    // Nor does a stranger learn that a school is blocked or suspended.
    await setBlocked(make.db, platform, school.id, true, 'test');
    assert.deepEqual(await answerTo(ask(make.person(), 'tenant.read')), unknown);
    assert.deepEqual(await answerTo(ask(foreignKey, 'tenant.read')), unknown);
  });

  it('forbids what the role lacks', async () => {
    const student = await make.member(school);
    assert.equal((await ask(student, 'courses.read')).role, 'student');
    await assert.rejects(ask(student, 'courses.write', 'write'), refusal('permission_denied'));
    await assert.rejects(ask(student, 'members.read'), refusal('permission_denied'));
  });

  it('counts a changed role and a removal from their commit on', async () => {
    const member = await make.member(school, 'teacher');
    await ask(member, 'courses.write', 'write');
    await database.asSuperuser(`update app.memberships set role = 'student' where id = $1`, [member.memberId]);
    await assert.rejects(ask(member, 'courses.write', 'write'), refusal('permission_denied'));
    await database.asSuperuser('delete from app.memberships where id = $1', [member.memberId]);
    await assert.rejects(ask(member, 'courses.read'), refusal('not_found'));
  });

  it('refuses everything in a blocked school, until the block is lifted', async () => {
    const key = await make.tenancy.authenticateApiKey((await make.apiKey(school)).key);
    assert.ok(key);
    await setBlocked(make.db, platform, school.id, true, 'fraud');
    for (const who of [school.owner, key]) {
      await assert.rejects(ask(who, 'tenant.read'), refusal('tenant_blocked'));
      await assert.rejects(ask(who, 'courses.write', 'write'), refusal('tenant_blocked'));
    }
    // A student is told of the block, not of a missing permission.
    await assert.rejects(make.tenancy.join(make.person(), school.slug), refusal('tenant_blocked'));
    await setBlocked(make.db, platform, school.id, false, 'cleared');
    await ask(school.owner, 'courses.write', 'write');
  });

  it('refuses writes in a suspended school and lets reads go on', async () => {
    await setSuspended(make.db, platform, school.id, true, 'unpaid');
    assert.equal((await ask(school.owner, 'orders.read_all')).billingState, 'suspended');
    await assert.rejects(ask(school.owner, 'orders.place', 'write'), refusal('tenant_suspended'));
    await assert.rejects(make.tenancy.join(make.person(), school.slug), refusal('tenant_suspended'));
    const student = await make.member(await make.school());
    await assert.rejects(ask(student, 'orders.place', 'write'), refusal('not_found'));
    await setSuspended(make.db, platform, school.id, false, 'paid');
    await ask(school.owner, 'orders.place', 'write');
  });

  it('says a missing permission before an unpaid bill, and a block before both', async () => {
    const student = await make.member(school);
    await setSuspended(make.db, platform, school.id, true, 'unpaid');
    await assert.rejects(ask(student, 'courses.write', 'write'), refusal('permission_denied'));
    await setBlocked(make.db, platform, school.id, true, 'fraud');
    await assert.rejects(ask(student, 'courses.write', 'write'), refusal('tenant_blocked'));
  });

  it('takes one statement, issued with the first flight', async () => {
    let statements = 0;
    await make.db.withTenantTx(school.id, (tx) => {
      const counted = new Proxy(tx, {
        get(target, name, receiver) {
          if (name === 'maybe' || name === 'rows' || name === 'one' || name === 'run') statements += 1;
          return Reflect.get(target, name, receiver);
        },
      });
      return authorize(counted, school.owner, 'tenant.read', 'read');
    });
    assert.equal(statements, 1);
  });
});
