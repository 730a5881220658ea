import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fail, type KlarError } from '#platform/errors/index.ts';
import { failpoint } from '#platform/failpoint/index.ts';
import { type BackupStore, MANIFEST, type StoredBackup, type StoredObject } from './backup-store.ts';
import { timeOfId } from './id.ts';

/** Names in the making begin with this; they are remains when their writer is gone, and no object ever. */
const UNFINISHED = '.unfinished-';

/** A folder (a mounted volume) as a store. @param root is not made here: a volume that is not mounted must not look like an empty store */
export function fileStore(root: string): BackupStore {
  const url = `file://${root}`;
  const fileOf = (id: string, name: string) => path.join(root, id, name);
  const told = (error: unknown): never => {
    throw storeError(error, url);
  };

  async function* list(): AsyncIterable<StoredBackup> {
    const names = await readdir(root).catch(told);
    for (const id of names.sort()) {
      const at = timeOfId(id);
      if (at === undefined) continue;
      const backup = await look(path.join(root, id)).catch(told);
      // A folder that a pruner just took away.
      if (backup !== undefined) yield { id, at, ...backup };
    }
  }

  async function put(id: string, name: string, stream: Readable): Promise<StoredObject> {
    await stat(root).catch(told);
    await mkdir(path.join(root, id), { recursive: true, mode: 0o750 }).catch(told);
    const final = fileOf(id, name);
    if (await exists(final)) throw fail.conflict('backup_object_exists', `${url}/${id}/${name} is there already.`);
    const making = fileOf(id, `${UNFINISHED}${name}`);
    try {
      const written = await write(making, stream);
      failpoint(name === MANIFEST ? 'backup.manifest_written' : 'backup.object_written');
      await rename(making, final);
      // The name is on the disk only when the folder is.
      await syncFolder(path.join(root, id));
      await syncFolder(root);
      await chmod(final, 0o440);
      if (name === MANIFEST) await chmod(path.join(root, id), 0o550);
      return written;
    } catch (error) {
      await unlink(making).catch(() => {});
      return told(error);
    }
  }

  return {
    url,
    list,
    put,
    async get(id, name) {
      const file = await open(fileOf(id, name), 'r').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') throw missing(url, id, name);
        return told(error);
      });
      return createReadStream('', { fd: file });
    },
    async remove(id) {
      if (timeOfId(id) === undefined) throw fail.invalid('backup_id_wrong', `${id} is no id of a backup.`);
      const folder = path.join(root, id);
      try {
        if (!(await exists(folder))) return;
        await chmod(folder, 0o750);
        await rm(path.join(folder, MANIFEST), { force: true });
        await syncFolder(folder);
        await rm(folder, { recursive: true, force: true });
        await syncFolder(root);
      } catch (error) {
        told(error);
      }
    },
    close: async () => {},
  };
}

/** What `get` throws for an object that is not there. */
export function missing(url: string, id: string, name: string): KlarError {
  return fail.notFound('backup_object_missing', `${url}/${id}/${name} is not there.`);
}

async function look(folder: string): Promise<Omit<StoredBackup, 'id' | 'at'> | undefined> {
  try {
    const info = await stat(folder);
    if (!info.isDirectory()) return undefined;
    let [bytes, changed, committed] = [0, info.mtimeMs, false];
    for (const name of await readdir(folder)) {
      const file = await stat(path.join(folder, name));
      bytes += file.size;
      changed = Math.max(changed, file.mtimeMs);
      committed ||= name === MANIFEST;
    }
    return { committed, bytes, changedAt: new Date(changed) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function write(file: string, stream: Readable): Promise<StoredObject> {
  const hash = createHash('sha256');
  let bytes = 0;
  // `w`, not `wx`: what a killed run left under this very id can only be its own.
  const handle = await open(file, 'w', 0o640);
  try {
    for await (const chunk of stream) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      await handle.writeFile(chunk as Buffer);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const exists = (file: string) =>
  stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );

/** What the system's answer means for who keeps the store; other errors pass unchanged. */
function storeError(error: unknown, url: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return fail.unavailable(
        'backup_store_full',
        `${url} is full: make it larger, or let klar backups prune keep fewer.`,
        60,
        cause,
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return fail.forbidden('backup_store_refused', `${url} may not be used by this user (${code}).`, cause);
    case 'ENOENT':
    case 'ENOTDIR':
      return fail.unavailable(
        'backup_store_unreachable',
        `${url} is not there: mount the volume, or make the folder.`,
        60,
        cause,
      );
    case undefined:
      return error;
    default:
      if (code.startsWith('ERR_') || !/^E[A-Z0-9]+$/.test(code)) return error;
      return fail.unavailable('backup_store_failed', `${url}: ${message}`, 60, cause);
  }
}
