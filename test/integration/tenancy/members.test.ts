import assert from 'node:assert/strict';
import { changeRole, heldBy, type PersonPrincipal, type Role, removeMember } from '#domain/tenancy/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

const by = (person: PersonPrincipal, role: Role) => ({ principal: person, held: heldBy(person, role) });

describe('tenancy: members', () => {
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

  const owners = async () => {
    const rows = await database.asSuperuser<{ person_id: string }>(
      `select person_id from app.memberships where tenant_id = $1 and role = 'owner'`,
      [school.id],
    );
    return rows.map((row) => row.person_id);
  };
  const memberIdOf = async (person: PersonPrincipal) => {
    const [row] = await database.asSuperuser<{ id: string }>(
      'select id from app.memberships where tenant_id = $1 and person_id = $2',
      [school.id, person.personId],
    );
    return row?.id ?? '';
  };
  const change = (actor: PersonPrincipal, role: Role, memberId: string, to: Role) =>
    make.db.withTenantTx(school.id, (tx) => changeRole(tx, by(actor, role), memberId, to));
  const remove = (actor: PersonPrincipal, role: Role, memberId: string) =>
    make.db.withTenantTx(school.id, (tx) => removeMember(tx, by(actor, role), memberId));

  it('never demotes or removes the last owner', async () => {
    const me = await memberIdOf(school.owner);
    await assert.rejects(change(school.owner, 'owner', me, 'admin'), refusal('last_owner'));
    await assert.rejects(remove(school.owner, 'owner', me), refusal('last_owner'));
    assert.deepEqual(await owners(), [school.owner.personId]);
  });

  it('leaves one owner when five owners demote and remove each other in parallel, twenty times', async () => {
    for (let round = 0; round < 20; round += 1) {
      school = await make.school();
      const others = await Promise.all(Array.from({ length: 4 }, () => make.member(school, 'owner')));
      const all = [{ ...school.owner, memberId: await memberIdOf(school.owner) }, ...others];
      await Promise.allSettled(
        all.map((actor, i) => {
          const victim = all[(i + 1) % all.length]?.memberId ?? '';
          return i % 2 === 0 ? change(actor, 'owner', victim, 'student') : remove(actor, 'owner', victim);
        }),
      );
      assert.ok((await owners()).length >= 1, `round ${round}`);
    }
  });

  it('leaves one owner when two owners step down at once, fifty times', async () => {
    for (let round = 0; round < 50; round += 1) {
      school = await make.school();
      const second = await make.member(school, 'owner');
      const first = await memberIdOf(school.owner);
      const results = await Promise.allSettled([
        change(school.owner, 'owner', first, 'admin'),
        change(second, 'owner', second.memberId, 'admin'),
      ]);
      assert.equal(results.filter((r) => r.status === 'fulfilled').length, 1, `round ${round}`);
      assert.equal((await owners()).length, 1);
    }
  });

  it('lets an admin neither make nor unmake an owner', async () => {
    const admin = await make.member(school, 'admin');
    const second = await make.member(school, 'owner');
    await assert.rejects(change(admin, 'admin', admin.memberId, 'owner'), refusal('role_not_yours_to_give'));
    await assert.rejects(change(admin, 'admin', second.memberId, 'student'), refusal('role_not_yours_to_give'));
    await assert.rejects(remove(admin, 'admin', second.memberId), refusal('role_not_yours_to_give'));
    const student = await make.member(school);
    assert.equal((await change(admin, 'admin', student.memberId, 'teacher')).role, 'teacher');
  });

  it('does not let a demoted owner act on the standing it has lost', async () => {
    const second = await make.member(school, 'owner');
    const third = await make.member(school, 'owner');
    await change(school.owner, 'owner', second.memberId, 'student');
    // The second owner's request was authorized before the demotion committed.
    await assert.rejects(change(second, 'owner', third.memberId, 'student'), refusal('role_not_yours_to_give'));
    const student = await make.member(school);
    await assert.rejects(change(second, 'owner', student.memberId, 'owner'), refusal('role_not_yours_to_give'));
  });

  it("answers not found for another school's and for an unknown member", async () => {
    const other = await make.school();
    const stranger = await make.member(other);
    await assert.rejects(change(school.owner, 'owner', stranger.memberId, 'teacher'), refusal('not_found'));
    await assert.rejects(remove(school.owner, 'owner', stranger.memberId), refusal('not_found'));
    await assert.rejects(remove(school.owner, 'owner', newId('mem')), refusal('not_found'));
  });

  it('removes a member with the way in, who may join again', async () => {
    const student = await make.member(school);
    await remove(school.owner, 'owner', student.memberId);
    assert.deepEqual((await make.tenancy.membershipsOf(student.personId, '', 10)).memberships, []);
    assert.equal((await make.tenancy.join(student, school.slug)).joined, true);
  });

  it('records each change once and none when nothing changes', async () => {
    const student = await make.member(school);
    await change(school.owner, 'owner', student.memberId, 'teacher');
    await change(school.owner, 'owner', student.memberId, 'teacher');
    const rows = await database.asSuperuser(
      `select details from app.audit_pending where tenant_id = $1 and action = 'members.change_role'`,
      [school.id],
    );
    assert.deepEqual(rows, [{ details: { person_id: student.personId, from: 'student', to: 'teacher' } }]);
  });
});
