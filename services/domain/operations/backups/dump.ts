import { readdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { type Db, isConnectionLoss, sqlState } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { holdMigrations, letMigrationsGo, openSnapshot, type Snapshot } from '../store/backups.ts';
import { lackOf, tablesInList } from './archive-list.ts';
import { workError } from './fetch.ts';
import { connectionOf, type PgTools, runTool, ToolFailure } from './pg-tools.ts';
import { type Figures, readFigures } from './proof-figures.ts';

export interface DumpInput {
  /** As klar_backup, one connection, straight to PostgreSQL. */
  db: Db;
  /** The URL of `db`. */
  url: string;
  tools: PgTools;
  /** Made by pg_dump: must not exist. */
  dir: string;
  jobs: number;
  signal: AbortSignal;
  say: (line: string) => void;
}

export interface Dump {
  snapshot: Snapshot;
  figures: Figures;
}

/** A migration takes seconds; a backup that came at the same minute waits for it. */
const MIGRATION_WAIT_MS = 3 * 60_000;
/** pg_dump gives up on a table that somebody holds locked, rather than to queue everybody behind itself. */
const LOCK_WAIT_MS = 60_000;
/** pg_dump says this when it has locked every table: from here on the schema of what it dumps cannot change. */
const LOCKED = /saving encoding/;

/**
 * Dumps the database into a folder and reads its figures, both in one snapshot.
 * @throws KlarError `backup_role_blind`, `backup_migration_running`, `backup_dump_failed`, `backup_work_full`,
 *   `backup_empty`
 */
export async function dumpDatabase(input: DumpInput): Promise<Dump> {
  const { db, signal } = input;
  await waitForMigrations(db, signal);
  const stopped = new AbortController();
  const both = AbortSignal.any([signal, stopped.signal]);
  const dump = await db.withTx(
    async (tx) => {
      const snapshot = await openSnapshot(tx);
      if (!snapshot.reads_all) throw blind(snapshot.login);
      let letGo: Promise<boolean> | undefined;
      const release = () => {
        letGo ??= letMigrationsGo(tx);
        letGo.catch(() => {});
        return letGo;
      };
      const dumping = runDump(input, snapshot.snapshot, both, release);
      // Neither half is worth anything without the other: the end of one ends the other, and is what is told.
      dumping.catch((error) => stopped.abort(error));
      try {
        const figures = await readFigures(tx);
        await dumping;
        if (await release()) return { snapshot, figures };
        throw fail.unavailable('backup_dump_failed', 'The connection that held the snapshot was lost.');
      } catch (error) {
        stopped.abort(error);
        await Promise.allSettled([dumping]);
        throw error;
      }
    },
    { isolation: 'repeatable read', readOnly: true, retries: 0, signal: both, statementTimeoutMs: 0 },
  );
  await checkArchive(input, dump);
  return dump;
}

async function waitForMigrations(db: Db, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + MIGRATION_WAIT_MS;
  while ((await db.execute(holdMigrations)) === 0) {
    if (performance.now() > deadline) {
      throw fail.unavailable(
        'backup_migration_running',
        'A migration has been running for minutes; try again after it.',
        60,
      );
    }
    await pause(500, undefined, { signal });
  }
}

async function runDump(input: DumpInput, snapshot: string, signal: AbortSignal, onLocked: () => void): Promise<void> {
  const { url, env } = connectionOf(input.url);
  const options = ['--format=directory', `--jobs=${input.jobs}`, `--file=${input.dir}`, `--snapshot=${snapshot}`];
  // The parts are made durable in the store. Verbose also for an orphan: it ends when nobody reads what it says.
  const manner = [`--lock-wait-timeout=${LOCK_WAIT_MS}`, '--no-sync', '--no-password', '--verbose'];
  try {
    await runTool({
      file: input.tools.dump,
      args: [...options, ...manner, `--dbname=${url}`],
      env: { ...env, PGAPPNAME: 'klar backup', PGCONNECT_TIMEOUT: '15' },
      signal,
      onLine: (line) => {
        if (LOCKED.test(line)) onLocked();
      },
    });
  } catch (error) {
    throw dumpError(error, input.dir);
  }
}

async function checkArchive({ tools, dir, signal }: DumpInput, { figures }: Dump): Promise<void> {
  let list: string;
  try {
    list = await runTool({ file: tools.restore, args: ['--list', dir], env: {}, signal });
  } catch (error) {
    throw dumpError(error, dir);
  }
  const lack = lackOf(figures.tables, tablesInList(list), await readdir(dir));
  if (lack !== undefined)
    throw fail.unprocessable('backup_empty', `The dump is not whole: ${lack}. Nothing was stored.`);
}

const blind = (login: string) =>
  fail.forbidden(
    'backup_role_blind',
    `${login} does not see every row: back up as klar_backup_a (DATABASE_URL_BACKUP).`,
  );

/** What ended a program of PostgreSQL, for who runs the backup. */
export function dumpError(error: unknown, dir: string): unknown {
  if (sqlState(error) !== undefined || isConnectionLoss(error)) return error;
  if ((error as NodeJS.ErrnoException).code !== undefined) return workError(error, dir);
  if (!(error instanceof ToolFailure)) return error;
  const said = error.lines.join('\n');
  if (/No space left on device|Disk quota exceeded/.test(said)) {
    return workError(Object.assign(new Error(error.message, { cause: error }), { code: 'ENOSPC' }), dir);
  }
  const mend = /unsupported startup parameter|prepared transaction|invalid snapshot identifier/.test(said)
    ? ' Is this a PgBouncer? Give DATABASE_DIRECT_URL the address of PostgreSQL itself.'
    : '';
  return fail.unavailable('backup_dump_failed', `${error.message}.${mend}`, 60, { cause: error });
}
