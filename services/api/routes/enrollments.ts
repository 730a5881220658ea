import { z } from 'zod';
import { type Enrollment, enrollByAdmin, listEnrollments } from '#domain/learning/index.ts';
import { heldBy } from '#domain/tenancy/index.ts';
import { fail } from '#platform/errors/index.ts';
import { listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { cursorOf, pageOf } from '../page.ts';

const id = text({ max: 64 });
const enrollmentAnswer = z.object({
  id: z.string(),
  course_id: z.string(),
  person_id: z.string(),
  source: z.object({ kind: z.enum(['order', 'invitation', 'admin']), id: z.string() }),
  created_at: z.iso.datetime(),
});

const enrollmentView = (row: Enrollment) => ({
  id: row.id,
  course_id: row.course_id,
  person_id: row.person_id,
  source: { kind: row.source_kind, id: row.source_id },
  created_at: row.created_at.toISOString(),
});

/** Who may read the lessons of what. */
export function enrollmentRoutes(_deps: ApiDeps): Route[] {
  return [
    route({
      id: 'enrollments.list',
      method: 'GET',
      path: '/api/enrollments',
      access: { kind: 'tenant', permission: 'enrollments.read' },
      rateClass: 'read',
      summary: "One's own enrollments, newest first; another person's with the permission enrollments.manage",
      query: z.object({ ...listQuery, person_id: id.optional() }),
      responses: { 200: listOf(enrollmentAnswer.extend({ course_title: z.string() })) },
      handle: async ({ tx, principal, role, query }) => {
        const own = principal.kind === 'person' ? principal.personId : principal.keyId;
        const personId = query.person_id ?? own;
        if (personId !== own && !heldBy(principal, role).includes('enrollments.manage')) throw fail.forbidden();
        const before = cursorOf(query.cursor, 'enrollments.list');
        const rows = await listEnrollments(tx, { personId, before, limit: query.limit + 1 });
        const view = (row: (typeof rows)[number]) => ({ ...enrollmentView(row), course_title: row.course_title });
        return { status: 200, body: pageOf(rows, query.limit, 'enrollments.list', { key: (row) => row.id, view }) };
      },
    }),
    route({
      id: 'enrollments.create',
      method: 'POST',
      path: '/api/enrollments',
      access: { kind: 'tenant', permission: 'enrollments.manage' },
      rateClass: 'write',
      summary: 'Enroll a person by hand',
      audit: 'enrollments.grant',
      body: z.object({ course_id: id, person_id: id }),
      responses: { 201: enrollmentAnswer },
      errors: ['already_enrolled'],
      handle: async ({ tx, body, actor }) => {
        const granted = await enrollByAdmin(tx, { courseId: body.course_id, personId: body.person_id, actor });
        return { status: 201, body: enrollmentView(granted) };
      },
    }),
  ];
}
