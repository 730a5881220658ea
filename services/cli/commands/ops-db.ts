import { setTimeout as pause } from 'node:timers/promises';
import type { Settings } from '#platform/config/index.ts';
import { createDb, type Db } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { CommandInput } from '../command.ts';
import { databaseUrl } from './database-url.ts';

/** The database as klar_ops, which records what unattended commands do, and acts for operators. The caller closes it. */
export function opsDb(settings: Settings, log?: Logger): Db {
  return createDb({
    url: databaseUrl(settings, ['DATABASE_URL_OPS', 'DATABASE_URL']),
    role: 'klar_ops',
    poolSize: 1,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar ops',
    // Rather late than failed because the server was busy for a moment.
    acquireTimeoutMs: 15_000,
    ...(log === undefined ? {} : { log }),
  });
}

/** What a command does with it, and with nothing else. */
export async function withOps<T>(input: CommandInput, fn: (db: Db) => Promise<T>): Promise<T> {
  const db = opsDb(input.settings(), input.log());
  try {
    return await fn(db);
  } finally {
    await db.close();
  }
}

/** How long a database that is away is waited for: what took an hour to find out is worth a minute to write down. */
const PATIENCE_MS = 60_000;

/** `fn`, which may be repeated, again and again while the database is away. */
export async function patiently<T>(fn: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await fn();
    } catch (error) {
      const passing = error instanceof KlarError && error.kind === 'unavailable';
      if (!passing || signal.aborted || performance.now() > until) throw error;
      await pause(1_000);
    }
  }
}
