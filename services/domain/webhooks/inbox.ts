/**
 * The inbox as the worker sees it. Every method is one turn and returns what it did; the loop around it is the
 * worker's. Nothing here reads a clock: leases and due times are the database's.
 */
import { randomUUID } from 'node:crypto';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createAttempt, type HandleOutcome } from './attempt.ts';
import { MAX_ATTEMPTS } from './event.ts';
import type { EventHandler } from './handler.ts';
import { decideRoute, HandlerTable, observeReceived } from './route.ts';
import { type InboxNumbers, readNumbers } from './store/health.ts';
import { type ClaimedRow, queue } from './store/queue.ts';
import { revive, routing } from './store/routing.ts';

export type { HandleOutcome } from './attempt.ts';

export type InboxInput = {
  db: Db;
  handlers: readonly EventHandler[];
  log: Logger;
  metrics: Metrics;
  /** In [0, 1). */
  random?: () => number;
  /** How long a worker may hold an event; a killed worker's events wait this long. */
  leaseMs?: number;
};

/** A leased event; opaque to the loop that carries it from `claim` to `handle`. */
export type Claimed = { readonly row: ClaimedRow; readonly token: string };

export type Inbox = {
  /** Finds the tenants of received events. Returns how many events it moved. */
  route(): Promise<number>;
  /** Leases up to `limit` due events, the same share for each tenant. */
  claim(limit: number): Promise<Claimed[]>;
  /** One attempt at one event. Never throws. `stopping` ends it early and gives the event back. */
  handle(claimed: Claimed, stopping: AbortSignal): Promise<HandleOutcome>;
  /** Gives back what was claimed and not begun. */
  release(claimed: readonly Claimed[]): Promise<void>;
  /** Takes back what a dead worker held. */
  expireLeases(): Promise<number>;
  /** Routes again what nobody knew when it came and somebody knows now. */
  reviveUnmatched(): Promise<number>;
  /** Reads the depths into the metrics and returns them. */
  measure(): Promise<InboxNumbers>;
};

/** Events routed in one transaction: enough to outrun any provider, few enough that 1 MiB payloads fit in memory. */
const ROUTE_LIMIT = 64;
/** A provider call may take 20 s (see attempt.ts); the lease outlives it and the transaction behind it. */
const LEASE_MS = 45_000;

export function createInbox(input: InboxInput): Inbox {
  const { db, log, metrics } = input;
  const random = input.random ?? Math.random;
  const leaseMs = input.leaseMs ?? LEASE_MS;
  const table = new HandlerTable(input.handlers);
  const attempt = createAttempt({ db, table, log, metrics, random, leaseMs });
  const routed = metrics.counter('klar_inbox_routed_total', 'Received events by where routing sent them', ['state']);
  const dead = metrics.counter('klar_inbox_dead_total', 'Events that became dead', ['reason']);
  const depth = metrics.gauge('klar_inbox_depth', 'Events in the inbox by state', ['state']);
  const oldest = metrics.gauge('klar_inbox_oldest_ready_seconds', 'How long the longest-waiting due event is overdue');
  let cursor = '';

  return {
    async route() {
      const routes = await db.withTx(async (tx) => {
        const received = (await routing.lock(tx, ROUTE_LIMIT)).map((row) => observeReceived(row, table));
        if (received.length === 0) return [];
        const tenants = await routing.tenantsOf(
          tx,
          received.flatMap((event) => event.objects),
        );
        const decided = received.map((event) => decideRoute(event, tenants, random()));
        await routing.save(tx, decided);
        return decided;
      });
      for (const route of routes) routed.inc({ state: route.state });
      return routes.length;
    },

    async claim(limit) {
      const token = randomUUID();
      const claim = (after: string) => db.withTx((tx) => queue.claim(tx, { cursor: after, limit, token, leaseMs }));
      let rows = await claim(cursor);
      if (rows.length === 0 && cursor !== '') rows = await claim('');
      // The next claim starts behind the last tenant served, and from the first one after the end of the round.
      const last = rows
        .map((row) => row.tenant_id)
        .sort()
        .at(-1);
      cursor = rows.length < limit ? '' : (last ?? '');
      return rows.map((row) => ({ row, token }));
    },

    handle: (claimed, stopping) => attempt(claimed.row, claimed.token, stopping),

    async release(claimed) {
      for (const { row, token } of claimed) await db.withTx((tx) => queue.release(tx, [row.id], token, 0));
    },

    async expireLeases() {
      const rows = await db.withTx((tx) => queue.expireLeases(tx, MAX_ATTEMPTS));
      for (const row of rows) {
        log.warn('lease of an event expired', { event: row.id, state: row.state });
        if (row.state === 'dead') dead.inc({ reason: 'lease' });
      }
      return rows.length;
    },

    reviveUnmatched: () => db.withTx((tx) => revive(tx)),

    async measure() {
      const numbers = await db.withTx((tx) => readNumbers(tx));
      for (const state of ['received', 'ready', 'leased', 'unmatched', 'dead'] as const)
        depth.set({ state }, numbers[state]);
      oldest.set(numbers.oldest_s);
      return numbers;
    },
  };
}
