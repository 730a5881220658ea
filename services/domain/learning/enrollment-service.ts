import { type Actor, append } from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Enrollment, type EnrollmentSource, type GrantOutcome, grantOutcome } from './enrollment.ts';
import * as store from './store.ts';

/**
 * Enrolls a person once: repeated by the same source it changes nothing, and an enrollment that another source granted
 * is kept as it is (`already_had`). A revoked one is given back.
 */
export async function grantEnrollment(
  tx: TenantTx,
  input: { courseId: string; personId: string; source: EnrollmentSource; actor: Actor },
): Promise<{ enrollment: Enrollment; outcome: GrantOutcome }> {
  const { courseId, personId, source, actor } = input;
  const granted = await store.grant(tx, { courseId, personId, source });
  if (granted === undefined) {
    const existing = await store.selectEnrollment(tx, courseId, personId);
    if (existing === undefined) throw new Error('an enrollment was neither written nor found');
    return { enrollment: existing, outcome: grantOutcome(existing, source) };
  }
  await append(tx, {
    action: 'enrollments.grant',
    actor,
    object: { type: 'enrollment', id: granted.id },
    details: { course_id: courseId, person_id: personId, source_kind: source.kind, source_id: source.id },
  });
  return { enrollment: granted, outcome: 'granted' };
}

/**
 * Takes back what this source granted; what another source granted since stays.
 * @returns whether there was something to take back
 */
export async function revokeEnrollment(
  tx: TenantTx,
  input: { courseId: string; personId: string; source: EnrollmentSource; actor: Actor },
): Promise<boolean> {
  const revoked = await store.revoke(tx, input);
  if (revoked === undefined) return false;
  await append(tx, {
    action: 'enrollments.revoke',
    actor: input.actor,
    object: { type: 'enrollment', id: revoked.id },
    details: { course_id: input.courseId, person_id: input.personId, source_id: input.source.id },
  });
  return true;
}

/** An administrator enrolls a person by hand. @throws KlarError not_found (the course), conflict `already_enrolled` */
export async function enrollByAdmin(
  tx: TenantTx,
  input: { courseId: string; personId: string; actor: Actor },
): Promise<Enrollment> {
  if ((await store.selectCourse(tx, input.courseId)) === undefined) throw fail.notFound();
  const { enrollment, outcome } = await grantEnrollment(tx, {
    ...input,
    source: { kind: 'admin', id: input.actor.id },
  });
  if (outcome !== 'granted') throw fail.conflict('already_enrolled', 'This person is enrolled in this course.');
  return enrollment;
}

/** Active enrollments of a person, newest first. @param page.before id of the last one seen */
export function listEnrollments(
  tx: TenantTx,
  page: { personId: string; before: string | undefined; limit: number },
): Promise<(Enrollment & { course_title: string })[]> {
  return store.listEnrollments(tx, page);
}

/** Those of `courseIds` that the person is enrolled in now. */
export function enrolledCourses(tx: TenantTx, personId: string, courseIds: readonly string[]): Promise<string[]> {
  return courseIds.length === 0 ? Promise.resolve([]) : store.activeCourses(tx, personId, courseIds);
}
