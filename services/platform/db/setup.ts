/**
 * What makes a database and what checks it: for `klar`, the all-in-one and tests. A second door, because a serving
 * process would pay for it with 12 MB and a tenth of its start.
 */
export { CATALOG_RULES, type CatalogFinding, lintCatalog, lintCatalogIn } from './catalog-lint.ts';
export { type ClientEnvironment, clientEnvironment } from './client-environment.ts';
export { ensureDatabase } from './ensure-database.ts';
export { type MigrateInput, type MigrationClient, MigrationError, migrate, newestMigration } from './migrate.ts';
export {
  closeTarget,
  dropIncomplete,
  inspectTarget,
  openTarget,
  type RestoreTarget,
  settleRestored,
} from './restore-target.ts';
export { GROUP_ROLES, type GroupRole, LOGIN_ROLES, type LoginRole, OWNER_ROLE, RUN_TIME_ROLES } from './role-names.ts';
export { type EnsureRolesInput, ensureRoles } from './roles.ts';
export { catalogTextIn, exportSchema, type SchemaSnapshot } from './schema-export.ts';
export { onDatabase, openServer, type ServerFacts, type ServerSession } from './server-session.ts';
