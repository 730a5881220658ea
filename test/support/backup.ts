import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openTestDatabase, prepareDatabase, startOwnPostgres, type TestDatabase, type TestServer } from './database.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const VERSIONED = '/usr/lib/postgresql';

/** Debian's PostgreSQL with all of its programs; the embedded one has no pg_dump. @throws when it is not installed */
export function systemPostgres(): string {
  const versions = existsSync(VERSIONED) ? readdirSync(VERSIONED).sort((a, b) => Number(b) - Number(a)) : [];
  const bin = versions
    .map((version) => path.join(VERSIONED, version, 'bin'))
    .find((dir) => existsSync(`${dir}/initdb`));
  if (bin === undefined) throw new Error('no PostgreSQL below /usr/lib/postgresql: apt-get install postgresql');
  return bin;
}

/** What a run of `klar` printed, and how it ended: the exit code, or a signal's name. */
export interface CommandEnd {
  end: number | string;
  stdout: string;
  stderr: string;
}

export interface BackupSite {
  server: TestServer;
  database: TestDatabase;
  /** Of PostgreSQL's programs. */
  bin: string;
  /** A folder of this site: `store`, and any other. */
  folder(name: string): string;
  /** The environment of `klar backup` with the store in `store`. */
  env: Record<string, string>;
  /** Runs `node services/cli/main.ts <words>` to its end. */
  klar(words: string[], env?: Record<string, string>): Promise<CommandEnd>;
  /** The same, running. */
  start(words: string[], env?: Record<string, string>): { child: ChildProcess; ended: Promise<CommandEnd> };
  close(): Promise<void>;
}

/** A PostgreSQL with a migrated database, some rows and an empty store, for tests of backups. */
export async function openBackupSite({ rows = 200 }: { rows?: number } = {}): Promise<BackupSite> {
  const bin = systemPostgres();
  const home = await mkdtemp(path.join(tmpdir(), 'klar-backups-'));
  await chmod(home, 0o755);
  const folder = (name: string) => path.join(home, name);
  await mkdir(folder('store'));
  const server = await startOwnPostgres({ durable: false, binDir: bin });
  await prepareDatabase(server.superuserUrl);
  const database = openTestDatabase(server.superuserUrl);
  await fill(database, rows);
  const env = {
    DATABASE_DIRECT_URL: database.url('klar_backup'),
    DATABASE_URL_OPS: database.url('klar_ops'),
    BACKUP_URL: `file://${folder('store')}`,
    BACKUP_WORK_DIR: folder('work'),
    LOG_LEVEL: 'error',
  };
  const running = new Set<ChildProcess>();
  const start = (words: string[], more: Record<string, string> = {}) => {
    const child = spawn(process.execPath, ['services/cli/main.ts', ...words], {
      cwd: ROOT,
      env: { PATH: `${bin}:${process.env.PATH}`, HOME: process.env.HOME, TMPDIR: tmpdir(), ...env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        said[name] += text;
      });
    }
    const ended = new Promise<CommandEnd>((resolve) => {
      // Not `close`: a pg_dump that outlives a killed parent would keep the pipes open.
      child.once('exit', (code, signal) => setImmediate(() => resolve({ end: code ?? signal ?? 'unknown', ...said })));
    });
    return { child, ended };
  };
  return {
    server,
    database,
    bin,
    folder,
    env,
    start,
    klar: (words, more) => start(words, more).ended,
    close: async () => {
      for (const child of running) child.kill('SIGKILL');
      await database.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Two schools with orders and payments in two currencies, and `rows` audit entries of some length. */
async function fill(database: TestDatabase, rows: number): Promise<void> {
  const run = (sql: string) => database.asSuperuser(sql);
  await run(`insert into app.tenants (tenant_id, slug, name)
    select 'ten_' || n, 'school-' || n, 'School ' || n from generate_series(1, 2) n`);
  await run(`insert into app.orders (tenant_id, id, person_id, buyer_email, status, total_amount, currency, created_at, updated_at, paid_at)
    select 'ten_' || (n % 2 + 1), 'ord_' || n, 'usr_' || n, n || '@example.com', 'paid', 100 * n,
      case when n % 3 = 0 then 'SEK' else 'USD' end, now(), now(), now() from generate_series(1, 30) n`);
  await run(`insert into app.payments (tenant_id, id, order_id, person_id, currency, due, captured, state, created_at, updated_at, paid_at)
    select o.tenant_id, 'pay_' || o.id, o.id, o.person_id, o.currency, o.total_amount, o.total_amount, 'paid', now(), now(), now()
    from app.orders o`);
  await addRows(database, rows);
}

/** Rows that do not compress well. */
export async function addRows(database: TestDatabase, rows: number): Promise<void> {
  await database.asSuperuser(
    `insert into app.audit_pending (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details)
     select 'ten_1', 'aud_' || gen_random_uuid(), 'test.fill', 'system', 'test', 'test', 'x',
       jsonb_build_object('text', (select string_agg(encode(sha256((n || '-' || m)::bytea), 'hex'), '') from generate_series(1, 40) m))
     from generate_series(1, $1::int) n`,
    [rows],
  );
}
