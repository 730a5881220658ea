import type { BackupStore } from './backup-store.ts';
import type { Manifest } from './manifest.ts';

/** What fetchBackup did. */
export interface Fetched {
  /** The folder for `pg_restore -Fd`. */
  readonly dir: string;
  /** Stored bytes that were read. */
  readonly bytes: number;
}

export interface FetchOptions {
  /** `AGE-SECRET-KEY-1...`, for an encrypted backup. */
  identity?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Downloads every part, compares size and SHA-256 with the manifest, and decrypts into `dir` (made when absent, must
 * be empty).
 * @throws KlarError `backup_part_missing`, `backup_part_truncated`, `backup_part_changed`, `backup_identity_missing`,
 *   `backup_identity_wrong`, and what the store throws
 */
export async function fetchBackup(
  _store: BackupStore,
  _manifest: Manifest,
  _dir: string,
  _options: FetchOptions = {},
): Promise<Fetched> {
  throw new Error('not yet');
}
