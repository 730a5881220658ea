import { lstat, mkdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generateSecret } from '#platform/config/index.ts';
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

/** Reads a generated secret, and makes it the first time. Its folder looks as Kubernetes would mount it. */
export async function ensureSecret(folder: string, name: string, make = () => generateSecret(name)): Promise<string> {
  const dir = path.join(folder, name);
  const file = path.join(dir, 'current');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.trim() !== '') return kept.trim();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const value = make();
  // Renamed into place: a full disk or a kill leaves no half secret that everything would then be signed with.
  await writeFile(`${file}.new`, `${value}\n`, { mode: 0o600 });
  await writeFile(path.join(dir, 'generated'), 'made by npm start\n', { mode: 0o600 });
  await rename(`${file}.new`, file);
  return value;
}
