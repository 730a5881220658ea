import type { Settings } from '#platform/config/index.ts';
import { createDb, type Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { databaseUrl } from './database-url.ts';

/** The database as klar_ops, which records what unattended commands do. The caller closes it. */
export function opsDb(settings: Settings, log?: Logger): Db {
  return createDb({
    url: databaseUrl(settings, ['DATABASE_URL_OPS', 'DATABASE_URL']),
    role: 'klar_ops',
    poolSize: 1,
    prepared: settings.DB_PREPARED === 'on',
    appName: 'klar backups',
    // Nobody waits for an unattended command: rather late than failed because the server was busy for a moment.
    acquireTimeoutMs: 15_000,
    ...(log === undefined ? {} : { log }),
  });
}
