import { type Actor, append } from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { mayReadLessons } from './course.ts';
import type { Lesson, LessonWithProgress } from './lesson.ts';
import { isEnrolled, type ReaderInput } from './service.ts';
import * as store from './store.ts';

/**
 * @param input.position from 1; without it the lesson goes last
 * @throws KlarError not_found (the course), conflict `position_taken`
 */
export async function addLesson(
  tx: TenantTx,
  input: { courseId: string; position?: number | undefined; title: string; content?: string | undefined; actor: Actor },
): Promise<Lesson> {
  const { courseId, position, title, content = '', actor } = input;
  if (!(await store.lockCourse(tx, courseId))) throw fail.notFound();
  const lesson = await store.insertLesson(tx, { courseId, position, title, content });
  if (lesson === undefined) throw fail.conflict('position_taken', 'Another lesson of this course has this position.');
  await append(tx, {
    action: 'lessons.create',
    actor,
    object: { type: 'lesson', id: lesson.id },
    details: { course_id: courseId, position: lesson.position },
  });
  return lesson;
}

/** @throws KlarError not_found */
export async function updateLesson(
  tx: TenantTx,
  input: { id: string; title?: string | undefined; content?: string | undefined; actor: Actor },
): Promise<Lesson> {
  const { id, actor, ...patch } = input;
  const lesson = await store.updateLesson(tx, id, patch);
  if (lesson === undefined) throw fail.notFound();
  await append(tx, {
    action: 'lessons.update',
    actor,
    object: { type: 'lesson', id },
    details: { course_id: lesson.course_id },
  });
  return lesson;
}

/**
 * Lessons in their order, with content: for enrolled persons and staff.
 * @param input.after position of the last lesson seen, 0 at the start
 * @throws KlarError not_found for everybody else, as for a course that does not exist
 */
export async function listLessons(
  tx: TenantTx,
  input: { courseId: string; reader: ReaderInput; after: number; limit: number },
): Promise<LessonWithProgress[]> {
  const { courseId, reader, after, limit } = input;
  const [course, enrolled, lessons] = await Promise.all([
    store.selectCourse(tx, courseId),
    isEnrolled(tx, courseId, reader.personId),
    store.listLessons(tx, { courseId, personId: reader.personId, after, limit }),
  ]);
  if (course === undefined || !mayReadLessons(course, { staff: reader.staff, enrolled })) throw fail.notFound();
  return lessons;
}

/** Notes that a person has done a lesson; the first date stays. @throws KlarError not_found as {@link listLessons} */
export async function markLessonDone(
  tx: TenantTx,
  input: { lessonId: string; personId: string; staff: boolean },
): Promise<Date> {
  const course = await store.courseOfLesson(tx, input.lessonId);
  if (course === undefined) throw fail.notFound();
  const enrolled = await isEnrolled(tx, course.course_id, input.personId);
  if (!mayReadLessons(course, { staff: input.staff, enrolled })) throw fail.notFound();
  return store.markDone(tx, input.personId, input.lessonId);
}
