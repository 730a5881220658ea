/**
 * Backups: a second door of the module, because what stands behind it (the S3 client, age) must not be loaded by a
 * serving process. See README.md.
 */
export { recipientsOf } from './age.ts';
export { type BackupInput, type BackupReport, takeBackup } from './backup.ts';
export { type BackupStore, MANIFEST, newestCommitted, type StoredBackup, type StoredObject } from './backup-store.ts';
export { type Fetched, type FetchOptions, fetchBackup } from './fetch.ts';
export { backupId, timeOfId } from './id.ts';
export {
  canonicalJson,
  type Manifest,
  type ManifestBody,
  manifestSchema,
  parseManifest,
  readManifest,
  sealManifest,
} from './manifest.ts';
export { openStore, type StoreSettings } from './open-store.ts';
export { chooseTools, findPgTools, type PgTools, runTool, ToolFailure } from './pg-tools.ts';
export { listAll, type PruneInput, type PruneReport, proofsById, pruneBackups } from './prune.ts';
export { listProofs, recordBackup } from './record.ts';
export {
  type Candidate,
  type Decision,
  type Proof,
  parseRetention,
  planRetention,
  type Retention,
} from './retention.ts';
