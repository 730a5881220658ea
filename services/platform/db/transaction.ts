import type { Clock } from '#platform/clock/index.ts';
import { failpoint } from '#platform/failpoint/index.ts';
import { commitUnknown, isConnectionLoss, isContention, isStalePlan, nameStatement, sqlState } from './errors.ts';
import { toParameters } from './parameters.ts';
import type { ConnectionPool, PoolClient } from './pool.ts';
import { type Statement, statement } from './statement.ts';
import type { TenantTx, TxOptions, Value } from './types.ts';

export interface TransactionDeps {
  pool: ConnectionPool;
  clock: Clock;
  newId: (prefix: string) => string;
  prepared: boolean;
  /** Duration of one statement, from sending to its answer. */
  observe: (statement: string, seconds: number) => void;
}

const setTenant = statement('db.set_tenant', `select set_config('app.tenant_id', $1, true)`);
const setTimeoutStatement = statement('db.set_statement_timeout', `select set_config('statement_timeout', $1, true)`);

const ignore = () => {};

interface Result {
  rows: unknown[];
  rowCount: number | null;
  command: string;
}

/** One attempt at one transaction on one connection. */
export class Transaction {
  readonly #deps: TransactionDeps;
  readonly #client: PoolClient;
  readonly #options: TxOptions;
  readonly #outstanding = new Set<Promise<unknown>>();
  readonly afterCommit: (() => void)[] = [];
  #firstError: unknown;
  #open = true;
  #canceling: Promise<void> | undefined;
  #connectionLost = false;
  #commitSent = false;
  /** COMMIT went with the statements of a transaction that only reads; none may follow. */
  #early: Promise<void> | undefined;
  #corked = false;
  /** Crash tests die between the statements of tenant transactions, where effects are made. */
  #inTenant = false;

  constructor(deps: TransactionDeps, client: PoolClient, options: TxOptions) {
    this.#deps = deps;
    this.#client = client;
    this.#options = options;
  }

  /** The connection must not be used again. */
  get broken(): boolean {
    return this.#connectionLost || this.#canceling !== undefined;
  }

  /** Runs `fn` between BEGIN and COMMIT. Throws the first error of the transaction, whichever promise was awaited. */
  async run<T>(tenantId: string | undefined, fn: (tx: TenantTx) => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    const onAbort = () => this.#abort();
    // The connection may break while fn is busy elsewhere and no statement is there to hear of it.
    const onLost = (error: unknown) => {
      this.#connectionLost = true;
      this.#fail(error);
    };
    this.#client.on('error', onLost);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#send(undefined, this.#begin());
      if (this.#options.statementTimeoutMs !== undefined) {
        this.#send(setTimeoutStatement, setTimeoutStatement.text, [String(this.#options.statementTimeoutMs)]);
      }
      this.#inTenant = tenantId !== undefined;
      if (tenantId !== undefined) this.#send(setTenant, setTenant.text, [tenantId]);
      const work = fn(this.#handle(tenantId));
      if (this.#options.readOnly === 'one flight') {
        this.#early = this.#commit(false);
        this.#early.catch(ignore);
      }
      const value = await work;
      await this.#settle();
      if (this.#firstError !== undefined) throw this.#firstError;
      signal?.throwIfAborted();
      this.#open = false;
      await (this.#early ?? this.#commit());
      return value;
    } catch (error) {
      this.#open = false;
      await this.#settle();
      await this.#rollback();
      if (signal?.aborted && !this.#commitSent) throw signal.reason;
      throw this.#outranks(error) ? this.#firstError : error;
    } finally {
      this.#open = false;
      signal?.removeEventListener('abort', onAbort);
      this.#client.off('error', onLost);
    }
  }

  /**
   * Whether the first error is the one to report. Statements behind a failed one only say 25P02 or that the
   * connection is gone; and what the transaction is run again for must not hide behind an error that fn made of it.
   */
  #outranks(error: unknown): boolean {
    const first = this.#firstError;
    // Once COMMIT was sent nothing may make the transaction look as if it could run again.
    if (first === undefined || this.#commitSent) return false;
    return (
      isContention(first) ||
      isStalePlan(first) ||
      isConnectionLoss(first) ||
      isConnectionLoss(error) ||
      sqlState(error) === '25P02'
    );
  }

  #begin(): string {
    const { isolation, readOnly } = this.#options;
    return `BEGIN${isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation}`}${readOnly ? ' READ ONLY' : ''}`;
  }

  #handle(tenantId: string | undefined): TenantTx {
    const { clock, newId } = this.#deps;
    const execute = (s: Statement, values?: readonly Value[]): Promise<Result> => {
      if (!this.#open || this.#early !== undefined)
        return Promise.reject(new Error(`transaction used after its end (${s.name})`));
      if (this.#options.signal?.aborted) return Promise.reject(this.#options.signal.reason);
      return this.#send(s, s.text, values);
    };
    const all = async (s: Statement, values?: readonly Value[]) => (await execute(s, values)).rows as never[];
    const affected = async (s: Statement, values?: readonly Value[]) => (await execute(s, values)).rowCount ?? 0;
    const few = async (s: Statement, values: readonly Value[] | undefined, least: number): Promise<unknown> => {
      const { rows } = await execute(s, values);
      if (rows.length > 1 || rows.length < least) throw new Error(`${s.name} returned ${rows.length} rows`);
      return rows[0];
    };
    const handled = <T>(promise: Promise<T>): Promise<T> => {
      // A caller that awaits only the first of several statements must not crash the process with the others' errors.
      promise.catch(ignore);
      return promise;
    };
    const tx: Omit<TenantTx, symbol> = {
      tenantId: tenantId as string,
      signal: this.#options.signal,
      rows: (s, values) => handled(all(s as Statement, values)),
      one: (s, values) => handled(few(s as Statement, values, 1) as Promise<never>),
      maybe: (s, values) => handled(few(s as Statement, values, 0) as Promise<never>),
      run: (s, values) => handled(affected(s, values)),
      now: () => clock.now(),
      newId,
      afterCommit: (hook) => void this.afterCommit.push(hook),
    };
    return tx as TenantTx;
  }

  #send(s: Statement | undefined, text: string, values?: readonly Value[]): Promise<Result> {
    this.#cork();
    const answer = this.#answer(s, text, values);
    this.#outstanding.add(answer);
    answer.catch(ignore).finally(() => this.#outstanding.delete(answer));
    return answer;
  }

  /** What is issued before the next tick leaves in one write: BEGIN, the tenant and the first statements, for instance. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    const { stream } = (this.#client as unknown as { connection: { stream: { cork(): void; uncork(): void } } })
      .connection;
    stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      stream.uncork();
    });
  }

  async #answer(s: Statement | undefined, text: string, values?: readonly Value[]): Promise<Result> {
    const started = performance.now();
    // The driver's stack begins at a socket. Frames are only collected here; they become text when somebody reads them.
    const called = s === undefined ? undefined : new Error();
    const name = s !== undefined && this.#deps.prepared ? { name: s.preparedName } : {};
    try {
      const query = s === undefined ? { text } : { text, values: toParameters(values ?? []), ...name };
      const result = (await this.#client.query(query)) as Result;
      this.#deps.pool.answered();
      if (this.#inTenant) failpoint('db.statement');
      return result;
    } catch (error) {
      if (s !== undefined && called !== undefined) nameStatement(error, s, called);
      this.#fail(error);
      throw this.#outranks(error) ? this.#firstError : error;
    } finally {
      if (s !== undefined) this.#deps.observe(s.name, (performance.now() - started) / 1_000);
    }
  }

  #fail(error: unknown): void {
    this.#firstError ??= error;
    if (isStalePlan(error)) this.#connectionLost = true;
    if (isConnectionLoss(error)) {
      this.#connectionLost = true;
      this.#deps.pool.lost(error);
    } else if (sqlState(error) !== undefined) this.#deps.pool.answered();
  }

  async #settle(): Promise<void> {
    while (this.#outstanding.size > 0) await Promise.allSettled(this.#outstanding);
  }

  /** @param matters false: what only read may run again, whatever became of its COMMIT */
  async #commit(matters = true): Promise<void> {
    let result: Result;
    this.#commitSent = matters;
    try {
      if (this.#inTenant) failpoint('db.statement');
      result = (await this.#client.query('COMMIT')) as unknown as Result;
      if (this.#inTenant) failpoint('db.statement');
    } catch (error) {
      // An ERROR with a SQLSTATE (a deferred constraint, a serialization failure) is an answer: not committed.
      // Anything else, or a FATAL that ended the session, is no answer.
      if (sqlState(error) !== undefined && !isConnectionLoss(error)) throw error;
      this.#connectionLost = true;
      this.#deps.pool.lost(error);
      throw matters ? commitUnknown(error) : error;
    }
    if (result.command !== 'COMMIT') throw this.#firstError ?? new Error(`COMMIT answered ${result.command}`);
  }

  async #rollback(): Promise<void> {
    if (this.#canceling !== undefined) await this.#canceling;
    await this.#early?.catch(ignore);
    if (this.broken || this.#early !== undefined) return;
    try {
      await this.#client.query('ROLLBACK');
    } catch (error) {
      this.#connectionLost = true;
      if (isConnectionLoss(error)) this.#deps.pool.lost(error);
    }
  }

  #abort(): void {
    if (!this.#open || this.#outstanding.size === 0) return;
    // The connection is dropped afterwards: a cancel that arrives late must not hit the next user's statement.
    this.#canceling ??= this.#deps.pool.cancelRunning(this.#client);
  }
}
