import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { workError } from './fetch.ts';

const PREFIX = 'klar-backup-';
/** Longer than any run may last. */
const FORGOTTEN_MS = 2 * 24 * 3_600_000;

/**
 * A folder of one run, readable to this user only. What killed runs left beside it is removed first: dumps are large,
 * and a disk that fills with them ends every later backup.
 */
export async function makeWorkDir(parent: string | undefined, now: Date): Promise<string> {
  const root = parent ?? tmpdir();
  try {
    return await makeIn(root, parent, now);
  } catch (error) {
    throw workError(error, root);
  }
}

async function makeIn(root: string, parent: string | undefined, now: Date): Promise<string> {
  if (parent !== undefined) await mkdir(root, { recursive: true, mode: 0o700 });
  for (const name of await readdir(root)) {
    if (name.startsWith(PREFIX) && (await isForgotten(path.join(root, name), now))) {
      await rm(path.join(root, name), { recursive: true, force: true }).catch(() => {});
    }
  }
  return mkdtemp(path.join(root, `${PREFIX}${hostname().replace(/[^A-Za-z0-9.]/g, '')}-${process.pid}-`));
}

async function isForgotten(folder: string, now: Date): Promise<boolean> {
  const [, host, pid] = /^klar-backup-([A-Za-z0-9.]+)-(\d+)-/.exec(path.basename(folder)) ?? [];
  // A pod that starts again has its old name and its old process number: this process cannot have left it running.
  if (host === hostname().replace(/[^A-Za-z0-9.]/g, '')) return Number(pid) === process.pid || !isAlive(Number(pid));
  const info = await stat(folder).catch(() => undefined);
  return info !== undefined && now.getTime() - info.mtimeMs > FORGOTTEN_MS;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
