import { setTimeout as delay } from 'node:timers/promises';
import { tenantIdAt, tenantIdsAfter } from '#domain/tenancy/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { CleanedTable, CleanupInput } from './cleanup.ts';
import type { Batch, Rule } from './retention.ts';

/** Rows a transaction: milliseconds of locks on rows that nobody uses any more. */
const BATCH_SIZE = 500;
const PAUSE_MS = 10;
const TENANT_PAGE = 500;
const PROGRESS_MS = 5_000;
const AWAY_PAUSE_MS = 1_000;
/** For counting what is left, once the time is over. */
const COUNTING_MS = 10_000;
const MAX_ERRORS = 3;

export type Work = { rule: Rule; done: CleanedTable; unfinished: boolean };

/** The batches of a cleanup: one rule of the system, or all rules of one school, at a time. */
export function createRunner(input: CleanupInput, works: readonly Work[]) {
  const { db, signal, dryRun } = input;
  const limit = input.batchSize ?? BATCH_SIZE;
  let told = performance.now();

  const overdue = (until: number) => performance.now() >= until;
  async function rest(tookMs: number): Promise<void> {
    if (performance.now() - told > PROGRESS_MS) {
      told = performance.now();
      input.progress?.(`${works.reduce((sum, { done }) => sum + done.rows, 0)} rows so far`);
    }
    await pause(Math.max(input.pauseMs ?? PAUSE_MS, input.pauseMs === 0 ? 0 : tookMs), signal);
  }

  /** One batch of one rule, or of several in one flight. A database that is away is waited for while there is time. */
  async function attempt<T>(until: number, batch: () => Promise<T>): Promise<T | undefined> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await batch();
      } catch (error) {
        const away = error instanceof KlarError && /^database_(unavailable|busy)$/.test(error.code);
        if (!away) throw error;
        if (overdue(until)) return undefined;
        input.log.warn('the database is away; the cleanup waits', { error });
        await pause(AWAY_PAUSE_MS, signal);
      }
    }
  }

  function note({ done }: Work, error: unknown): void {
    if (signal.aborted) throw signal.reason;
    input.log.warn('a cleanup rule failed', { table: done.table, rule: done.rule, error });
    if (done.errors.length < MAX_ERRORS) done.errors.push(reason(error));
  }

  async function system(work: Work, until: number): Promise<void> {
    const { rule, done } = work;
    if (rule.scope !== 'system') return;
    work.unfinished = false;
    try {
      if (dryRun) {
        done.rows =
          (await attempt(until, () => db.withTx((tx) => rule.rows.count(tx), { readOnly: true, signal }))) ?? 0;
        return;
      }
      for (;;) {
        if (overdue(until)) {
          work.unfinished = true;
          return;
        }
        const started = performance.now();
        const batch = await attempt(until, () => db.withTx((tx) => rule.rows.purge(tx, limit), { signal }));
        done.rows += batch?.purged ?? 0;
        if (batch !== undefined && batch.found < limit) return;
        await rest(performance.now() - started);
      }
    } catch (error) {
      note(work, error);
    }
  }

  /** All rules of one school in one flight, again for those that filled their batch. */
  async function tenant(tenantId: string, all: readonly Work[], until: number): Promise<void> {
    let open = all;
    while (open.length > 0) {
      if (overdue(until)) {
        for (const work of open) work.unfinished = true;
        return;
      }
      const started = performance.now();
      const batches = await together(tenantId, open, until).catch(() => undefined);
      if (batches === undefined) return alone(tenantId, open, until);
      for (const [at, work] of open.entries()) work.done.rows += batches[at]?.purged ?? 0;
      open = open.filter((_, at) => (batches[at]?.found ?? 0) >= limit && !dryRun);
      if (open.length > 0) await rest(performance.now() - started);
    }
  }

  const together = (tenantId: string, some: readonly Work[], until: number): Promise<Batch[] | undefined> =>
    attempt(until, () =>
      db.withTenantTx(
        tenantId,
        (tx) =>
          Promise.all(
            some.map(async ({ rule }) => {
              if (rule.scope !== 'tenant') return { found: 0, purged: 0 };
              return dryRun ? { found: 0, purged: await rule.rows.count(tx) } : rule.rows.purge(tx, limit);
            }),
          ),
        { signal, readOnly: dryRun },
      ),
    );

  /** After a failure: each rule by itself, so that the one that fails is named and the others are done. */
  async function alone(tenantId: string, some: readonly Work[], until: number): Promise<void> {
    for (const work of some) {
      try {
        for (;;) {
          if (overdue(until)) {
            work.unfinished = true;
            break;
          }
          const [batch] = (await together(tenantId, [work], until)) ?? [];
          work.done.rows += batch?.purged ?? 0;
          if (batch !== undefined && (batch.found < limit || dryRun)) break;
          await rest(0);
        }
      } catch (error) {
        note(work, error);
      }
    }
  }

  async function tenants(all: readonly Work[], until: number): Promise<number> {
    let seen = 0;
    for await (const id of tenantIds(until)) {
      if (overdue(until)) {
        for (const work of all) work.unfinished = true;
        return seen;
      }
      const started = performance.now();
      // A rule that failed so often (a table that somebody holds) would cost every school the wait for a lock.
      await tenant(
        id,
        all.filter((work) => !givenUp(work)),
        until,
      );
      seen += 1;
      if (!dryRun) await rest(performance.now() - started);
    }
    for (const work of all) work.unfinished ||= givenUp(work);
    return seen;
  }

  /** Every school once, beginning anywhere: a run that is always cut short must not always do the same ones. */
  async function* tenantIds(until: number): AsyncGenerator<string> {
    const fraction = (input.random ?? Math.random)();
    const start = await attempt(until, () => db.withTx((tx) => tenantIdAt(tx, fraction), { signal }));
    if (start === undefined) throw databaseAway();
    for (const [from, to] of [
      [start, undefined],
      ['', start],
    ] as const) {
      let after: string = from;
      for (;;) {
        signal.throwIfAborted();
        const page = await attempt(until, () => db.withTx((tx) => tenantIdsAfter(tx, after, TENANT_PAGE), { signal }));
        if (page === undefined) throw databaseAway();
        for (const id of page) {
          if (to !== undefined && id > to) return;
          yield id;
        }
        if (page.length < TENANT_PAGE) break;
        after = page.at(-1) ?? after;
      }
    }
  }

  async function countLeft(unfinished: readonly Work[]): Promise<void> {
    const until = performance.now() + COUNTING_MS;
    for (const work of unfinished) {
      const { rule, done } = work;
      if (givenUp(work)) {
        done.at_least = true;
        continue;
      }
      try {
        if (rule.scope === 'system') {
          done.left = await db.withTx((tx) => rule.rows.count(tx), { readOnly: true, signal });
          continue;
        }
        for await (const id of tenantIds(until)) {
          if (overdue(until)) {
            done.at_least = true;
            break;
          }
          done.left += await db.withTenantTx(id, (tx) => rule.rows.count(tx), { readOnly: true, signal });
        }
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        done.at_least = true;
        input.log.warn('what is left could not be counted', { table: done.table, error });
      }
    }
  }

  return { system, tenants, countLeft };
}

const databaseAway = () => fail.unavailable('database_unavailable', 'The database was away until the time was over.');

const givenUp = ({ done }: Work): boolean => done.errors.length >= MAX_ERRORS;

/** Short, and without what a driver quotes of a row. */
function reason(error: unknown): string {
  if (error instanceof KlarError) return error.code;
  const { code, statement } = error as { code?: unknown; statement?: unknown };
  return typeof code === 'string'
    ? `database error ${code}${typeof statement === 'string' ? ` in ${statement}` : ''}`
    : 'see the log';
}

const pause = (ms: number, signal: AbortSignal): Promise<void> => delay(ms, undefined, { signal }).catch(() => {});
