import type { Secret } from '#platform/config/index.ts';
import type { BackupStore } from './backup-store.ts';

/** The settings of a store; `Settings` of the CLI has them all. */
export interface StoreSettings {
  BACKUP_URL: string | undefined;
  S3_ENDPOINT?: string | undefined;
  AWS_REGION?: string | undefined;
  AWS_ACCESS_KEY_ID?: Secret | undefined;
  AWS_SECRET_ACCESS_KEY?: Secret | undefined;
  AWS_SESSION_TOKEN?: Secret | undefined;
}

/** Opens the store of BACKUP_URL. @throws KlarError `backup_url_missing`, `backup_url_wrong` */
export async function openStore(_settings: StoreSettings): Promise<BackupStore> {
  throw new Error('not yet');
}
