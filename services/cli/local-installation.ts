import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Environment } from '#platform/config/index.ts';

/**
 * On a laptop the CLI finds what `npm start` keeps in this folder, so that `klar webhooks list` needs no settings.
 * Only where nobody named a database or a secrets folder: a command meant for another system must never fall back on
 * the local one, nor a pod on a folder that happens to lie there.
 */
export function withLocalInstallation(env: Environment): Environment {
  const named = Object.keys(env).some((name) => name.startsWith('DATABASE_') || name === 'KLAR_SECRETS_DIR');
  if (named || env.NODE_ENV === 'production' || env.KLAR_PROFILE === 'production' || env.KLAR_PROFILE === 'staging')
    return env;
  const folder = path.resolve(env.KLAR_DATA_DIR || '.klar', 'secrets');
  return existsSync(folder) ? { ...env, KLAR_SECRETS_DIR: folder } : env;
}
