import { addLesson, createCourse, enrollByAdmin, markLessonDone } from '#domain/learning/index.ts';
import { createService, placeOrder, setPrice } from '#domain/sales/index.ts';
import { actorOf, type PersonPrincipal } from '#domain/tenancy/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import type { School } from '../../support/factory.ts';
import { type Rig, sessionObject } from '../payments/rig.ts';

/** What a route can name by its id, with the prefix of such an id and the table its row is in. */
export const KINDS = {
  member: { prefix: 'mem', table: 'memberships' },
  owner_member: { prefix: 'mem', table: 'memberships' },
  invitation: { prefix: 'inv', table: 'invitations' },
  api_key: { prefix: 'key', table: 'api_keys' },
  /** Published, with a lesson; the caller is enrolled. */
  course: { prefix: 'crs', table: 'courses' },
  /** Published, and the caller is not enrolled. */
  closed_course: { prefix: 'crs', table: 'courses' },
  draft_course: { prefix: 'crs', table: 'courses' },
  lesson: { prefix: 'les', table: 'lessons' },
  closed_lesson: { prefix: 'les', table: 'lessons' },
  service: { prefix: 'svc', table: 'services' },
  draft_service: { prefix: 'svc', table: 'services' },
  /** The caller's own. */
  order: { prefix: 'ord', table: 'orders' },
  others_order: { prefix: 'ord', table: 'orders' },
  /** Somebody else with an enrollment. */
  person: { prefix: 'usr', table: 'enrollments' },
} as const;
export type Kind = keyof typeof KINDS;
export const ALL_KINDS = Object.keys(KINDS) as Kind[];

const PRICE = { amount: 4900, currency: 'USD' };
/** In every text of a school's own, so that one word found elsewhere is a leak. */
export const textOf = (school: School) => `Things of ${school.slug}`;

/** Makes one object by the domain's own functions, as klar_api. `caller` is who will ask for it. */
export async function makeObject(
  rig: Rig,
  school: School,
  kind: Kind,
  caller: PersonPrincipal = school.owner,
): Promise<string> {
  const { factory } = rig;
  const actor = actorOf(school.owner);
  const text = textOf(school);
  const inSchool = <T>(fn: (tx: TenantTx) => Promise<T>) => rig.api.withTenantTx(school.id, fn);
  const course = (status: 'draft' | 'published', enroll: boolean) =>
    inSchool(async (tx) => {
      const { id } = await createCourse(tx, { title: text, description: text, status, actor });
      const lesson = await addLesson(tx, { courseId: id, title: text, content: text, actor });
      await setPrice(tx, { kind: 'course', itemId: id, price: PRICE, actor });
      if (enroll) await enrollByAdmin(tx, { courseId: id, personId: caller.personId, actor });
      return { id, lesson: lesson.id };
    });
  const service = (status: 'draft' | 'published') =>
    inSchool(async (tx) => {
      const { id } = await createService(tx, { title: text, durationMinutes: 60, status, actor });
      await setPrice(tx, { kind: 'service', itemId: id, price: PRICE, actor });
      return id;
    });
  const order = async (buyer: PersonPrincipal) =>
    (await rig.order(school, buyer, (await course('published', false)).id)).id;

  switch (kind) {
    case 'member':
      return (await factory.member(school)).memberId;
    case 'owner_member':
      return (await factory.member(school, 'owner')).memberId;
    case 'invitation':
      return (await factory.invitation(school, factory.person().email)).id;
    case 'api_key':
      return (await factory.apiKey(school, ['courses.read'])).id;
    case 'course':
      return (await course('published', true)).id;
    case 'closed_course':
      return (await course('published', false)).id;
    case 'draft_course':
      return (await course('draft', false)).id;
    case 'lesson':
      return (await course('published', true)).lesson;
    case 'closed_lesson':
      return (await course('published', false)).lesson;
    case 'service':
      return service('published');
    case 'draft_service':
      return service('draft');
    case 'order':
      return order(caller);
    case 'others_order':
      return order(factory.person());
    case 'person': {
      const somebody = await factory.member(school);
      await makeObject(rig, school, 'course', somebody);
      return somebody.personId;
    }
  }
}

/** An id of the kind that was never given. */
export const unknownId = (kind: Kind) => newId(KINDS[kind].prefix);

/** An object's id after its row is gone, whatever referred to it. */
export async function makeGone(rig: Rig, school: School, kind: Kind): Promise<string> {
  const id = await makeObject(rig, school, kind);
  await rig.database.asSuperuser(
    `set session_replication_role = replica; delete from app.${KINDS[kind].table} where id = '${id}';
     reset session_replication_role`,
  );
  return id;
}

/** A whole journey, so that no table of this school is empty: two payments for one order, one of them given back. */
export async function journey(
  rig: Rig,
  school: School,
  gateway: { pay(sessionId: string): void },
): Promise<PersonPrincipal> {
  const student = await rig.factory.member(school);
  const id = await makeObject(rig, school, 'closed_course', student);
  const { order, course } = await rig.api.withTenantTx(school.id, async (tx) => {
    const { personId, email, name } = student;
    const lines = [{ kind: 'course' as const, id, quantity: 1 }];
    const placed = await placeOrder(tx, { buyer: { personId, email, name }, lines, actor: actorOf(student) });
    return { order: placed, course: { id } as never };
  });
  const purchase = { school, student, course, order };
  const sessions = [await rig.session(purchase, 'hosted_page'), await rig.session(purchase, 'form')];
  for (const { sessionId } of sessions) gateway.pay(sessionId);
  for (const { sessionId } of sessions) {
    await rig.event(school, 'checkout.session.completed', sessionObject(sessionId));
  }
  await rig.jobs('payments.refund_duplicate');
  const [lesson] = await rig.database.asSuperuser<{ id: string }>('select id from app.lessons where course_id = $1', [
    id,
  ]);
  await rig.api.withTenantTx(school.id, (tx) =>
    markLessonDone(tx, { lessonId: lesson?.id ?? '', personId: student.personId, staff: false }),
  );
  return student;
}
