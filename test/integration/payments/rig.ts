import { addLesson, type Course, createCourse } from '#domain/learning/index.ts';
import {
  type CheckoutSession,
  createPayments,
  type Gateway,
  type Payments,
  stripeEventHandlers,
  type UiMode,
} from '#domain/payments/index.ts';
import { type Money, type Order, placeOrder, setPrice } from '#domain/sales/index.ts';
import { actorOf, type PersonPrincipal } from '#domain/tenancy/index.ts';
import type { EventHandler } from '#domain/webhooks/index.ts';
import { type FakeClock, fakeClock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School } from '../../support/factory.ts';

export type Row = Record<string, unknown>;

export interface Purchase {
  school: School;
  student: PersonPrincipal;
  course: Course;
  order: Order;
}

/** Everything between an order and its money, on a real database, with one process's worth of api and worker. */
export interface Rig {
  database: TestDatabase;
  factory: Factory;
  api: Db;
  worker: Db;
  clock: FakeClock;
  metrics: Metrics;
  payments: Payments;
  workerPayments: Payments;
  handlers: Map<string, EventHandler>;
  course(school: School, input?: { price?: Money | null; status?: 'draft' | 'published' }): Promise<Course>;
  order(school: School, student: PersonPrincipal, courseId: string): Promise<Order>;
  /** A school with a published course of 49.00 USD and a student's order of it. */
  purchase(price?: Money): Promise<Purchase>;
  session(purchase: Purchase, uiMode?: UiMode): Promise<CheckoutSession>;
  cancel(purchase: Purchase): Promise<Order>;
  /** Delivers one event as the worker does: prepare, apply, again while the row moves on. */
  event(school: School, type: string, object: Row, overrides?: Row): Promise<void>;
  /** Rows of a table of one school, seen past row level security. */
  rows(table: string, school: School): Promise<Row[]>;
  /**
   * Runs the jobs of a queue that are due within five minutes of the rig's clock, until none is left: the first look at
   * an attempt is two minutes after it. @returns how many ran
   */
  jobs(queue: 'payments.refund_duplicate' | 'payments.resolve_attempt'): Promise<number>;
  metric(name: string): Promise<number>;
  close(): Promise<void>;
}

const PRICE: Money = { amount: 4900, currency: 'USD' };
let events = 0;

export async function createRig(gateway: Gateway, options: { waitMs?: number } = {}): Promise<Rig> {
  const database = await createTestDatabase();
  const clock = fakeClock(new Date());
  const api = database.db('klar_api', { poolSize: 8, clock });
  const worker = database.db('klar_worker', { poolSize: 8, clock });
  const factory = createFactory(database, api);
  const metrics = createMetrics();
  const common = { gateway, log: silentLogger(), metrics, publicBaseUrl: 'https://klar.test', ...options };
  const payments = createPayments({ ...common, db: api });
  const workerPayments = createPayments({ ...common, db: worker });
  const handlers = new Map(stripeEventHandlers({ ...common, db: worker }).map((handler) => [handler.type, handler]));

  const rig: Rig = {
    database,
    factory,
    api,
    worker,
    clock,
    metrics,
    payments,
    workerPayments,
    handlers,
    course: (school, { price = PRICE, status = 'published' } = {}) =>
      api.withTenantTx(school.id, async (tx) => {
        const actor = actorOf(school.owner);
        const course = await createCourse(tx, { title: 'Swedish\nfor the curious', status, actor });
        await addLesson(tx, { courseId: course.id, title: 'Hej!', actor });
        if (price !== null) await setPrice(tx, { kind: 'course', itemId: course.id, price, actor });
        return course;
      }),
    order: (school, student, courseId) =>
      api.withTenantTx(school.id, (tx) => {
        const { personId, email, name } = student;
        const lines = [{ kind: 'course' as const, id: courseId, quantity: 1 }];
        return placeOrder(tx, { buyer: { personId, email, name }, lines, actor: actorOf(student) });
      }),
    async purchase(price) {
      const school = await factory.school();
      const student = await factory.member(school);
      const course = await rig.course(school, price === undefined ? {} : { price });
      return { school, student, course, order: await rig.order(school, student, course.id) };
    },
    session: ({ school, student, order }, uiMode = 'hosted_page') =>
      payments.createCheckout({ ...action(api, school, student, order.id), uiMode }),
    cancel: ({ school, student, order }) => payments.cancelOrder(action(api, school, student, order.id)),
    async event(school, type, object, overrides = {}) {
      const handler = handlers.get(type);
      if (handler === undefined) throw new Error(`no handler for ${type}`);
      events += 1;
      const event = {
        id: `evt_${events}`,
        provider: 'stripe',
        account: '',
        eventId: `evt_stripe_${events}`,
        type,
        livemode: gateway.livemode,
        receivedAt: clock.now(),
        tenantId: school.id,
        attempt: 1,
        payload: { id: `evt_stripe_${events}`, type, data: { object } },
        ...overrides,
      };
      const context = {
        signal: new AbortController().signal,
        withTenantTx: <T>(fn: Parameters<typeof worker.withTenantTx<T>>[1]) => worker.withTenantTx(school.id, fn),
      };
      for (let tries = 0; tries < 20; tries += 1) {
        const prepared = await handler.prepare(event, context);
        const outcome = await worker.withTenantTx(school.id, (tx) => handler.apply(tx, event, prepared));
        if (outcome === 'done') return;
      }
      throw new Error('the event was refetched 20 times');
    },
    rows: (table, school) =>
      database.asSuperuser<Row>(`select * from app.${table} where tenant_id = $1 order by 2`, [school.id]),
    async jobs(queue) {
      let ran = 0;
      for (;;) {
        const [job] = await database.asSuperuser<{ id: string; data: { payload: never } }>(
          `update pgboss.job set state = 'completed' where id = (select id from pgboss.job where name = $1
             and state = 'created' and start_after <= $2 order by created_on limit 1) returning id, data`,
          [queue, new Date(clock.now().getTime() + 5 * 60 * 1000)],
        );
        if (job === undefined) return ran;
        ran += 1;
        const run =
          queue === 'payments.refund_duplicate' ? workerPayments.refundDuplicate : workerPayments.resolveAttempt;
        await run(job.data.payload);
      }
    },
    async metric(name) {
      const values = (await metrics.registry.getSingleMetric(name)?.get())?.values ?? [];
      return values.reduce((sum, { value }) => sum + value, 0);
    },
    close: () => database.close(),
  };
  return rig;
}

/** What a person does with an order, as the api's route would ask for it. */
export function action(db: Db, school: School, who: PersonPrincipal, orderId: string) {
  return {
    tenantId: school.id,
    orderId,
    personId: who.personId,
    actor: actorOf(who),
    withTx: <T>(fn: Parameters<typeof db.withTenantTx<T>>[1]) => db.withTenantTx(school.id, fn),
  };
}

/** A session as the events name it. */
export const sessionObject = (id: string) => ({ id, object: 'checkout.session' });
