import { type Actor, type AuditAction, append } from '#domain/audit/index.ts';
import { notify, type TemplateName, type TemplateVariables } from '#domain/notifications/index.ts';
import type { Db, Tx } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { currentRequestId, type Logger, withLogContext } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createLoop, type Loop } from './loop.ts';
import * as store from './store/outbox.ts';

/** A mail with the variables of its template. */
export type Mail = {
  [T in TemplateName]: {
    template: T;
    to: { email: string; name: string; personId: string };
    data: TemplateVariables[T];
  };
}[TemplateName];

export interface AuditNote {
  action: AuditAction;
  actor: Actor;
  object: { type: string; id: string };
  details?: Record<string, unknown>;
}

/** What one committed change of schema auth still has to cause in schema app. */
export interface OutboxPayload {
  requestId?: string;
  audit?: AuditNote;
  mail?: Mail;
  /** Somebody asked to reset the password of this address; whether there is such a person is found out later. */
  resetFor?: string;
}

export interface OutboxDeps {
  /** As klar_auth. */
  db: Db;
  /** As klar_api. */
  apiDb: Db;
  log: Logger;
  metrics: Metrics;
  /** Turns a request for a reset into a token and a mail, in the transaction that takes the request away. */
  expandReset(tx: Tx, email: string, requestId: string | undefined): Promise<void>;
}

/**
 * Audit rows and mails live in schema app, which klar_auth cannot write, and persons in schema auth, which klar_api
 * cannot read: no transaction reaches both. So a change writes here what it causes, in its own transaction, and the
 * relay carries it over: row locked as klar_auth, written as klar_api, committed there, then deleted here. A crash
 * between the two commits repeats the second; the audit row's id and the mail's dedupe key make that one effect.
 */
export interface Outbox {
  /** Adds to the caller's transaction and wakes the relay after its commit. */
  emit(tx: Tx, payload: OutboxPayload): Promise<void>;
  loop: Loop;
}

/** More than one row shares a transaction under load; a poisoned row is then taken alone. */
const BATCH = 20;
/** What another process left behind after a crash waits so long at most. */
const SWEEP_MS = 5_000;
/** The first retry of a row is due after a second. */
const DEFERRED_MS = 1_000;

export function createOutbox(deps: OutboxDeps): Outbox {
  const { db, apiDb, log } = deps;
  const relayed = deps.metrics.counter('klar_identity_outbox_total', 'Audit rows and mails handed over, by result', [
    'result',
  ]);

  let deferred = false;

  /** How many rows are done with, one way or the other. */
  async function relay(limit: number): Promise<number> {
    const seen: string[] = [];
    try {
      return await db.withTx(async (tx) => {
        const rows = await store.take(tx, limit);
        if (rows.length === 0) return 0;
        seen.splice(0, seen.length, ...rows.map((row) => row.id));
        for (const { payload } of rows) {
          if (payload.resetFor !== undefined) await deps.expandReset(tx, payload.resetFor, payload.requestId);
        }
        await apiDb.withTenantTx(SYSTEM_TENANT_ID, async (apiTx) => {
          for (const { id, payload } of rows) {
            const { audit, mail, requestId } = payload;
            await withLogContext(requestId === undefined ? {} : { request_id: requestId }, async () => {
              if (audit) await append(apiTx, { ...audit, id, ...(requestId === undefined ? {} : { requestId }) });
              if (mail) await notify(apiTx, { ...mail, dedupeKey: `auth:${id}` } as Parameters<typeof notify>[1]);
            });
          }
        });
        await store.remove(tx, seen);
        tx.afterCommit(() => relayed.inc({ result: 'done' }, rows.length));
        return rows.length;
      });
    } catch (error) {
      if (limit > 1 && seen.length > 1) return relay(1);
      relayed.inc({ result: 'failed' });
      const [row] = seen;
      // A database that is away is not the row's fault: the loop waits, and the row keeps its place.
      if (row === undefined || (error instanceof KlarError && error.kind === 'unavailable')) throw error;
      log.warn('an audit row or a mail could not be handed over; it is tried again', { outbox_id: row, error });
      await db.withTx((tx) => store.defer(tx, row));
      deferred = true;
      return 1;
    }
  }

  const loop = createLoop({
    name: 'outbox',
    everyMs: SWEEP_MS,
    log,
    async runOnce() {
      deferred = false;
      while ((await relay(BATCH)) > 0);
      return deferred ? DEFERRED_MS : undefined;
    },
  });

  return {
    async emit(tx, payload) {
      const requestId = currentRequestId();
      await store.insert(tx, tx.newId('aud'), { ...(requestId === undefined ? {} : { requestId }), ...payload });
      tx.afterCommit(() => loop.kick());
    },
    loop,
  };
}
