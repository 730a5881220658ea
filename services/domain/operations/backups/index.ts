/**
 * Backups: a second door of the module, because what stands behind it (the S3 client, age) must not be loaded by a
 * serving process. See README.md.
 */
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
} from './manifest.ts';
export { openStore, type StoreSettings } from './open-store.ts';
