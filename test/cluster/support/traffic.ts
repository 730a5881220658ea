import { createHmac, randomBytes } from 'node:crypto';
import { ApiClient } from '../../support/client.ts';
import { type Load, type LoadReport, type LoadRequest, type LoadTarget, startLoad } from '../../support/load.ts';
import { until } from '../../support/until.ts';
import { byName } from './by-name.ts';
import { openSchool, type Student } from './traffic-school.ts';

export interface TrafficInput {
  /** Where api and webhook-ingest answer. */
  target: LoadTarget;
  /** Where webhook-ingest answers when not at `target`. */
  ingest?: LoadTarget;
  /** Where the sandbox answers. */
  sandbox: LoadTarget;
  /** What the sender of webhooks signs with. */
  webhookSecret: string;
  /** Rows of the database, past row level security. */
  sql<T>(query: string): Promise<T[]>;
  /** For how long there must be purchases to pay for; afterwards the events repeat themselves. */
  seconds: number;
  requestsPerSecond?: number;
  webhooksPerSecond?: number;
}

/** What was sent, what came back, and what the database holds of it. */
export interface Outcome {
  api: LoadReport;
  webhooks: LoadReport;
  /** Writes and events that were acknowledged and are not stored. */
  lost: string[];
  /** Rows and effects that are there more often than once, or that nobody was told of. */
  doubled: string[];
  orders: number;
  events: number;
  /** Purchases that exactly one effect of each kind was made of. */
  paid: number;
}

/** A load from outside, as clients and a provider make it, whose end can be checked. */
export interface Traffic {
  readonly api: Load;
  readonly webhooks: Load;
  /** Stops sending, waits for the answers and for the worker, and compares with the database. */
  stop(): Promise<Outcome>;
  /** Ends it as it stands, for a test that failed; nothing after `stop`. */
  abort(): Promise<void>;
}

/** One request in ten writes. */
const WRITE_EVERY = 10;
/** One event in five has a handler that fetches the session; the rest are kept and ignored, as most of a provider's are. */
const EFFECT_EVERY = 5;
/** Events about one purchase, in a row, before the next purchase's: all but one of them change nothing. */
const EVENTS_A_PURCHASE = 20;
/** One event in 25 is delivered twice. */
const DUPLICATE_EVERY = 25;
/** Providers wait for minutes and hours between tries; this is as long as a test can wait. */
const PROVIDER_REPEATS_MS = 20_000;
const WEBHOOK_PATH = '/api/billing/stripe/webhook';
/** The worker retries with a growing pause: what a fault hit last comes back within minutes. */
const SETTLE_MS = 300_000;

/** Opens a school with its students, prepares purchases, and begins to send. */
export async function startTraffic(input: TrafficInput): Promise<Traffic> {
  const perSecond = input.webhooksPerSecond ?? 50;
  const run = randomBytes(4).toString('hex');
  const purchases = Math.ceil((input.seconds * perSecond) / EFFECT_EVERY / EVENTS_A_PURCHASE) + 1;
  // Again when a connection breaks or the database is still coming: what is measured begins only after it.
  let attempt = 0;
  const school = await until(() => openSchool({ ...input, purchases, run: `${run}${++attempt}` }), {
    timeoutMs: 90_000,
    everyMs: 3_000,
    what: 'a school with its purchases',
  });
  const orders = new Map<string, string>();
  const acked = new Set<string>();
  const touched = new Set<number>();

  const nextRequest = (n: number): LoadRequest => {
    const student = school.students[n % school.students.length] as Student;
    const headers = student.headers();
    if (n % WRITE_EVERY === 0) {
      const key = `${run}-${n}`;
      const body = JSON.stringify({ lines: [{ kind: 'service', id: school.serviceId, quantity: 1 }] });
      return {
        method: 'POST',
        path: '/api/orders',
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(body)),
          'idempotency-key': key,
        },
        body,
        persistent: true,
        answered: (status, text) => {
          if (status === 201) orders.set(key, (JSON.parse(text) as { id: string }).id);
        },
      };
    }
    const reads = ['/api/courses?limit=5', `/api/courses/${school.courseId}`, '/api/orders?limit=5', '/api/me'];
    return { method: 'GET', path: reads[n % reads.length] as string, headers };
  };

  const nextWebhook = (n: number): LoadRequest => {
    const event = n > 0 && n % DUPLICATE_EVERY === 0 ? n - 1 : n;
    const id = `evt_${run}_${event}`;
    const effect = event % EFFECT_EVERY === 0;
    const purchase = Math.floor(event / EFFECT_EVERY / EVENTS_A_PURCHASE) % school.purchases.length;
    const sessionId = school.purchases[purchase]?.sessionId as string;
    const body = webhookBody(
      id,
      effect ? { type: 'checkout.session.completed', sessionId } : { type: 'price.updated' },
    );
    return {
      method: 'POST',
      path: WEBHOOK_PATH,
      headers: {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        'stripe-signature': signed(body, input.webhookSecret),
      },
      body,
      persistent: true,
      repeatAtMostMs: PROVIDER_REPEATS_MS,
      answered: (status) => {
        if (status !== 200) return;
        acked.add(id);
        if (effect) touched.add(purchase);
      },
    };
  };

  const api = startLoad(input.target, input.requestsPerSecond ?? 200, nextRequest);
  const webhooks = startLoad(input.ingest ?? input.target, perSecond, nextWebhook);
  return {
    api,
    webhooks,
    async abort() {
      school.close();
      await Promise.all([api.stop(0), webhooks.stop(0)]);
    },
    async stop() {
      const [apiReport, webhookReport] = await Promise.all([api.stop(), webhooks.stop()]);
      school.close();
      const stored = await storedOf(input, run, school.tenantSlug);
      const effects = await effectsOf(
        input,
        [...touched].map((index) => school.purchases[index]?.orderId as string),
      );
      const ackedOrders = new Set(orders.values());
      return {
        api: apiReport,
        webhooks: webhookReport,
        lost: [
          ...missing(ackedOrders, stored.orders).map((id) => `order ${id}`),
          ...missing(acked, stored.events).map((id) => `event ${id}`),
          ...effects.lost,
        ],
        doubled: [
          ...(ackedOrders.size === orders.size ? [] : [`${orders.size - ackedOrders.size} keys with another's order`]),
          // All were repeated until they were acknowledged: a row that nobody was told of is a second one.
          ...missing(stored.orders, ackedOrders).map((id) => `order ${id}`),
          ...missing(stored.events, acked).map((id) => `event ${id}`),
          ...effects.doubled,
        ],
        orders: ackedOrders.size,
        events: acked.size,
        paid: effects.paid,
      };
    },
  };
}

const missing = (wanted: Set<string>, there: Set<string>) => [...wanted].filter((id) => !there.has(id));

function signed(body: string, secret: string): string {
  const at = Math.floor(Date.now() / 1_000);
  return `t=${at},v1=${createHmac('sha256', secret).update(`${at}.${body}`).digest('hex')}`;
}

/** About as long as Stripe's events are; the handler believes nothing of it but the session's id. */
function webhookBody(id: string, about: { type: string; sessionId?: string }): string {
  return JSON.stringify({
    id,
    object: 'event',
    api_version: '2026-01-28.endive',
    created: Math.floor(Date.now() / 1_000),
    data: {
      object: about.sessionId
        ? { id: about.sessionId, object: 'checkout.session', status: 'complete' }
        : { id: `price_${id}`, object: 'price', nickname: 'x'.repeat(1_500) },
    },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type: about.type,
  });
}

/** Ids of what this run's load has left in the database, once the worker has come to the end of it. */
async function storedOf(input: TrafficInput, run: string, slug: string) {
  const ours = `e.event_id like 'evt\\_${run}\\_%'`;
  await until(
    async () => {
      const states = await input.sql<{ state: string; n: number }>(
        `select e.state, count(*)::int as n from inbox.events e where ${ours} group by 1`,
      );
      const open = states.filter(({ state }) => state !== 'done' && state !== 'ignored');
      if (open.length > 0) throw new Error(JSON.stringify(states));
      return true;
    },
    { timeoutMs: SETTLE_MS, everyMs: 1_000, what: 'every event done or ignored' },
  );
  const events = await input.sql<{ id: string }>(`select e.event_id as id from inbox.events e where ${ours}`);
  const orders = await input.sql<{ id: string }>(
    `select o.id from app.orders o join routing.tenants t on t.tenant_id = o.tenant_id
     where t.slug = '${slug}' and not exists (select from app.payments p where p.order_id = o.id)`,
  );
  const ids = (rows: { id: string }[]) => new Set(rows.map(({ id }) => id));
  return { events: ids(events), orders: ids(orders) };
}

/** What each purchase has left; one of each is right. */
async function effectsOf(input: TrafficInput, orderIds: readonly string[]) {
  if (orderIds.length === 0) return { lost: [], doubled: [], paid: 0 };
  const list = orderIds.map((id) => `'${id}'`).join(',');
  const rows = await input.sql<Record<string, number | string>>(
    `select o.id,
       (o.status = 'paid')::int as paid,
       (select (coalesce(sum(p.captured), 0) = o.total_amount)::int + (count(*) - 1)::int from app.payments p
        where p.order_id = o.id) as captured,
       (select count(*)::int from app.fulfilments f where f.order_id = o.id) as fulfilled,
       (select count(*)::int from app.notification_deliveries d
        where d.template = 'orders.receipt' and d.dedupe_key like '%' || o.id || '%') as receipts,
       (select count(*)::int from app.audit_pending a where a.action = 'orders.pay' and a.object_id = o.id) as audits
     from app.orders o where o.id in (${list})`,
  );
  const shown = (row: Record<string, number | string>) => `effects ${JSON.stringify(row)}`;
  const counts = (row: Record<string, number | string>) =>
    Object.values(row).filter((value) => typeof value === 'number');
  return {
    lost: [
      ...(rows.length === orderIds.length ? [] : [`${orderIds.length - rows.length} paid orders are not there`]),
      ...rows.filter((row) => counts(row).some((count) => count < 1)).map(shown),
    ],
    doubled: rows.filter((row) => counts(row).some((count) => count > 1)).map(shown),
    paid: rows.filter((row) => counts(row).every((count) => count === 1)).length,
  };
}

/** A client whose requests carry the ingress's host name. */
export const clientOf = ({ host = '127.0.0.1', port, name }: LoadTarget): ApiClient =>
  new ApiClient(`http://${host}:${port}`, {}, undefined, name === undefined ? undefined : byName(name));
