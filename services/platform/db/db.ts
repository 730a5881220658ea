import { type Clock, systemClock } from '#platform/clock/index.ts';
import { newId as makeId } from '#platform/ids/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { recordSpan } from '#platform/telemetry/index.ts';
import {
  commitUnknown,
  isConnectionLoss,
  isContention,
  isSilence,
  isStalePlan,
  nameStatement,
  transactionError,
} from './errors.ts';
import { toParameters } from './parameters.ts';
import { ConnectionPool, type UrlSource } from './pool.ts';
import { registerSqlExecutor } from './sql-executor.ts';
import type { Statement } from './statement.ts';
import { Transaction, type TransactionDeps } from './transaction.ts';
import type { Db, TenantTx, Tx, TxOptions, Value } from './types.ts';

export interface DbInput {
  /** Connection URL, or a function asked before every new connection (rotated credentials). */
  url: UrlSource;
  /** Group role, e.g. `klar_api`: the metric label. */
  role: string;
  poolSize?: number;
  clock?: Clock;
  ids?: { newId(prefix: string): string };
  log?: Logger;
  metrics?: Metrics;
  /** Named prepared statements; off for PgBouncer before 1.21 in transaction mode. Default on. */
  prepared?: boolean;
  appName?: string;
  /** Longest wait for a free connection, default 2000 ms; then `database_busy`. */
  acquireTimeoutMs?: number;
  /** A statement without any answer for so long means a dead peer, default 30000 ms. Above every statement_timeout. */
  answerTimeoutMs?: number;
}

const DEFAULT_RETRIES = 3;
const RETRY_BASE_MS = 20;
/** PostgreSQL's own default would be 100 connections in total; one process must leave room for the others. */
const DEFAULT_POOL_SIZE = 10;
const TENANT_ID = /^[a-z]{2,8}_[0-9a-zA-Z]{1,64}$/;
/** From microseconds of a point read to the statement timeout. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];

/** Opens the database as one role. Connections are made on demand, so this never fails. */
export function createDb(input: DbInput): Db {
  const { role, log, metrics } = input;
  const pool = new ConnectionPool({
    url: input.url,
    role,
    poolSize: input.poolSize ?? DEFAULT_POOL_SIZE,
    appName: input.appName ?? 'klar',
    log,
    metrics,
    acquireTimeoutMs: input.acquireTimeoutMs ?? 2_000,
    answerTimeoutMs: input.answerTimeoutMs ?? 30_000,
  });
  const durations = metrics?.histogram(
    'klar_db_statement_seconds',
    'Duration of one SQL statement',
    ['statement', 'role'],
    BUCKETS,
  );
  const retried = metrics?.counter('klar_db_transaction_retries_total', 'Transactions run again, by reason', [
    'role',
    'reason',
  ]);
  const deps: TransactionDeps = {
    pool,
    clock: input.clock ?? systemClock,
    newId: input.ids ? (prefix) => input.ids?.newId(prefix) ?? '' : makeId,
    prepared: input.prepared ?? true,
    observe: (statement, seconds) => {
      durations?.observe({ statement, role }, seconds);
      recordSpan(statement, { 'db.system.name': 'postgresql', 'db.operation.name': statement }, seconds);
    },
  };

  async function attempt<T>(
    tenantId: string | undefined,
    fn: (tx: TenantTx) => Promise<T>,
    options: TxOptions,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    const client = await pool.acquire();
    const transaction = new Transaction(deps, client, options);
    try {
      // The caller may have gone away while waiting for the connection.
      options.signal?.throwIfAborted();
      const value = await transaction.run(tenantId, fn);
      for (const hook of transaction.afterCommit) runHook(hook);
      return value;
    } finally {
      pool.release(client, transaction.broken);
    }
  }

  function runHook(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      log?.error('after-commit hook failed', { error: String((error as Error)?.stack ?? error) });
    }
  }

  async function executeOnce(s: Statement, values: readonly Value[]): Promise<number> {
    const client = await pool.acquire();
    const started = performance.now();
    let broken = false;
    const called = new Error();
    try {
      const name = deps.prepared ? { name: s.preparedName } : {};
      const { rowCount } = await client.query({ text: s.text, values: toParameters(values), ...name });
      pool.answered();
      return rowCount ?? 0;
    } catch (error) {
      broken = isConnectionLoss(error);
      nameStatement(error, s, called);
      if (isStalePlan(error)) broken = true;
      if (!isConnectionLoss(error)) throw error;
      pool.lost(error);
      throw commitUnknown(error);
    } finally {
      deps.observe(s.name, (performance.now() - started) / 1_000);
      pool.release(client, broken);
    }
  }

  async function run<T>(
    tenantId: string | undefined,
    fn: (tx: TenantTx) => Promise<T>,
    options: TxOptions = {},
  ): Promise<T> {
    return again(() => attempt(tenantId, fn, options), options);
  }

  async function again<T>(work: () => Promise<T>, options: TxOptions): Promise<T> {
    const retries = options.retries ?? DEFAULT_RETRIES;
    for (let tries = 0; ; tries += 1) {
      try {
        return await work();
      } catch (error) {
        const contention = isContention(error);
        // Who had no answer has waited as long as anybody may: another try would wait as long again.
        const lost = isConnectionLoss(error) && !isSilence(error);
        const repeat = (contention || isStalePlan(error) || lost) && tries < retries && !options.signal?.aborted;
        if (!repeat) throw transactionError(error);
        retried?.inc({ role, reason: contention ? 'contention' : 'connection' });
        // Full jitter, or the same two transactions would meet again.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * RETRY_BASE_MS * 2 ** tries));
      }
    }
  }

  async function executeSql(text: string, values?: unknown[]): Promise<{ rows: never[] }> {
    const client = await pool.acquire();
    let broken = false;
    try {
      const result: unknown = await client.query(values === undefined ? { text } : { text, values });
      pool.answered();
      // Several statements in one text give several results; the last one speaks.
      return (Array.isArray(result) ? result.at(-1) : result) as { rows: never[] };
    } catch (error) {
      // A multi-statement text may have failed between its own BEGIN and COMMIT.
      broken = true;
      if (isConnectionLoss(error)) pool.lost(error);
      throw error;
    } finally {
      pool.release(client, broken);
    }
  }

  const asides: Db[] = [];
  const db: Db = {
    role,
    withTx: (fn, options) => run(undefined, fn as (tx: Tx) => Promise<never>, options),
    withTenantTx: (tenantId, fn, options) => {
      if (!TENANT_ID.test(tenantId)) return Promise.reject(new TypeError('withTenantTx needs a tenant id'));
      return run(tenantId, fn, options);
    },
    execute: (s, values = []) => again(() => executeOnce(s, values), {}),
    available: () => pool.available(),
    aside: ({ poolSize, answerMs }) => {
      const { metrics: _, ...same } = input;
      const own = createDb({ ...same, poolSize, acquireTimeoutMs: answerMs, answerTimeoutMs: answerMs });
      asides.push(own);
      return own;
    },
    reconnect: async () => void (await Promise.all([pool.reconnect(), ...asides.map((own) => own.reconnect())])),
    close: async () => void (await Promise.all([pool.close(), ...asides.map((own) => own.close())])),
  };
  registerSqlExecutor(db, { executeSql });
  return db;
}
