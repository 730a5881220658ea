/** What an operator does with stored events: look, replay what ended well, redrive what ended badly. */
import * as audit from '#domain/audit/index.ts';
import type { Db } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { ACCEPTED_STATES, type EventState, type OperatorVerb, REPLAY_COOLDOWN_S } from './event.ts';
import { type Candidate, type EventFilter, type EventRow, operator } from './store/operator.ts';

export type { EventFilter } from './store/operator.ts';

/** One stored event as JSON shows it; no payload. Times are ISO 8601. */
export type EventView = {
  id: string;
  provider: string;
  account: string;
  event_id: string;
  type: string;
  livemode: boolean | null;
  state: EventState;
  tenant_id: string | null;
  object_ids: string[];
  /** Generation of the secret that verified it. */
  verdict: string;
  received_at: string;
  /** 1, and one more for each replay or redrive. */
  run: number;
  attempts: number;
  next_attempt_at: string;
  last_error: string | null;
  last_failed_at: string | null;
  handled_at: string | null;
  replayed_at: string | null;
};

function view(row: EventRow): EventView {
  const { lease_until: _lease, received_at, next_attempt_at, last_failed_at, handled_at, replayed_at, ...plain } = row;
  return {
    ...plain,
    received_at: received_at.toISOString(),
    next_attempt_at: next_attempt_at.toISOString(),
    last_failed_at: last_failed_at?.toISOString() ?? null,
    handled_at: handled_at?.toISOString() ?? null,
    replayed_at: replayed_at?.toISOString() ?? null,
  };
}

/** Events newest first. @param page.before id of the last one already seen */
export async function listEvents(
  db: Db,
  filter: EventFilter,
  page: { before: string | null; limit: number },
): Promise<EventView[]> {
  return (await db.withTx((tx) => operator.list(tx, filter, page))).map(view);
}

/** By our id or the provider's; a provider's id may be there once an account. */
export async function showEvents(db: Db, id: string): Promise<EventView[]> {
  return (await db.withTx((tx) => operator.show(tx, id))).map(view);
}

/** The payload as received; it may hold personal data, so the look is audited. Only klar_ops may. */
export async function readPayload(db: Db, event: EventView, actor: audit.Actor): Promise<Buffer | undefined> {
  return db.withTenantTx(event.tenant_id ?? SYSTEM_TENANT_ID, async (tx) => {
    const [row] = await Promise.all([
      operator.raw(tx, event.id),
      audit.append(tx, { action: 'webhooks.read_payload', actor, object: { type: 'event', id: event.id } }),
    ]);
    return row?.raw;
  });
}

export type RequeueInput = {
  verb: OperatorVerb;
  /** At least one of ids, type, since, until. */
  filter: Omit<EventFilter, 'states'>;
  /** At most so many events are looked at. */
  limit: number;
  /** Only says what would happen. */
  dryRun: boolean;
  reason: string;
  actor: audit.Actor;
  signal?: AbortSignal | undefined;
};

export type RequeueResult = {
  verb: OperatorVerb;
  dry_run: boolean;
  /** Ids of the events queued again, or that would be. */
  queued: string[];
  /** Events the verb is not for: still on their way, or ended the other way. */
  skipped_state: number;
  /** Events that were queued by hand moments ago. */
  skipped_cooldown: number;
  /** There may be more: the limit was reached. */
  limit_reached: boolean;
};

const PAGE = 500;
/** Events changed in one transaction: a replay of thousands must not hold thousands of row locks. */
const CHUNK = 100;

/**
 * Queues events again, oldest first. Each becomes a new run that is routed and handled like a new event; its effect is
 * made once however often it runs, and its age and signature are not looked at again. One audit row an event, in the
 * event's tenant (the platform's where it has none), in the commit that queues it.
 * @throws KlarError unprocessable `selector_required`: everything there is, is never meant
 */
export async function requeueEvents(db: Db, input: RequeueInput): Promise<RequeueResult> {
  const { verb, filter, limit, signal } = input;
  if (!filter.ids?.length && !filter.type && !filter.since && !filter.until) {
    throw fail.unprocessable('selector_required', 'Name events by id, by type, or by a time range.');
  }
  const accepted: readonly EventState[] = ACCEPTED_STATES[verb];
  // Events named by id are reported when they are skipped; a range means only the ones it can apply to.
  const selection: EventFilter = filter.ids?.length ? filter : { ...filter, states: accepted };
  const result: RequeueResult = {
    verb,
    dry_run: input.dryRun,
    queued: [],
    skipped_state: 0,
    skipped_cooldown: 0,
    limit_reached: false,
  };
  let after: string | null = null;
  for (let seen = 0; ; ) {
    signal?.throwIfAborted();
    const size = Math.min(PAGE, limit - seen);
    const page = { after, limit: size, cooldownS: REPLAY_COOLDOWN_S };
    const found: Candidate[] = size <= 0 ? [] : await db.withTx((tx) => operator.candidates(tx, selection, page));
    // Without its payload an event cannot be handled again: it counts as one the verb is not for.
    const right = found.filter((event) => accepted.includes(event.state) && !event.dropped);
    const ready = right.filter((event) => !event.cooling);
    result.skipped_state += found.length - right.length;
    result.skipped_cooldown += right.length - ready.length;
    if (input.dryRun) result.queued.push(...ready.map((event) => event.id));
    else for (const group of groups(ready)) result.queued.push(...(await requeueGroup(db, input, accepted, group)));
    seen += found.length;
    after = found.at(-1)?.id ?? after;
    result.limit_reached = size > 0 && seen >= limit;
    if (found.length < size || seen >= limit) return result;
  }
}

/** Events of one tenant each, in order, at most {@link CHUNK}. */
function groups(events: readonly Candidate[]): Candidate[][] {
  const byTenant = Map.groupBy(events, (event) => event.tenant_id);
  return [...byTenant.values()].flatMap((all) =>
    Array.from({ length: Math.ceil(all.length / CHUNK) }, (_, i) => all.slice(i * CHUNK, (i + 1) * CHUNK)),
  );
}

async function requeueGroup(
  db: Db,
  input: RequeueInput,
  accepted: readonly EventState[],
  group: readonly Candidate[],
): Promise<string[]> {
  const ids = group.map((event) => event.id);
  return db.withTenantTx(group[0]?.tenant_id ?? SYSTEM_TENANT_ID, async (tx) => {
    const queued = await operator.requeue(tx, ids, accepted);
    await Promise.all(
      queued.map((event) =>
        audit.append(tx, {
          action: `webhooks.${input.verb}`,
          actor: input.actor,
          object: { type: 'event', id: event.id },
          details: { reason: input.reason, run: event.run },
        }),
      ),
    );
    return queued.map((event) => event.id);
  });
}
