/** Owns every object; nobody logs in as it. */
export const OWNER_ROLE = 'klar_owner';

/**
 * The one role with CREATEROLE; nobody logs in as it. It owns the functions that change the passwords of LOGIN_ROLES and
 * end their sessions (migration 0105), and is reached through them alone.
 */
export const ROTATOR_ROLE = 'klar_rotator';

/**
 * The group roles that hold the grants. They cannot log in: `<role>_a` and `<role>_b` can, and are members, so that
 * one login's password rotates while the other one serves.
 */
export const GROUP_ROLES = [
  'klar_api',
  'klar_auth',
  'klar_ingest',
  'klar_worker',
  'klar_controller',
  'klar_migrator',
  'klar_backup',
  'klar_restore',
  'klar_cleanup',
  'klar_ops',
] as const;
export type GroupRole = (typeof GROUP_ROLES)[number];
export type LoginRole = `${GroupRole}_${'a' | 'b'}`;

export const LOGIN_ROLES = GROUP_ROLES.flatMap((role): LoginRole[] => [`${role}_a`, `${role}_b`]);

/**
 * Logins whose passwords the controller rotates: not the migrator's, as whoever has that owns every table. A person
 * rotates it with `klar roles ensure`.
 */
export const ROTATED_LOGINS = LOGIN_ROLES.filter((login) => !login.startsWith('klar_migrator_'));

/** Roles of processes that serve or work unattended: they own nothing, bypass nothing and may not TRUNCATE. */
export const RUN_TIME_ROLES = GROUP_ROLES.filter((role) => role !== 'klar_migrator' && role !== 'klar_backup');
