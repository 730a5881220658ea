import pg from 'pg';
import type { Logger } from '#platform/log/index.ts';
import { type Metrics, whenScraped } from '#platform/metrics/index.ts';
import { connectSocket } from './connect-socket.ts';
import { acquireError, isSilence } from './errors.ts';
import { typeParsers } from './type-parsers.ts';

/** A connection URL, or where to get it: asked again for every new connection, so rotated credentials are picked up. */
export type UrlSource = string | (() => string | Promise<string>);

export interface PoolInput {
  url: UrlSource;
  role: string;
  poolSize: number;
  appName: string;
  log?: Logger | undefined;
  metrics?: Metrics | undefined;
  /** How long a transaction waits for a connection before it is refused as busy. */
  acquireTimeoutMs: number;
  /** A statement unanswered for so long means a dead peer: the connection is dropped. */
  answerTimeoutMs: number;
}

export type PoolClient = pg.PoolClient & { processID: number; secretKey: number; klarUrl?: string; klarSince?: number };

/** While the database is away it is asked this often, so that work resumes well within 2 s of its return. */
const PROBE_INTERVAL_MS = 250;
const PROBE_ANSWER_MS = 2_000;
/** So long callers wait for a database that just restarts, each by itself. */
const SHORT_OUTAGE_MS = 1_000;

/** Connections of one role: bounded, self-healing, aware of rotated credentials. */
export class ConnectionPool {
  readonly role: string;
  readonly #input: PoolInput;
  readonly #pool: pg.Pool;
  #url = '';
  #awaySince: number | undefined;
  #probe: NodeJS.Timeout | undefined;
  #probing = false;
  #closed = false;
  /** When something was asked and nothing was answered any more: connections from before lead to a dead machine. */
  #silentSince = 0;
  #heardAt = 0;

  constructor(input: PoolInput) {
    this.#input = input;
    this.role = input.role;
    const currentUrl = () => this.#url;
    this.#pool = new pg.Pool({
      max: input.poolSize,
      connectionTimeoutMillis: input.acquireTimeoutMs,
      idleTimeoutMillis: 60_000,
      Client: class extends pg.Client {
        readonly klarUrl: string;
        readonly klarSince = performance.now();
        constructor(config: pg.ClientConfig) {
          const url = currentUrl();
          super({ ...config, connectionString: url, stream: () => connectSocket() });
          this.klarUrl = url;
        }
      } as never,
      application_name: input.appName,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      query_timeout: input.answerTimeoutMs,
      types: typeParsers as never,
      pipeline: true,
    } as pg.PoolConfig);
    // Without a listener the loss of an idle connection would end the process.
    this.#pool.on('error', (error) => this.#lost(error));
    // The pool listens only while a client is idle; the error of one in use reaches its statements as well.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
    this.#registerGauges(input.metrics);
  }

  /** A connection for one transaction. Throws the KlarError for "busy" or "away". */
  async acquire(): Promise<PoolClient> {
    if (this.#closed) throw acquireError(new Error('Connection terminated: the pool is closed'));
    if (this.#hopeless())
      throw acquireError(new Error('Connection terminated: the database has been away for a while'));
    try {
      if (this.#url === '' || (typeof this.#input.url === 'function' && this.#pool.idleCount === 0))
        await this.#readUrl();
      return await this.#connect();
    } catch (error) {
      const mapped = acquireError(error);
      if ((mapped as { code?: string }).code === 'database_unavailable') this.#lost(error);
      throw mapped;
    }
  }

  /**
   * Whether to refuse at once. In an outage that lasts, one who tries is enough: a crowd that each waited for its turn to
   * fail would fill the ingress, and meet as a crowd a server that is just coming back.
   */
  #hopeless(): boolean {
    return this.available().awayMs > SHORT_OUTAGE_MS && this.#pool.idleCount === 0 && this.#pool.totalCount > 0;
  }

  async #connect(again = true): Promise<PoolClient> {
    try {
      for (;;) {
        const client = (await this.#pool.connect()) as PoolClient;
        if ((client.klarSince ?? 0) >= this.#silentSince) return client;
        client.release(true);
      }
    } catch (error) {
      // One lost packet is no outage.
      if (again && (error as { code?: string }).code === 'ETIMEDOUT' && this.available().ok)
        return this.#connect(false);
      throw error;
    }
  }

  /** Gives a connection back; a broken one, or one made with retired credentials, is closed instead. */
  release(client: PoolClient, broken: boolean): void {
    client.release(broken || client.klarUrl !== this.#url);
  }

  /** The connection was lost while in use. */
  lost(error: unknown): void {
    this.#lost(error);
  }

  /** The database answered a statement. A connection that could be had proves nothing: it may be idle and long dead. */
  answered(): void {
    this.#heardAt = performance.now();
    if (this.#awaySince === undefined) return;
    this.#input.log?.info('database is back', { role: this.role, away_ms: Math.round(this.available().awayMs) });
    this.#awaySince = undefined;
    clearTimeout(this.#probe);
    this.#probe = undefined;
  }

  available(): { ok: boolean; awayMs: number } {
    if (this.#awaySince === undefined) return { ok: true, awayMs: 0 };
    return { ok: false, awayMs: performance.now() - this.#awaySince };
  }

  /** Never rejects: it is called from where a secret changed, and a connection that fails later says so itself. */
  async reconnect(): Promise<void> {
    try {
      const before = this.#url;
      await this.#readUrl();
      if (this.#url === before) return;
      // Idle connections of the old login close now, the others as their transaction ends.
      const idle: PoolClient[] = [];
      try {
        while (this.#pool.idleCount > 0) idle.push((await this.#pool.connect()) as PoolClient);
      } finally {
        for (const client of idle) this.release(client, false);
      }
    } catch (error) {
      this.#input.log?.warn('database login could not be renewed', { role: this.role, error });
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#probe);
    await this.#pool.end();
  }

  /** Tells the server to stop what this connection is running. Resolves when the server has taken the request. */
  async cancelRunning(client: PoolClient): Promise<void> {
    const { host, port } = client as unknown as { host: string; port: number };
    const connection = new pg.Connection({}) as unknown as {
      connect(portOrPath: number | string, host?: string): void;
      cancel(pid: number, key: number): void;
      on(event: string, fn: () => void): void;
      stream: { destroy(): void };
    };
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => connection.stream.destroy(), 2_000);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      connection.on('error', done);
      connection.on('end', done);
      connection.on('connect', () => connection.cancel(client.processID, client.secretKey));
      if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
      else connection.connect(port, host);
    });
  }

  async #readUrl(): Promise<void> {
    const { url } = this.#input;
    this.#url = typeof url === 'function' ? await url() : url;
  }

  #lost(error: unknown): void {
    if (this.#closed) return;
    if (isSilence(error)) {
      const askedAt = performance.now() - this.#input.answerTimeoutMs;
      // Others were answered meanwhile: that one statement was slow, e.g. behind another's lock.
      if (this.#heardAt >= askedAt) return;
      this.#silentSince = askedAt;
    }
    if (this.#awaySince === undefined) {
      this.#awaySince = performance.now();
      this.#input.log?.warn('database connection lost', {
        role: this.role,
        error: String((error as Error)?.message ?? error),
      });
    }
    this.#scheduleProbe();
  }

  #scheduleProbe(): void {
    if (this.#probe !== undefined || this.#probing || this.#closed) return;
    this.#probe = setTimeout(() => void this.#runProbe(), PROBE_INTERVAL_MS);
    this.#probe.unref();
  }

  async #runProbe(): Promise<void> {
    this.#probe = undefined;
    this.#probing = true;
    let client: PoolClient | undefined;
    try {
      await this.#readUrl();
      client = await this.#connect();
      // While it waits everybody else is refused: not for as long as a real statement may take.
      await client.query({ text: 'select 1', query_timeout: PROBE_ANSWER_MS } as pg.QueryConfig);
      this.release(client, false);
      this.answered();
    } catch {
      client?.release(true);
    } finally {
      this.#probing = false;
      if (this.#awaySince !== undefined) this.#scheduleProbe();
    }
  }

  #registerGauges(metrics: Metrics | undefined): void {
    if (metrics === undefined) return;
    const gauge = metrics.gauge('klar_db_pool_connections', 'Connections of the pool by state', ['role', 'state']);
    // Asked for at each scrape: twice a transaction it was one part in a hundred of the api's work.
    whenScraped(gauge, () => {
      gauge.set({ role: this.role, state: 'idle' }, this.#pool.idleCount);
      gauge.set({ role: this.role, state: 'used' }, this.#pool.totalCount - this.#pool.idleCount);
      gauge.set({ role: this.role, state: 'waiting' }, this.#pool.waitingCount);
    });
    const away = metrics.gauge('klar_db_away_seconds', 'How long the database has not answered; 0 while it does', [
      'role',
    ]);
    // At each scrape, as an outage makes no event that could set it.
    whenScraped(away, () => away.set({ role: this.role }, this.available().awayMs / 1_000));
  }
}
