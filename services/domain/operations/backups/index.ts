/**
 * Backups: a second door of the module, because what stands behind it (the S3 client, age) must not be loaded by a
 * serving process. See README.md.
 */

export { insertProof, readSystemIdentifier } from '../store/proofs.ts';
export { recipientsOf } from './age.ts';
export { takeBackup } from './backup.ts';
export { type BackupStore, newestCommitted } from './backup-store.ts';
export { fetchBackup } from './fetch.ts';
export { backupId, timeOfId } from './id.ts';
export {
  canonicalJson,
  type Manifest,
  type ManifestBody,
  parseManifest,
  readManifest,
  sealManifest,
} from './manifest.ts';
export { openStore } from './open-store.ts';
export { chooseTools, findPgTools, runTool, ToolFailure } from './pg-tools.ts';
export type { Check } from './proof.ts';
export { readFigures } from './proof-figures.ts';
export { listAll, type PruneInput, proofsById, pruneBackups } from './prune.ts';
export { listProofs, recordBackup } from './record.ts';
export { type Restored, type RestorePlan, restoreBackup } from './restore.ts';
export {
  failureText,
  RESTORE_FAILURES,
  type RestoreFailureCode,
  restoreFailure,
} from './restore-failures.ts';
export {
  type Candidate,
  type Proof,
  parseRetention,
  planRetention,
  type Retention,
} from './retention.ts';
export { type RestoreProof, verifyBackup } from './verify.ts';
