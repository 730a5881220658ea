import { statement, type TenantTx } from '#platform/db/index.ts';
import type { Course, CourseStatus } from './course.ts';
import type { Enrollment, EnrollmentSource } from './enrollment.ts';
import type { Lesson, LessonWithProgress } from './lesson.ts';

const COURSE = 'c.id, c.title, c.description, c.status, c.created_by, c.created_at, c.updated_at';
const LESSON = 'l.id, l.course_id, l.position, l.title, l.content, l.created_at, l.updated_at';
const ENROLLMENT = 'e.id, e.course_id, e.person_id, e.status, e.source_kind, e.source_id, e.created_at, e.updated_at';

const insertCourseSql = statement<Course>(
  'learning.insert_course',
  `insert into app.courses as c (tenant_id, id, title, description, status, created_by, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $7) returning ${COURSE}`,
);

export function insertCourse(
  tx: TenantTx,
  row: { title: string; description: string; status: CourseStatus; createdBy: string },
): Promise<Course> {
  const { title, description, status, createdBy } = row;
  return tx.one(insertCourseSql, [tx.tenantId, tx.newId('crs'), title, description, status, createdBy, tx.now()]);
}

const updateCourseSql = statement<Course>(
  'learning.update_course',
  `update app.courses as c set title = coalesce($3, c.title), description = coalesce($4, c.description),
     status = coalesce($5, c.status), updated_at = $6
   where c.tenant_id = $1 and c.id = $2 returning ${COURSE}`,
);

/** Absent fields stay. @returns undefined when there is no such course */
export function updateCourse(
  tx: TenantTx,
  id: string,
  patch: { title?: string | undefined; description?: string | undefined; status?: CourseStatus | undefined },
): Promise<Course | undefined> {
  return tx.maybe(updateCourseSql, [tx.tenantId, id, patch.title, patch.description, patch.status, tx.now()]);
}

const selectCourseSql = statement<Course>(
  'learning.select_course',
  `select ${COURSE} from app.courses c where c.tenant_id = $1 and c.id = $2`,
);

export function selectCourse(tx: TenantTx, id: string): Promise<Course | undefined> {
  return tx.maybe(selectCourseSql, [tx.tenantId, id]);
}

const lockCourseSql = statement<{ id: string }>(
  'learning.lock_course',
  'select c.id from app.courses c where c.tenant_id = $1 and c.id = $2 for update',
);

/** Held by who numbers lessons, so that two new lessons do not take the same position. */
export async function lockCourse(tx: TenantTx, id: string): Promise<boolean> {
  return (await tx.maybe(lockCourseSql, [tx.tenantId, id])) !== undefined;
}

const listCoursesSql = statement<Course>(
  'learning.list_courses',
  `select ${COURSE} from app.courses c
   where c.tenant_id = $1 and ($2::text is null or c.id < $2) order by c.id desc limit $3`,
);
const listPublishedSql = statement<Course>(
  'learning.list_published_courses',
  `select ${COURSE} from app.courses c
   where c.tenant_id = $1 and c.status = 'published' and ($2::text is null or c.id < $2) order by c.id desc limit $3`,
);

/** Newest first: an id holds the time it was made. */
export function listCourses(
  tx: TenantTx,
  page: { drafts: boolean; before: string | undefined; limit: number },
): Promise<Course[]> {
  return tx.rows(page.drafts ? listCoursesSql : listPublishedSql, [tx.tenantId, page.before, page.limit]);
}

const selectPublishedSql = statement<Course>(
  'learning.select_published_courses',
  `select ${COURSE} from app.courses c where c.tenant_id = $1 and c.id = any($2::text[]) and c.status = 'published'`,
);

export function selectPublished(tx: TenantTx, ids: readonly string[]): Promise<Course[]> {
  return tx.rows(selectPublishedSql, [tx.tenantId, ids]);
}

const insertLessonSql = statement<Lesson>(
  'learning.insert_lesson',
  `insert into app.lessons as l (tenant_id, id, course_id, position, title, content, created_at, updated_at)
   values ($1, $2, $3,
     coalesce($4::integer, (select coalesce(max(o.position), 0) + 1 from app.lessons o where o.tenant_id = $1 and o.course_id = $3)),
     $5, $6, $7, $7)
   on conflict on constraint lessons_position do nothing returning ${LESSON}`,
);

/** @returns undefined when the position is taken */
export function insertLesson(
  tx: TenantTx,
  row: { courseId: string; position: number | undefined; title: string; content: string },
): Promise<Lesson | undefined> {
  const { courseId, position, title, content } = row;
  return tx.maybe(insertLessonSql, [tx.tenantId, tx.newId('les'), courseId, position, title, content, tx.now()]);
}

const listLessonsSql = statement<LessonWithProgress>(
  'learning.list_lessons',
  `select ${LESSON}, p.done_at from app.lessons l
   left join app.lesson_progress p on p.tenant_id = l.tenant_id and p.lesson_id = l.id and p.person_id = $3
   where l.tenant_id = $1 and l.course_id = $2 and l.position > $4 order by l.position limit $5`,
);

export function listLessons(
  tx: TenantTx,
  page: { courseId: string; personId: string | undefined; after: number; limit: number },
): Promise<LessonWithProgress[]> {
  return tx.rows(listLessonsSql, [tx.tenantId, page.courseId, page.personId, page.after, page.limit]);
}

const updateLessonSql = statement<Lesson>(
  'learning.update_lesson',
  `update app.lessons as l set title = coalesce($3, l.title), content = coalesce($4, l.content), updated_at = $5
   where l.tenant_id = $1 and l.id = $2 returning ${LESSON}`,
);

export function updateLesson(
  tx: TenantTx,
  id: string,
  patch: { title?: string | undefined; content?: string | undefined },
): Promise<Lesson | undefined> {
  return tx.maybe(updateLessonSql, [tx.tenantId, id, patch.title, patch.content, tx.now()]);
}

const lessonCourseSql = statement<{ course_id: string; status: CourseStatus }>(
  'learning.select_course_of_lesson',
  `select l.course_id, c.status from app.lessons l
   join app.courses c on c.tenant_id = l.tenant_id and c.id = l.course_id
   where l.tenant_id = $1 and l.id = $2`,
);

export function courseOfLesson(
  tx: TenantTx,
  lessonId: string,
): Promise<{ course_id: string; status: CourseStatus } | undefined> {
  return tx.maybe(lessonCourseSql, [tx.tenantId, lessonId]);
}

const markDoneSql = statement<{ done_at: Date }>(
  'learning.mark_lesson_done',
  `insert into app.lesson_progress as p (tenant_id, person_id, lesson_id, done_at) values ($1, $2, $3, $4)
   on conflict (tenant_id, person_id, lesson_id) do update set done_at = p.done_at returning p.done_at`,
);

/** The first time counts: doing a lesson again keeps the date. */
export async function markDone(tx: TenantTx, personId: string, lessonId: string): Promise<Date> {
  return (await tx.one(markDoneSql, [tx.tenantId, personId, lessonId, tx.now()])).done_at;
}

// The update takes a revoked enrollment back; an active one is left alone, and no row comes back.
const grantSql = statement<Enrollment>(
  'learning.grant_enrollment',
  `insert into app.enrollments as e (tenant_id, id, course_id, person_id, status, source_kind, source_id, created_at, updated_at)
   values ($1, $2, $3, $4, 'active', $5, $6, $7, $7)
   on conflict on constraint enrollments_once do update
     set status = 'active', source_kind = excluded.source_kind, source_id = excluded.source_id, updated_at = excluded.updated_at
     where e.status = 'revoked'
   returning ${ENROLLMENT}`,
);

export function grant(
  tx: TenantTx,
  row: { courseId: string; personId: string; source: EnrollmentSource },
): Promise<Enrollment | undefined> {
  const { courseId, personId, source } = row;
  return tx.maybe(grantSql, [tx.tenantId, tx.newId('enr'), courseId, personId, source.kind, source.id, tx.now()]);
}

const revokeSql = statement<Enrollment>(
  'learning.revoke_enrollment',
  `update app.enrollments as e set status = 'revoked', updated_at = $6
   where e.tenant_id = $1 and e.course_id = $2 and e.person_id = $3 and e.source_kind = $4 and e.source_id = $5
     and e.status = 'active' returning ${ENROLLMENT}`,
);

export function revoke(
  tx: TenantTx,
  row: { courseId: string; personId: string; source: EnrollmentSource },
): Promise<Enrollment | undefined> {
  const { courseId, personId, source } = row;
  return tx.maybe(revokeSql, [tx.tenantId, courseId, personId, source.kind, source.id, tx.now()]);
}

const selectEnrollmentSql = statement<Enrollment>(
  'learning.select_enrollment',
  `select ${ENROLLMENT} from app.enrollments e where e.tenant_id = $1 and e.course_id = $2 and e.person_id = $3`,
);

export function selectEnrollment(tx: TenantTx, courseId: string, personId: string): Promise<Enrollment | undefined> {
  return tx.maybe(selectEnrollmentSql, [tx.tenantId, courseId, personId]);
}

const activeCoursesSql = statement<{ course_id: string }>(
  'learning.select_active_enrollments',
  `select e.course_id from app.enrollments e
   where e.tenant_id = $1 and e.person_id = $2 and e.course_id = any($3::text[]) and e.status = 'active'`,
);

export async function activeCourses(tx: TenantTx, personId: string, courseIds: readonly string[]): Promise<string[]> {
  return (await tx.rows(activeCoursesSql, [tx.tenantId, personId, courseIds])).map((row) => row.course_id);
}

const listEnrollmentsSql = statement<Enrollment & { course_title: string }>(
  'learning.list_enrollments',
  `select ${ENROLLMENT}, c.title as course_title from app.enrollments e
   join app.courses c on c.tenant_id = e.tenant_id and c.id = e.course_id
   where e.tenant_id = $1 and e.person_id = $2 and e.status = 'active' and ($3::text is null or e.id < $3)
   order by e.id desc limit $4`,
);

export function listEnrollments(
  tx: TenantTx,
  page: { personId: string; before: string | undefined; limit: number },
): Promise<(Enrollment & { course_title: string })[]> {
  return tx.rows(listEnrollmentsSql, [tx.tenantId, page.personId, page.before, page.limit]);
}
