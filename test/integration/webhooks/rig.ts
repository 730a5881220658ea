import * as audit from '#domain/audit/index.ts';
import {
  createInbox,
  type EventHandler,
  eventHandler,
  type HandleOutcome,
  type Inbox,
  insertNewEvents,
  mapProviderObject,
} from '#domain/webhooks/index.ts';
import type { Db } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics, type Metrics } from '#platform/metrics/index.ts';
import type { TestDatabase } from '../../support/database.ts';

export const TYPE = 'thing.changed';

/** The object that a test event is about. */
export function objectOf(payload: unknown): string[] {
  return [(payload as { data: { object: { id: string } } }).data.object.id];
}

/** A handler whose effect is one audit row each time it is applied: running twice would show. */
export function countingHandler(overrides: Partial<EventHandler> = {}): EventHandler {
  return eventHandler({
    provider: 'stripe',
    type: TYPE,
    objectIds: objectOf,
    prepare: async () => undefined,
    apply: async (tx, event) => {
      await audit.append(tx, {
        action: 'orders.pay',
        actor: { kind: 'system', id: 'test' },
        object: { type: 'event', id: event.eventId },
      });
      return 'done';
    },
    ...overrides,
  });
}

export type Rig = {
  inbox: Inbox;
  metrics: Metrics;
  worker: Db;
  api: Db;
  /** Stores an event; `objectId` defaults to one of its own. */
  store(eventId: string, more?: { type?: string; objectId?: string; raw?: string; account?: string }): Promise<string>;
  map(objectId: string, tenantId: string, account?: string): Promise<void>;
  /** Routes and handles until nothing is due. */
  drain(): Promise<HandleOutcome[]>;
  event(eventId: string): Promise<EventRow>;
  /** How often the effect of an event was made. */
  effects(eventId: string): Promise<number>;
  /** Makes every waiting event due now. */
  fastForward(): Promise<void>;
};

export type EventRow = {
  id: string;
  state: string;
  tenant_id: string | null;
  attempts: number;
  run: number;
  last_error: string | null;
  lease_token: string | null;
  object_ids: string[];
  delay_s: number;
};

export const NEVER = new AbortController().signal;

export function createRig(
  database: TestDatabase,
  input: { handlers?: EventHandler[]; leaseMs?: number; random?: () => number } = {},
): Rig {
  const worker = database.db('klar_worker', { poolSize: 10 });
  const api = database.db('klar_api');
  const ingest = database.db('klar_ingest');
  const metrics = createMetrics();
  const inbox = createInbox({
    db: worker,
    handlers: input.handlers ?? [countingHandler()],
    log: silentLogger(),
    metrics,
    random: input.random ?? (() => 0.5),
    ...(input.leaseMs === undefined ? {} : { leaseMs: input.leaseMs }),
  });
  return {
    inbox,
    metrics,
    worker,
    api,
    async store(eventId, more = {}) {
      const type = more.type ?? TYPE;
      const raw =
        more.raw ?? JSON.stringify({ id: eventId, type, data: { object: { id: more.objectId ?? `obj_${eventId}` } } });
      const id = newId('evt');
      await insertNewEvents(ingest, [
        {
          id,
          provider: 'stripe',
          account: more.account ?? '',
          eventId,
          type,
          livemode: false,
          raw: Buffer.from(raw),
          receivedAt: new Date(),
          verdict: 'g1',
        },
      ]);
      return id;
    },
    map: (objectId, tenantId, account = '') =>
      api.withTx((tx) => mapProviderObject(tx, { provider: 'stripe', account, objectId, tenantId })),
    async drain() {
      const outcomes: HandleOutcome[] = [];
      for (;;) {
        const routed = await inbox.route();
        const claimed = await inbox.claim(8);
        if (routed === 0 && claimed.length === 0) return outcomes;
        outcomes.push(...(await Promise.all(claimed.map((one) => inbox.handle(one, NEVER)))));
      }
    },
    async event(eventId) {
      const [row] = await database.asSuperuser<EventRow>(
        `select id, state, tenant_id, attempts, run, last_error, lease_token, object_ids,
           extract(epoch from next_attempt_at - now())::float8 as delay_s
         from inbox.events where event_id = $1`,
        [eventId],
      );
      if (!row) throw new Error(`no event ${eventId}`);
      return row;
    },
    async effects(eventId) {
      const [row] = await database.asSuperuser<{ n: number }>(
        'select count(*)::int as n from app.audit_pending where object_id = $1',
        [eventId],
      );
      return row?.n ?? 0;
    },
    fastForward: async () => {
      await database.asSuperuser('update inbox.events set next_attempt_at = now() where next_attempt_at > now()');
    },
  };
}
