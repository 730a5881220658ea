import { lstat, readlink, rm } from 'node:fs/promises';
import path from 'node:path';
import { clearLeftover } from './postmaster.ts';

/** Where everything of a local installation is: `pg`, `secrets`, `klar.log`, `lock`. */
export type DataDir = { root: string; pg: string; secrets: string; sandbox: string; log: string; lock: string };

export function dataDirAt(root: string): DataDir {
  const at = (name: string) => path.join(root, name);
  return { root, pg: at('pg'), secrets: at('secrets'), sandbox: at('sandbox'), log: at('klar.log'), lock: at('lock') };
}

/** `--fresh`: forgets everything but the lock, the server of a killed run included. */
export async function wipe(dir: DataDir, say: (line: string) => void): Promise<void> {
  await clearLeftover(dir.pg, say);
  const info = await lstat(dir.pg).catch(() => undefined);
  if (info?.isSymbolicLink()) await rm(await readlink(dir.pg), { recursive: true, force: true });
  for (const part of [dir.pg, dir.secrets, dir.sandbox, dir.log]) {
    await rm(part, { recursive: true, force: true });
  }
}
