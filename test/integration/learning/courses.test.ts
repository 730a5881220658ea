import assert from 'node:assert/strict';
import {
  addLesson,
  createCourse,
  enrollByAdmin,
  getCourse,
  grantEnrollment,
  isEnrolled,
  listCourses,
  listEnrollments,
  listLessons,
  markLessonDone,
  revokeEnrollment,
  updateCourse,
  updateLesson,
} from '#domain/learning/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

describe('courses, lessons, enrollments', () => {
  let database: TestDatabase;
  let factory: Factory;
  let school: School;
  let other: School;
  const actor = { kind: 'person', id: 'usr_teacher' } as const;
  const staff = { staff: true, personId: undefined };
  const student = newId('usr');
  const reader = { staff: false, personId: student };
  const within = <T>(fn: (tx: TenantTx) => Promise<T>, where = school) => factory.db.withTenantTx(where.id, fn);
  const make = (status: 'draft' | 'published' = 'published', where = school) =>
    within((tx) => createCourse(tx, { title: `A ${status} course`, status, actor }), where);
  const actions = () =>
    database.asSuperuser<{ action: string; object_id: string }>(
      'select action, object_id from app.audit_pending where tenant_id = $1',
      [school.id],
    );

  before(async () => {
    database = await createTestDatabase();
    factory = createFactory(database);
    [school, other] = [await factory.school(), await factory.school()];
  });
  after(() => database.close());

  it('is a draft unless said, and drafts are their makers only', async () => {
    const draft = await within((tx) => createCourse(tx, { title: 'In work', actor }));
    assert.equal(draft.status, 'draft');
    assert.equal((await within((tx) => getCourse(tx, { id: draft.id, reader: staff }))).id, draft.id);
    await assert.rejects(
      within((tx) => getCourse(tx, { id: draft.id, reader })),
      refusal('not_found'),
    );
    const page = { before: undefined, limit: 100 };
    const seen = await within((tx) => listCourses(tx, { staff: false, ...page }));
    assert.ok(seen.every((course) => course.status === 'published'));
    const all = await within((tx) => listCourses(tx, { staff: true, ...page }));
    assert.ok(all.some((course) => course.id === draft.id));
    await within((tx) => updateCourse(tx, { id: draft.id, status: 'published', actor }));
    assert.equal((await within((tx) => getCourse(tx, { id: draft.id, reader }))).status, 'published');
  });

  it('is changed by the fields that are given, and audited', async () => {
    const course = await make();
    const changed = await within((tx) => updateCourse(tx, { id: course.id, description: 'New', actor }));
    assert.deepEqual([changed.title, changed.description, changed.status], [course.title, 'New', 'published']);
    const audited = (await actions()).filter((row) => row.object_id === course.id).map((row) => row.action);
    assert.deepEqual(audited.sort(), ['courses.create', 'courses.update']);
  });

  it('is paged newest first, without a gap or a repetition', async () => {
    const where = await factory.school();
    const made: string[] = [];
    for (let i = 0; i < 7; i += 1) made.push((await make('published', where)).id);
    const seen: string[] = [];
    for (let before: string | undefined; ; before = seen.at(-1)) {
      const page = await within((tx) => listCourses(tx, { staff: false, before, limit: 3 }), where);
      seen.push(...page.map((course) => course.id));
      if (page.length < 3) break;
    }
    assert.deepEqual(seen, made.reverse());
  });

  it('does not exist in another school, in the same words as an unknown one', async () => {
    const course = await make();
    const lesson = await within((tx) => addLesson(tx, { courseId: course.id, title: 'One', actor }));
    const unknown = { course: newId('crs'), lesson: newId('les') };
    const asked = async (id: string, lessonId: string) => {
      const attempts: ((tx: TenantTx) => Promise<unknown>)[] = [
        (tx) => getCourse(tx, { id, reader: staff }),
        (tx) => updateCourse(tx, { id, title: 'Stolen', actor }),
        (tx) => addLesson(tx, { courseId: id, title: 'Stolen', actor }),
        (tx) => listLessons(tx, { courseId: id, reader: staff, after: 0, limit: 10 }),
        (tx) => updateLesson(tx, { id: lessonId, title: 'Stolen', actor }),
        (tx) => markLessonDone(tx, { lessonId, personId: student, staff: true }),
        (tx) => enrollByAdmin(tx, { courseId: id, personId: student, actor }),
      ];
      const refusals: unknown[] = [];
      for (const attempt of attempts) {
        const error = await within(attempt, other).then(
          () => assert.fail('it was found'),
          (refused) => refused,
        );
        refusals.push([error.kind, error.code, error.detail, error.extra]);
      }
      return refusals;
    };
    assert.deepEqual(await asked(course.id, lesson.id), await asked(unknown.course, unknown.lesson));
    assert.equal((await within((tx) => getCourse(tx, { id: course.id, reader: staff }))).title, course.title);
  });

  it('shows its lessons in their order to who is enrolled, and to nobody else', async () => {
    const course = await make();
    for (const title of ['a', 'b', 'c']) await within((tx) => addLesson(tx, { courseId: course.id, title, actor }));
    const read = (who: typeof reader | typeof staff, after = 0, limit = 10) =>
      within((tx) => listLessons(tx, { courseId: course.id, reader: who, after, limit }));
    await assert.rejects(read(reader), refusal('not_found'));
    await within((tx) =>
      grantEnrollment(tx, { courseId: course.id, personId: student, source: { kind: 'order', id: 'ord_1' }, actor }),
    );
    assert.deepEqual(
      (await read(reader)).map(({ title, position }) => `${position}${title}`),
      ['1a', '2b', '3c'],
    );
    assert.deepEqual(
      (await read(reader, 1, 1)).map((lesson) => lesson.title),
      ['b'],
    );
    assert.equal((await read(staff)).length, 3);
    await assert.rejects(read({ staff: false, personId: newId('usr') }), refusal('not_found'));
    // Off the shelf: who has it keeps it.
    await within((tx) => updateCourse(tx, { id: course.id, status: 'draft', actor }));
    assert.equal((await read(reader)).length, 3);
    await within((tx) =>
      revokeEnrollment(tx, { courseId: course.id, personId: student, source: { kind: 'order', id: 'ord_1' }, actor }),
    );
    await assert.rejects(read(reader), refusal('not_found'));
  });

  it('gives a position to one lesson only, also to many at once', async () => {
    const course = await make();
    const add = (position?: number) =>
      within((tx) => addLesson(tx, { courseId: course.id, position, title: 'x', actor }));
    await add(5);
    await assert.rejects(add(5), refusal('position_taken'));
    const added = await Promise.all(Array.from({ length: 10 }, () => add()));
    assert.deepEqual(
      added.map((lesson) => lesson.position).sort((a, b) => a - b),
      Array.from({ length: 10 }, (_, i) => i + 6),
    );
  });

  it('remembers when a lesson was first done, for each person', async () => {
    const course = await make();
    const lesson = await within((tx) => addLesson(tx, { courseId: course.id, title: 'x', actor }));
    const done = (personId: string) =>
      within((tx) => markLessonDone(tx, { lessonId: lesson.id, personId, staff: false }));
    await assert.rejects(done(student), refusal('not_found'));
    await within((tx) => enrollByAdmin(tx, { courseId: course.id, personId: student, actor }));
    const first = await done(student);
    assert.deepEqual(await done(student), first);
    const page = { courseId: course.id, after: 0, limit: 10 };
    const [mine] = await within((tx) => listLessons(tx, { ...page, reader }));
    assert.deepEqual(mine?.done_at, first);
    const [theirs] = await within((tx) => listLessons(tx, { ...page, reader: staff }));
    assert.equal(theirs?.done_at, null);
  });

  it('enrolls a person once, whoever grants it and however many do at once', async () => {
    const course = await make();
    const person = newId('usr');
    const grant = (id: string) =>
      within((tx) =>
        grantEnrollment(tx, { courseId: course.id, personId: person, source: { kind: 'order', id }, actor }),
      );
    const outcomes = (await Promise.all(['o1', 'o2', 'o1', 'o2', 'o1'].map(grant))).map((result) => result.outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'granted').length, 1);
    const page = { personId: person, before: undefined, limit: 10 };
    const [enrollment, ...more] = await within((tx) => listEnrollments(tx, page));
    assert.deepEqual(more, []);
    assert.equal(enrollment?.course_title, course.title);
    const source = { kind: 'order', id: enrollment?.source_id ?? '' } as const;
    const loser = source.id === 'o1' ? 'o2' : 'o1';
    const revoke = (id: string) =>
      within((tx) =>
        revokeEnrollment(tx, { courseId: course.id, personId: person, source: { kind: 'order', id }, actor }),
      );
    assert.equal(await revoke(loser), false);
    assert.equal(await within((tx) => isEnrolled(tx, course.id, person)), true);
    assert.equal(await revoke(source.id), true);
    assert.equal(await revoke(source.id), false);
    assert.equal(await within((tx) => isEnrolled(tx, course.id, person)), false);
    assert.deepEqual(await within((tx) => listEnrollments(tx, page)), []);
    assert.equal((await grant('o3')).outcome, 'granted');
    await assert.rejects(
      within((tx) => enrollByAdmin(tx, { courseId: course.id, personId: person, actor })),
      refusal('already_enrolled'),
    );
    const granted = (await actions()).filter((row) => row.object_id === enrollment?.id);
    assert.deepEqual(granted.map((row) => row.action).sort(), [
      'enrollments.grant',
      'enrollments.grant',
      'enrollments.revoke',
    ]);
  });

  it('keeps each table to its school, raw, under every run-time role', async () => {
    const course = await make();
    await within((tx) => addLesson(tx, { courseId: course.id, title: 'x', actor }));
    for (const role of ['klar_api', 'klar_worker'] as const) {
      const page = { staff: true, before: undefined, limit: 200 };
      const seen = await database.db(role).withTenantTx(other.id, (tx) => listCourses(tx, page));
      assert.ok(seen.every(({ id }) => id !== course.id));
    }
  });
});
