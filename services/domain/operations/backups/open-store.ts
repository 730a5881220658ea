import { fileURLToPath } from 'node:url';
import type { Secret } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { BackupStore } from './backup-store.ts';
import { fileStore } from './store-file.ts';

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
export async function openStore(settings: StoreSettings): Promise<BackupStore> {
  const text = settings.BACKUP_URL;
  if (text === undefined) {
    throw fail.invalid('backup_url_missing', 'Set BACKUP_URL to file:///folder or s3://bucket/prefix.');
  }
  if (!URL.canParse(text)) throw wrong('is no URL');
  const url = new URL(text);
  if (url.protocol === 'file:') {
    if (url.host !== '') throw wrong('has a host: a folder is written with three slashes, file:///folder');
    return fileStore(fileURLToPath(url).replace(/(.)\/+$/, '$1'));
  }
  if (url.protocol !== 's3:' || url.hostname === '') throw wrong('is neither file:///folder nor s3://bucket/prefix');
  const { s3Store } = await import('./store-s3.ts');
  return s3Store({
    bucket: url.hostname,
    prefix: decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, ''),
    endpoint: settings.S3_ENDPOINT,
    region: settings.AWS_REGION,
    keyId: settings.AWS_ACCESS_KEY_ID,
    secretKey: settings.AWS_SECRET_ACCESS_KEY,
    sessionToken: settings.AWS_SESSION_TOKEN,
  });
}

const wrong = (why: string) => fail.invalid('backup_url_wrong', `BACKUP_URL ${why}.`);
