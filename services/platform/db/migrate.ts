import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { MigrationBuilder } from 'node-pg-migrate';
import type pg from 'pg';
import { connectClient } from './client.ts';
import { sqlState } from './errors.ts';
import { OWNER_ROLE } from './role-names.ts';

export interface MigrateInput {
  /** Direct connection (not PgBouncer) of a login that may SET ROLE klar_owner: klar_migrator_a, or a superuser. */
  url: string;
  /** Folder of `<NNNN>_<name>.sql` files. */
  dir: string;
  log?: ((message: string) => void) | undefined;
  /** Steps that follow the SQL files under the same lock and role, e.g. the queue's own schema. */
  after?: ((client: MigrationClient) => Promise<void>)[] | undefined;
}

/** What a step after the SQL files may do. */
export interface MigrationClient {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
}

/** The migrations on disk and in the database do not belong together. Never repaired silently. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/** A migration waits this long for a lock: longer would queue every request of the table behind it. */
const LOCK_TIMEOUT = '3s';
const LOCK_ATTEMPTS = 10;
const TURN_MS = 250;
const MIGRATIONS = { schema: 'ops', table: 'migrations' };

interface MigrationFile {
  name: string;
  sql: string;
  sha256: string;
}

/**
 * Brings the schema to the newest migration. Two at once: one works, the other waits, finds nothing to do, and both
 * succeed. Throws MigrationError when an applied file was edited or removed.
 */
export async function migrate(input: MigrateInput): Promise<{ applied: string[] }> {
  const files = await readMigrations(input.dir);
  const client = await connectClient(input.url, 'klar migrate');
  try {
    await waitForTurn(client);
    await client.query(`set role ${OWNER_ROLE}`);
    await checkApplied(client, files);
    const applied = await applyPending(client, files, input);
    for (const step of input.after ?? []) await step(client as unknown as MigrationClient);
    return { applied };
  } finally {
    // Ends the session, and with it the lock.
    await client.end();
  }
}

/**
 * Asks again and again. Waiting inside `pg_advisory_lock` would keep a snapshot, and the one who works would wait for that
 * when it builds an index concurrently: for ever, but for a timeout that leaves an invalid index behind.
 */
async function waitForTurn(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query(`select pg_try_advisory_lock(hashtext('klar.migrate')) as mine`);
    if (rows[0]?.mine) return;
    await new Promise((resolve) => setTimeout(resolve, TURN_MS));
  }
}

/** The number of the newest migration in a folder: what `ops.schema_version()` says after `migrate`. */
export async function newestMigration(dir: string): Promise<number> {
  return Math.max(0, ...(await readMigrations(dir)).map((file) => Number(file.name.slice(0, 4))));
}

async function readMigrations(dir: string): Promise<MigrationFile[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.sql')).sort();
  const seen = new Map<string, string>();
  const files: MigrationFile[] = [];
  for (const name of names) {
    const number = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
    if (number === undefined) throw new MigrationError(`${name}: a migration is named <four digits>_<name>.sql`);
    const twin = seen.get(number);
    if (twin !== undefined) throw new MigrationError(`${twin} and ${name} have the same number`);
    seen.set(number, name);
    const sql = await readFile(path.join(dir, name), 'utf8');
    files.push({ name: name.slice(0, -4), sql, sha256: createHash('sha256').update(sql).digest('hex') });
  }
  return files;
}

async function checkApplied(client: pg.Client, files: MigrationFile[]): Promise<void> {
  const { rows: present } = await client.query(`select to_regclass('ops.migration_checksums') is not null as yes`);
  if (!present[0]?.yes) return;
  const { rows } = await client.query('select name, sha256 from ops.migration_checksums order by name');
  const byName = new Map(files.map((file) => [file.name, file]));
  const newest = files.at(-1)?.name ?? '';
  for (const row of rows as { name: string; sha256: string }[]) {
    const file = byName.get(row.name);
    // A newer one than we know is a rollback of the build: expand-only keeps it working, there is nothing to do.
    if (file === undefined && row.name > newest) continue;
    if (file === undefined)
      throw new MigrationError(`${row.name}.sql was applied to this database but is no longer in the folder`);
    if (file.sha256 !== row.sha256) {
      throw new MigrationError(
        `${row.name}.sql was edited after it was applied to this database. Restore it, and write the change as a new migration.`,
      );
    }
  }
}

async function applyPending(client: pg.Client, files: MigrationFile[], input: MigrateInput): Promise<string[]> {
  const before = await appliedNames(client);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await dropBrokenIndexes(client, files);
      await client.query(`set lock_timeout = '${LOCK_TIMEOUT}'`);
      await runFiles(client, files, input.dir);
      const applied = files.filter((file) => !before.has(file.name)).map((file) => file.name);
      for (const name of applied) input.log?.(`applied ${name}`);
      return applied;
    } catch (error) {
      await client.query('rollback');
      if (!/^(55P03|40P01)$/.test(sqlState(error) ?? '') || attempt === LOCK_ATTEMPTS)
        throw await located(client, files, error);
      input.log?.(`a table is locked by others; trying again (${attempt} of ${LOCK_ATTEMPTS})`);
      await new Promise((resolve) => setTimeout(resolve, 200 * attempt * (0.5 + Math.random())));
    }
  }
}

/** An interrupted `create index concurrently` leaves an invalid index, which `if not exists` would take for made. */
async function dropBrokenIndexes(client: pg.Client, files: MigrationFile[]): Promise<void> {
  const applied = await appliedNames(client);
  const names = files
    .filter((file) => !applied.has(file.name))
    .flatMap(({ sql }) => [...sql.matchAll(/\bindex\s+concurrently\s+if\s+not\s+exists\s+(\w+)/gi)])
    .map(([, name]) => name);
  if (names.length === 0) return;
  const { rows } = await client.query(
    `select c.oid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indexrelid
     where not i.indisvalid and c.relkind = 'i' and c.relname = any($1)`,
    [names],
  );
  await client.query('set lock_timeout = 0');
  for (const { name } of rows as { name: string }[]) await client.query(`drop index concurrently if exists ${name}`);
}

async function runFiles(client: pg.Client, files: MigrationFile[], dir: string): Promise<void> {
  const byPath = new Map(files.map((file) => [`${file.name}.sql`, file]));
  // Loaded only here: the library costs a serving process 150 ms of its start.
  const { runner } = await import('node-pg-migrate');
  const silent = () => {};
  await runner({
    dbClient: client as never,
    dir,
    direction: 'up',
    migrationsSchema: MIGRATIONS.schema,
    createMigrationsSchema: true,
    migrationsTable: MIGRATIONS.table,
    // `migrate` holds a lock around the whole run; the runner's own would be subject to lock_timeout.
    noLock: true,
    ignorePattern: '(?!.*\\.sql$).*',
    migrationLoaderStrategies: [
      { extensions: ['.sql'], loader: async (paths) => paths.map((file) => unit(file, byPath)) },
    ],
    logger: { debug: silent, info: silent, warn: silent, error: silent },
  });
}

/** The driver says what failed but not in which file. */
async function located(client: pg.Client, files: MigrationFile[], error: unknown): Promise<unknown> {
  if (sqlState(error) === undefined) return error;
  const applied = await appliedNames(client);
  const failed = files.find((file) => !applied.has(file.name));
  if (failed === undefined) return error;
  const { position, message } = error as { position?: string; message: string };
  const line = position === undefined ? '' : `:${failed.sql.slice(0, Number(position)).split('\n').length}`;
  return new MigrationError(`migrations/${failed.name}.sql${line}: ${message}`, { cause: error });
}

async function appliedNames(client: pg.Client): Promise<Set<string>> {
  const { rows: present } = await client.query(`select to_regclass('ops.migrations') is not null as yes`);
  if (!present[0]?.yes) return new Set();
  const { rows } = await client.query('select name from ops.migrations');
  return new Set(rows.map((row) => row.name as string));
}

function unit(file: string, byPath: Map<string, MigrationFile>) {
  const migration = byPath.get(path.basename(file));
  if (migration === undefined) throw new MigrationError(`${file} appeared while migrating`);
  const record = `insert into ops.migration_checksums (name, sha256) values ('${migration.name}', '${migration.sha256}');`;
  const up = (pgm: MigrationBuilder) => {
    // CREATE INDEX CONCURRENTLY cannot run in a transaction, nor together with another statement.
    if (/^-- no transaction\b/m.test(migration.sql)) {
      pgm.noTransaction();
      // It waits for every transaction that is older, a dump among them, and holds up nobody meanwhile.
      pgm.sql('set lock_timeout = 0;');
      for (const part of migration.sql.split(/^-- next statement\b.*$/m)) pgm.sql(part);
      pgm.sql(record);
      pgm.sql(`set lock_timeout = '${LOCK_TIMEOUT}';`);
    } else {
      pgm.sql(`${migration.sql}\n${record}`);
    }
  };
  return { id: file, filePaths: [file], actions: { up, down: false as const } };
}
