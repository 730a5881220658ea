/** One attempt at one leased event: prepare outside of any transaction, then effect and `done` in one commit. */
import { type Db, sqlState } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { type Logger, withLogContext } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { withSpan } from '#platform/telemetry/index.ts';
import { afterFailure } from './event.ts';
import { type EventHandler, type InboxEvent, PermanentEventError } from './handler.ts';
import type { HandlerTable } from './route.ts';
import { type ClaimedRow, queue } from './store/queue.ts';

/**
 * How an attempt ended. `retry` and `dead` counted it; `released` did not, as the fault was ours (database away,
 * shutdown); `lost`: the lease ran out and another worker has taken over, so nothing was written.
 */
export type HandleOutcome = 'done' | 'retry' | 'dead' | 'released' | 'lost';

/** How often our row may change under a handler in one attempt before the event waits for calmer times. */
const MAX_FETCHES = 5;
/** Longest attempt. Below the lease, so that a slow provider ends the attempt and not the lease. */
const ATTEMPT_MS = 20_000;
/** Pause before an event that met a missing database is ready again. */
const RELEASE_DELAY_MS = 200;
const GIVE_BACK_EVERY_MS = 200;

/** Lag from receipt to effect: milliseconds when all is well, hours after an outage. */
const LAG_BUCKETS_S = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];

class LeaseLost extends Error {}
class Refetch extends Error {}

export type AttemptInput = {
  db: Db;
  table: HandlerTable;
  log: Logger;
  metrics: Metrics;
  random: () => number;
  leaseMs: number;
};

export type Attempt = (row: ClaimedRow, token: string, stopping: AbortSignal) => Promise<HandleOutcome>;

export function createAttempt(input: AttemptInput): Attempt {
  const { db, table, log, metrics, random } = input;
  const attemptMs = Math.min(ATTEMPT_MS, input.leaseMs / 2);
  const handled = metrics.counter('klar_inbox_handled_total', 'Attempts at events by outcome', ['type', 'outcome']);
  const dead = metrics.counter('klar_inbox_dead_total', 'Events that became dead', ['reason']);
  const lag = metrics.histogram('klar_inbox_lag_seconds', 'Receipt of an event to its effect', ['type'], LAG_BUCKETS_S);

  /** Effect, follow-ups, audit and `done`: all or nothing, and only under our lease. */
  async function effect(handler: EventHandler, event: InboxEvent, token: string, signal: AbortSignal): Promise<void> {
    for (let fetches = 1; ; fetches += 1) {
      const prepared = await handler.prepare(event, {
        signal,
        withTenantTx: (fn) => db.withTenantTx(event.tenantId, fn, { signal }),
      });
      signal.throwIfAborted();
      try {
        await db.withTenantTx(
          event.tenantId,
          async (tx) => {
            if (!(await queue.finish(tx, event.id, token))) throw new LeaseLost();
            if ((await handler.apply(tx, event, prepared)) === 'refetch') throw new Refetch();
          },
          { signal },
        );
        return;
      } catch (error) {
        if (!(error instanceof Refetch)) throw error;
        if (fetches >= MAX_FETCHES) throw new Error('the object changed faster than it could be read');
      }
    }
  }

  /**
   * Writes how the attempt ended, until it is written or the lease has run out anyway. Never throws: a database that
   * is away now takes the row back by the lease.
   */
  async function giveBack(write: () => Promise<unknown>, until: number, stopping: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await write();
        return;
      } catch (error) {
        if (performance.now() > until || stopping.aborted) {
          log.warn('an event was left to its lease', { error });
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, GIVE_BACK_EVERY_MS));
      }
    }
  }

  return async (row, token, stopping) => {
    const leaseEnd = performance.now() + input.leaseMs;
    const finishAs = (outcome: HandleOutcome): HandleOutcome => {
      handled.inc({ type: row.type, outcome });
      return outcome;
    };
    return withLogContext({ tenant_id: row.tenant_id, event: row.id, event_type: row.type }, async () => {
      const timeout = AbortSignal.timeout(attemptMs);
      try {
        const handler = table.get(row.provider, row.type);
        if (!handler) throw new Error('no handler for this type any more');
        const event = toEvent(row);
        const signal = AbortSignal.any([timeout, stopping]);
        await withSpan(`event ${row.type}`, { 'klar.provider': row.provider }, () =>
          effect(handler, event, token, signal),
        );
        const seconds = Math.max(0, (Date.now() - row.received_at.getTime()) / 1_000);
        lag.observe({ type: row.type }, seconds);
        log.info('event handled', { provider_event_id: row.event_id, attempt: row.attempts, lag_s: seconds });
        return finishAs('done');
      } catch (error) {
        if (error instanceof LeaseLost) {
          log.warn('lease lost, another worker has the event');
          return finishAs('lost');
        }
        if (ourFault(error) || (stopping.aborted && !timeout.aborted)) {
          log.info('event given back', { error });
          await giveBack(
            () => db.withTx((tx) => queue.release(tx, [row.id], token, RELEASE_DELAY_MS)),
            leaseEnd,
            stopping,
          );
          return finishAs('released');
        }
        const next =
          error instanceof PermanentEventError
            ? { state: 'dead' as const, delayMs: 0 }
            : afterFailure(row.attempts, random());
        const attemptError = timeout.aborted ? 'the attempt took too long' : safeReason(error);
        log[next.state === 'dead' ? 'error' : 'warn']('event failed', {
          error,
          attempt: row.attempts,
          next: next.state,
        });
        await giveBack(
          () => db.withTx((tx) => queue.fail(tx, { id: row.id, token, ...next, error: attemptError })),
          leaseEnd,
          stopping,
        );
        if (next.state === 'dead')
          dead.inc({ reason: error instanceof PermanentEventError ? 'permanent' : 'attempts' });
        return finishAs(next.state === 'dead' ? 'dead' : 'retry');
      }
    });
  };
}

function toEvent(row: ClaimedRow): InboxEvent {
  return {
    id: row.id,
    provider: row.provider,
    account: row.account,
    eventId: row.event_id,
    type: row.type,
    livemode: row.livemode,
    receivedAt: row.received_at,
    tenantId: row.tenant_id,
    attempt: row.attempts,
    payload: JSON.parse(row.raw.toString('utf8')),
  };
}

/** The database was not there: whatever the event is, it did nothing wrong. Slow statements are not on this list. */
const OUR_FAULTS = new Set(['database_unavailable', 'database_busy', 'commit_unknown']);

function ourFault(error: unknown): boolean {
  return error instanceof KlarError && OUR_FAULTS.has(error.code);
}

/** What an operator may read: no driver or provider message, as those quote values of the row. The log has them. */
export function safeReason(error: unknown): string {
  if (error instanceof KlarError) return `${error.code}: ${error.detail}`.slice(0, 500);
  if (error instanceof PermanentEventError) return error.message.slice(0, 500);
  const state = sqlState(error);
  if (state !== undefined) return `database error ${state}`;
  return error instanceof Error ? `${error.name} (see the log)` : 'unknown error (see the log)';
}
