import { type Actor, append } from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Course, type CourseStatus, maySeeCourse } from './course.ts';
import * as store from './store.ts';

/** Who reads: `staff` may write courses; `personId` is absent for an API key. */
export interface ReaderInput {
  readonly staff: boolean;
  readonly personId: string | undefined;
}

/** A course is `draft` unless said. */
export async function createCourse(
  tx: TenantTx,
  input: { title: string; description?: string | undefined; status?: CourseStatus | undefined; actor: Actor },
): Promise<Course> {
  const { title, description = '', status = 'draft', actor } = input;
  const course = await store.insertCourse(tx, { title, description, status, createdBy: actor.id });
  await append(tx, { action: 'courses.create', actor, object: { type: 'course', id: course.id }, details: { status } });
  return course;
}

/** @throws KlarError not_found */
export async function updateCourse(
  tx: TenantTx,
  input: {
    id: string;
    title?: string | undefined;
    description?: string | undefined;
    status?: CourseStatus | undefined;
    actor: Actor;
  },
): Promise<Course> {
  const { id, actor, ...patch } = input;
  const course = await store.updateCourse(tx, id, patch);
  if (course === undefined) throw fail.notFound();
  const changed = Object.keys(patch).filter((key) => patch[key as keyof typeof patch] !== undefined);
  await append(tx, {
    action: 'courses.update',
    actor,
    object: { type: 'course', id },
    details: { changed, status: course.status },
  });
  return course;
}

/** @throws KlarError not_found when there is none, or the reader may not see it: one answer */
export async function getCourse(tx: TenantTx, input: { id: string; reader: ReaderInput }): Promise<Course> {
  const [course, enrolled] = await Promise.all([
    store.selectCourse(tx, input.id),
    isEnrolled(tx, input.id, input.reader.personId),
  ]);
  if (course === undefined || !maySeeCourse(course, { staff: input.reader.staff, enrolled })) throw fail.notFound();
  return course;
}

/** Newest first. Drafts only for staff. @param page.before id of the last course seen */
export function listCourses(
  tx: TenantTx,
  page: { staff: boolean; before: string | undefined; limit: number },
): Promise<Course[]> {
  return store.listCourses(tx, { drafts: page.staff, before: page.before, limit: page.limit });
}

/** The published ones among `ids`, in no order: what an order may name. */
export function coursesForSale(tx: TenantTx, ids: readonly string[]): Promise<Course[]> {
  return ids.length === 0 ? Promise.resolve([]) : store.selectPublished(tx, ids);
}

/** Whether a person has an active enrollment; never for an API key. */
export async function isEnrolled(tx: TenantTx, courseId: string, personId: string | undefined): Promise<boolean> {
  return personId !== undefined && (await store.activeCourses(tx, personId, [courseId])).length > 0;
}
