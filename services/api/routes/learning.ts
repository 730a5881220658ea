import { z } from 'zod';
import {
  addLesson,
  COURSE_STATUSES,
  type Course,
  createCourse,
  getCourse,
  type Lesson,
  listCourses,
  listLessons,
  markLessonDone,
  updateCourse,
  updateLesson,
} from '#domain/learning/index.ts';
import { type Money, pricesOf, setPrice } from '#domain/sales/index.ts';
import { heldBy, type Principal, type Role } from '#domain/tenancy/index.ts';
import { fail } from '#platform/errors/index.ts';
import { listOf, listQuery, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { moneyAnswer, moneyField } from '../money.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';
import { enrollmentRoutes } from './enrollments.ts';

const status = z.enum(COURSE_STATUSES);
const title = text({ max: 200 });
const description = text({ min: 0, max: 10_000 });
const content = text({ min: 0, max: 50_000 });
const position = z.int().min(1).max(10_000);

const courseAnswer = z.object({
  id: z.string(),
  title: z.string(),
  description: z.string(),
  price: moneyAnswer.nullable(),
  status,
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
const lessonAnswer = z.object({
  id: z.string(),
  course_id: z.string(),
  position: z.int(),
  title: z.string(),
  content: z.string(),
  done_at: z.iso.datetime().nullable(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});

const courseView = (course: Course, price: Money | undefined) => ({
  id: course.id,
  title: course.title,
  description: course.description,
  price: price ?? null,
  status: course.status,
  created_at: course.created_at.toISOString(),
  updated_at: course.updated_at.toISOString(),
});

const lessonView = (lesson: Lesson & { done_at?: Date | null }) => ({
  id: lesson.id,
  course_id: lesson.course_id,
  position: lesson.position,
  title: lesson.title,
  content: lesson.content,
  done_at: lesson.done_at?.toISOString() ?? null,
  created_at: lesson.created_at.toISOString(),
  updated_at: lesson.updated_at.toISOString(),
});

/** Who reads courses: whoever writes them sees drafts. */
function courseReader(principal: Principal, role: Role | undefined) {
  const personId = principal.kind === 'person' ? principal.personId : undefined;
  return { staff: heldBy(principal, role).includes('courses.write'), personId };
}

/** Who reads lessons: whoever writes them, who is enrolled, and a key of the school with that scope. */
function lessonReader(principal: Principal, role: Role | undefined) {
  if (principal.kind === 'api_key') return { staff: true, personId: undefined };
  const personId = principal.kind === 'person' ? principal.personId : undefined;
  return { staff: heldBy(principal, role).includes('lessons.write'), personId };
}

/** Courses, lessons, progress, enrollments. */
export function learningRoutes(deps: ApiDeps): Route[] {
  return [...courseRoutes(), ...lessonRoutes(), ...enrollmentRoutes(deps)];
}

function courseRoutes(): Route[] {
  return [
    route({
      id: 'courses.list',
      method: 'GET',
      path: '/api/courses',
      access: { kind: 'tenant', permission: 'courses.read' },
      rateClass: 'read',
      summary: 'The catalogue, newest first; drafts only for who writes courses',
      query: z.object(listQuery),
      responses: { 200: listOf(courseAnswer) },
      handle: async ({ tx, principal, role, query }) => {
        const { staff } = courseReader(principal, role);
        const before = cursorOf(query.cursor, 'courses.list');
        const courses = await listCourses(tx, { staff, before, limit: query.limit + 1 });
        const prices = await pricesOf(
          tx,
          'course',
          courses.map((course) => course.id),
        );
        const view = (course: Course) => courseView(course, prices.get(course.id));
        return { status: 200, body: pageOf(courses, query.limit, 'courses.list', { key: (c) => c.id, view }) };
      },
    }),
    route({
      id: 'courses.create',
      method: 'POST',
      path: '/api/courses',
      access: { kind: 'tenant', permission: 'courses.write' },
      rateClass: 'write',
      summary: 'Make a course; a draft unless said',
      audit: 'courses.create',
      body: z.object({
        title,
        description: description.optional(),
        price: moneyField.optional(),
        status: status.optional(),
      }),
      responses: { 201: courseAnswer },
      handle: async ({ tx, body, actor }) => {
        const { price, ...rest } = body;
        const course = await createCourse(tx, { ...rest, actor });
        if (price !== undefined) await setPrice(tx, { kind: 'course', itemId: course.id, price, actor });
        return { status: 201, body: courseView(course, price) };
      },
    }),
    route({
      id: 'courses.show',
      method: 'GET',
      path: '/api/courses/:id',
      access: { kind: 'tenant', permission: 'courses.read' },
      rateClass: 'read',
      summary: 'One course',
      params: idParams,
      responses: { 200: courseAnswer },
      handle: async ({ tx, params, principal, role }) => {
        const [course, prices] = await Promise.all([
          getCourse(tx, { id: params.id, reader: courseReader(principal, role) }),
          pricesOf(tx, 'course', [params.id]),
        ]);
        return { status: 200, body: courseView(course, prices.get(course.id)) };
      },
    }),
    route({
      id: 'courses.update',
      method: 'PATCH',
      path: '/api/courses/:id',
      access: { kind: 'tenant', permission: 'courses.write' },
      rateClass: 'write',
      summary: 'Change a course; a price of null takes it off sale, orders placed before keep theirs',
      audit: 'courses.update',
      params: idParams,
      body: z.object({
        title: title.optional(),
        description: description.optional(),
        price: moneyField.nullable().optional(),
        status: status.optional(),
      }),
      responses: { 200: courseAnswer },
      handle: async ({ tx, params, body, actor }) => {
        const { price, ...patch } = body;
        const course = await updateCourse(tx, { id: params.id, ...patch, actor });
        if (price !== undefined) await setPrice(tx, { kind: 'course', itemId: course.id, price, actor });
        const prices = await pricesOf(tx, 'course', [course.id]);
        return { status: 200, body: courseView(course, prices.get(course.id)) };
      },
    }),
  ];
}

function lessonRoutes(): Route[] {
  return [
    route({
      id: 'lessons.list',
      method: 'GET',
      path: '/api/courses/:id/lessons',
      access: { kind: 'tenant', permission: 'lessons.read' },
      rateClass: 'read',
      summary: 'Lessons in their order, for who is enrolled and who teaches; for everybody else there is nothing here',
      params: idParams,
      query: z.object(listQuery),
      responses: { 200: listOf(lessonAnswer) },
      handle: async ({ tx, params, query, principal, role }) => {
        const after = Number(cursorOf(query.cursor, 'lessons.list') ?? 0);
        const reader = lessonReader(principal, role);
        const lessons = await listLessons(tx, { courseId: params.id, reader, after, limit: query.limit + 1 });
        const page = { key: (lesson: Lesson) => lesson.position, view: lessonView };
        return { status: 200, body: pageOf(lessons, query.limit, 'lessons.list', page) };
      },
    }),
    route({
      id: 'lessons.create',
      method: 'POST',
      path: '/api/courses/:id/lessons',
      access: { kind: 'tenant', permission: 'lessons.write' },
      rateClass: 'write',
      summary: 'Add a lesson; without a position it goes last',
      audit: 'lessons.create',
      params: idParams,
      body: z.object({ title, content: content.optional(), position: position.optional() }),
      responses: { 201: lessonAnswer },
      errors: ['position_taken'],
      handle: async ({ tx, params, body, actor }) => ({
        status: 201,
        body: lessonView(await addLesson(tx, { courseId: params.id, ...body, actor })),
      }),
    }),
    route({
      id: 'lessons.update',
      method: 'PATCH',
      path: '/api/lessons/:id',
      access: { kind: 'tenant', permission: 'lessons.write' },
      rateClass: 'write',
      summary: 'Change a lesson',
      audit: 'lessons.update',
      params: idParams,
      body: z.object({ title: title.optional(), content: content.optional() }),
      responses: { 200: lessonAnswer },
      handle: async ({ tx, params, body, actor }) => ({
        status: 200,
        body: lessonView(await updateLesson(tx, { id: params.id, ...body, actor })),
      }),
    }),
    route({
      id: 'lessons.done',
      method: 'POST',
      path: '/api/lessons/:id/done',
      access: { kind: 'tenant', permission: 'lessons.read' },
      rateClass: 'write',
      summary: 'Note that one has done a lesson; the first time counts',
      audit: null,
      auditReason: "a person's own note of what they have learned, changed by nobody else",
      params: idParams,
      body: z.object({}).optional(),
      responses: { 200: z.object({ lesson_id: z.string(), done_at: z.iso.datetime() }) },
      errors: ['person_required'],
      handle: async ({ tx, params, principal, role }) => {
        if (principal.kind !== 'person') throw fail.forbidden('person_required', 'Only a person can do a lesson.');
        const { staff } = lessonReader(principal, role);
        const done = await markLessonDone(tx, { lessonId: params.id, personId: principal.personId, staff });
        return { status: 200, body: { lesson_id: params.id, done_at: done.toISOString() } };
      },
    }),
  ];
}
