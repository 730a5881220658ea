/**
 * Backups: a second door of the module, because what stands behind it (the S3 client, age) must not be loaded by a
 * serving process. See README.md.
 */

export { insertProof, readSystemIdentifier } from '../store/proofs.ts';
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
export { type Check, proveRestored } from './proof.ts';
export { type Figures, readFigures } from './proof-figures.ts';
export { listAll, type PruneInput, type PruneReport, proofsById, pruneBackups } from './prune.ts';
export { listProofs, recordBackup } from './record.ts';
export { type Restored, type RestoreInput, type RestorePlan, restoreBackup } from './restore.ts';
export {
  failureText,
  RESTORE_FAILURES,
  RestoreFailure,
  type RestoreFailureCode,
  restoreFailure,
} from './restore-failures.ts';
export {
  type Candidate,
  type Decision,
  type Proof,
  parseRetention,
  planRetention,
  type Retention,
} from './retention.ts';
export { type RestoreProof, VERIFY_PREFIX, type VerifyInput, verifyBackup } from './verify.ts';
