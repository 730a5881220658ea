import path from 'node:path';
import pg from 'pg';
import { createDb, type Db, type DbInput, type GroupRole, type LoginRole } from '#platform/db/index.ts';
import { ensureRoles, LOGIN_ROLES, migrate } from '#platform/db/setup.ts';
import { queueMigration } from '#platform/queue/index.ts';
import { allQueues } from '../../services/cli/queues.ts';
import { databaseName } from './postgres-server.ts';

export { startOwnPostgres, type TestServer } from './postgres-server.ts';

export const MIGRATIONS_DIR = path.resolve(import.meta.dirname, '../../migrations');

/** Variables by which the run's one server is known to mocha's worker processes. */
export const SERVER_URL = 'KLAR_TEST_SERVER_URL';
export const TEMPLATE = 'KLAR_TEST_TEMPLATE';

/** Every login role has the same password in tests. */
export const TEST_PASSWORD = 'test-only-password';

export interface TestDatabase {
  /** Connection URL of a role's login. */
  url(role: GroupRole, login?: 'a' | 'b'): string;
  superuserUrl: string;
  /** The database as a role, with a pool of its own that `close` closes. */
  db(role: GroupRole, options?: Partial<DbInput>): Db;
  /** Runs SQL as the superuser: row level security does not apply. For arranging and looking, never as the subject. */
  asSuperuser<Row extends Record<string, unknown>>(sql: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** Roles, migrations and the queue's schema, as `klar roles ensure` and `klar migrate` do it. */
export async function prepareDatabase(superuserUrl: string): Promise<void> {
  await ensureTestRoles(superuserUrl);
  await migrate({
    url: withLogin(superuserUrl, 'klar_migrator_a'),
    dir: MIGRATIONS_DIR,
    after: [queueMigration(allQueues)],
  });
}

/** All roles, each login with the password of the tests. */
export async function ensureTestRoles(superuserUrl: string): Promise<void> {
  const passwords = Object.fromEntries(LOGIN_ROLES.map((role) => [role, TEST_PASSWORD])) as Record<LoginRole, string>;
  await ensureRoles({ superuserUrl, passwords });
}

/** A migrated database of the caller's own: a clone of the run's template. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = process.env[SERVER_URL];
  const template = process.env[TEMPLATE];
  if (server === undefined || template === undefined) {
    throw new Error(
      'no test server: run mocha with the settings of .mocharc.json (test/support/fixtures.ts starts it)',
    );
  }
  const name = databaseName('t');
  await once(server, `create database ${name} template ${template} strategy = wal_log`);
  // Database privileges are not part of a template.
  const superuserUrl = withDatabase(server, name);
  await ensureRoles({ superuserUrl });
  return openTestDatabase(superuserUrl, () => once(server, `drop database ${name} with (force)`));
}

/** A handle on a prepared database, e.g. one on a server of the test's own. */
export function openTestDatabase(superuserUrl: string, drop: () => Promise<unknown> = async () => {}): TestDatabase {
  const opened: Db[] = [];
  const superuser = new pg.Pool({ connectionString: superuserUrl, max: 2 });
  superuser.on('error', () => {});
  const url = (role: GroupRole, login: 'a' | 'b' = 'a') => withLogin(superuserUrl, `${role}_${login}`);
  return {
    url,
    superuserUrl,
    db: (role, options = {}) => {
      const db = createDb({ url: url(role), role, poolSize: 4, ...options });
      opened.push(db);
      return db;
    },
    asSuperuser: async (sql, values) => (await superuser.query(sql, values)).rows,
    close: async () => {
      await Promise.all(opened.map((db) => db.close()));
      await superuser.end();
      await drop();
    },
  };
}

export function withLogin(url: string, login: string): string {
  const changed = new URL(url);
  changed.username = login;
  changed.password = TEST_PASSWORD;
  return changed.href;
}

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

export async function once(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}
