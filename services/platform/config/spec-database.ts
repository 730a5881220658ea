import { type ProcessName, type SecretSetting, secret } from './setting.ts';

const POSTGRES = { pattern: /^postgres(ql)?:\/\/[^/]/, says: 'a URL that starts with postgres://' };

/** Roles with an own login, and the processes that may hold it: the table of design section 2. */
export const DATABASE_ROLES = {
  API: ['api', 'all-in-one'],
  AUTH: ['api', 'all-in-one'],
  INGEST: ['webhook-ingest', 'all-in-one'],
  WORKER: ['worker', 'all-in-one'],
  CONTROLLER: ['controller', 'all-in-one'],
  MIGRATOR: ['cli', 'all-in-one'],
  BACKUP: ['cli', 'all-in-one'],
  RESTORE: ['cli', 'all-in-one'],
  CLEANUP: ['cli', 'all-in-one'],
  OPS: ['cli', 'all-in-one'],
} as const satisfies Record<string, readonly ProcessName[]>;

export type DatabaseRole = keyof typeof DATABASE_ROLES;
type RoleUrls = { [R in DatabaseRole as `DATABASE_URL_${R}`]: SecretSetting };

const row = (processes: readonly ProcessName[] | undefined, description: string): SecretSetting =>
  secret({
    group: 'Database',
    processes,
    shape: POSTGRES,
    example: 'postgres://user:password@host:5432/klar',
    description,
  });

/** URLs are secrets: they carry passwords, and rotate with them. */
export function databaseUrls(): RoleUrls & {
  DATABASE_URL: SecretSetting;
  DATABASE_DIRECT_URL: SecretSetting;
  DATABASE_URL_SUPERUSER: SecretSetting;
  RESTORE_VERIFY_DATABASE_URL: SecretSetting;
} {
  const roles = Object.fromEntries(
    Object.entries(DATABASE_ROLES).map(([role, processes]) => [
      `DATABASE_URL_${role}`,
      row(processes, `Login of klar_${role.toLowerCase()}; absent: DATABASE_URL.`),
    ]),
  ) as RoleUrls;
  return {
    DATABASE_URL: row(undefined, 'PostgreSQL 15 or newer; what a role without its own URL uses.'),
    ...roles,
    DATABASE_DIRECT_URL: row(
      ['cli', 'all-in-one'],
      'Past PgBouncer, for migrations and backups; absent: the URL of the role.',
    ),
    DATABASE_URL_SUPERUSER: row(
      ['cli', 'all-in-one'],
      'What `klar roles ensure` and `klar restore` connect as, and `klar migrate` at its end; no other command may hold it. Absent: DATABASE_URL, for the first.',
    ),
    RESTORE_VERIFY_DATABASE_URL: row(
      ['cli', 'all-in-one'],
      'A database (e.g. /postgres) of the server that backups are restored on to prove them; direct, and not the server of production.',
    ),
  };
}
