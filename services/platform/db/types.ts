import type { Statement } from './statement.ts';

declare const txBrand: unique symbol;

/** One value of a statement. Objects become JSON, arrays become PostgreSQL arrays, `undefined` becomes NULL. */
export type Value = unknown;

/**
 * An open transaction. It is always the first argument, never hidden, and usable only inside the callback that
 * received it. Statements may be issued without awaiting each: they travel in one flight and run in order.
 * Any error ends the transaction: catching it and going on is not possible, use ON CONFLICT instead.
 */
export interface Tx {
  readonly [txBrand]: true;
  /** All rows. */
  rows<Row>(statement: Statement<Row>, values?: readonly Value[]): Promise<Row[]>;
  /** Exactly one row; anything else is a bug and throws. */
  one<Row>(statement: Statement<Row>, values?: readonly Value[]): Promise<Row>;
  /** One row or `undefined`; more than one is a bug and throws. */
  maybe<Row>(statement: Statement<Row>, values?: readonly Value[]): Promise<Row | undefined>;
  /** Number of rows affected. */
  run(statement: Statement, values?: readonly Value[]): Promise<number>;
  /** The application's clock (not the database's). */
  now(): Date;
  /** A new id: `${prefix}_` and a UUIDv7. */
  newId(prefix: string): string;
  /** Runs once after the commit is certain; its errors are logged, never thrown. Not durable: a crash skips it. */
  afterCommit(fn: () => void): void;
  /** Aborted when the caller went away. */
  readonly signal: AbortSignal | undefined;
}

/** A transaction whose rows are limited to one tenant by row level security. */
export interface TenantTx extends Tx {
  readonly tenantId: string;
}

/** How a transaction runs. */
export interface TxOptions {
  /** Aborting cancels the running statement, rolls back, and rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  isolation?: 'read committed' | 'repeatable read' | 'serializable' | undefined;
  /**
   * Refuses writes. `one flight`: BEGIN, the statements and COMMIT leave together, so `fn` issues all of them before it
   * waits for any; one that it issues later is refused.
   */
  readOnly?: boolean | 'one flight' | undefined;
  /** How often the whole transaction may run again after a deadlock, a serialization failure or a connection lost
   * before COMMIT was sent. Default 3. */
  retries?: number | undefined;
  /** `statement_timeout` for this transaction alone, in milliseconds; without it the role's own setting holds. */
  statementTimeoutMs?: number | undefined;
}

/** The database as one role sees it. */
export interface Db {
  readonly role: string;
  /**
   * Runs `fn` in a transaction and commits. `fn` may run more than once (see `retries`), so it does nothing but
   * database work.
   * @throws KlarError unavailable: `database_busy` (no connection within the bound), `database_unavailable`,
   *   `database_contention`, or `commit_unknown` (the connection broke after COMMIT was sent: look before repeating)
   */
  withTx<T>(fn: (tx: Tx) => Promise<T>, options?: TxOptions): Promise<T>;
  /** As `withTx`, limited to one tenant: BEGIN, the tenant and the first statements of `fn` go in one flight. */
  withTenantTx<T>(tenantId: string, fn: (tx: TenantTx) => Promise<T>, options?: TxOptions): Promise<T>;
  /**
   * One statement that commits by itself, without BEGIN and COMMIT: for statements that need no tenant and no company,
   * where each flight counts. Run again after a deadlock; after a lost connection its outcome is unknown, so it must
   * be safe to repeat.
   * @returns the number of rows affected
   * @throws KlarError as `withTx`
   */
  execute(statement: Statement, values?: readonly Value[]): Promise<number>;
  /** Whether the database answered when last asked, and for how long it has not. */
  available(): { ok: boolean; awayMs: number };
  /** Reads the URL again and retires connections made with the old one as they come back (rotated credentials). */
  reconnect(): Promise<void>;
  /**
   * The same login on connections of its own, for a question that must neither wait behind others nor wait long: one
   * without an answer in `answerMs` fails, and its connection is dropped. Not among the pool's metrics; closed with this.
   */
  aside(input: { poolSize: number; answerMs: number }): Db;
  /** Waits for running transactions, then closes every connection. */
  close(): Promise<void>;
}
