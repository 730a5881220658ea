export { byteaArray } from './bytea-array.ts';
export { createDb, type DbInput } from './db.ts';
export { isCheckViolation, isConnectionLoss, isForeignKeyViolation, isUniqueViolation, sqlState } from './errors.ts';
export { type MigrateInput, type MigrationClient, MigrationError, migrate, newestMigration } from './migrate.ts';
export type { UrlSource } from './pool.ts';
export { GROUP_ROLES, type GroupRole, LOGIN_ROLES, type LoginRole, OWNER_ROLE, RUN_TIME_ROLES } from './role-names.ts';
export { type EnsureRolesInput, ensureRoles } from './roles.ts';
export { type Statement, statement } from './statement.ts';
export type { Db, TenantTx, Tx, TxOptions, Value } from './types.ts';
