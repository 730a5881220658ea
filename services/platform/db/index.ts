export { byteaArray } from './bytea-array.ts';
export { createDb, type DbInput } from './db.ts';
export { isCheckViolation, isConnectionLoss, isForeignKeyViolation, isUniqueViolation, sqlState } from './errors.ts';
export type { UrlSource } from './pool.ts';
export { databaseReadiness, MINIMUM_SCHEMA } from './readiness.ts';
export type { GroupRole, LoginRole } from './role-names.ts';
export { type SqlExecutor, sqlExecutor } from './sql-executor.ts';
export { type Statement, statement } from './statement.ts';
export type { Db, TenantTx, Tx, TxOptions, Value } from './types.ts';
