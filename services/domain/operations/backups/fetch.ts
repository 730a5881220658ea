import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fail, KlarError } from '#platform/errors/index.ts';
import { decrypt, ENCRYPTED_SUFFIX } from './age.ts';
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

type Part = Manifest['parts'][number];

/** A store that cuts off or stalls is asked for the part again; a part that differs from the manifest is not. */
const TRIES = 4;

/**
 * Downloads every part, compares size and SHA-256 with the manifest, and decrypts into `dir` (made when absent, must
 * be empty).
 * @throws KlarError `backup_dump_missing` (not one part), `backup_part_missing`, `backup_part_truncated`,
 *   `backup_part_changed`, `backup_identity_missing`, `backup_identity_wrong`, `backup_work_full`, and what the store
 *   throws
 */
export async function fetchBackup(
  store: BackupStore,
  manifest: Manifest,
  dir: string,
  options: FetchOptions = {},
): Promise<Fetched> {
  const { identity, signal } = options;
  if (manifest.encrypted !== null && identity === undefined) {
    throw fail.invalid(
      'backup_identity_missing',
      `${manifest.id} is encrypted: give its private key as BACKUP_IDENTITY.`,
    );
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if ((await readdir(dir)).length > 0) throw fail.invalid('backup_dir_not_empty', `${dir} is not empty.`);
  let [bytes, absent] = [0, 0];
  for (const part of manifest.parts) {
    signal?.throwIfAborted();
    try {
      await fetchPart(store, manifest, part, dir, options);
      bytes += part.bytes;
    } catch (error) {
      // One more is looked for, to tell a lost part from a lost dump.
      if (!(error instanceof KlarError) || error.code !== 'backup_object_missing') throw error;
      absent += 1;
      if (bytes > 0) break;
    }
  }
  if (absent === manifest.parts.length) {
    throw fail.unprocessable('backup_dump_missing', `${manifest.id} has a manifest, but none of its parts is there.`);
  }
  if (absent > 0) {
    throw fail.unprocessable('backup_part_missing', `${manifest.id}: parts that the manifest names are not there.`);
  }
  return { dir, bytes };
}

async function fetchPart(
  store: BackupStore,
  manifest: Manifest,
  part: Part,
  dir: string,
  options: FetchOptions,
): Promise<void> {
  const encrypted = manifest.encrypted !== null;
  const name = encrypted ? part.name.replace(new RegExp(`\\${ENCRYPTED_SUFFIX}$`), '') : part.name;
  const file = path.join(dir, name);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fetchOnce(store, manifest.id, part, file, encrypted ? options.identity : undefined, options.signal);
    } catch (error) {
      await rm(file, { force: true });
      const passing =
        error instanceof KlarError && /^backup_store_(unreachable|failed)$/.test(error.code) && attempt < TRIES;
      if (!passing || options.signal?.aborted) throw workError(error, dir);
    }
  }
}

async function fetchOnce(
  store: BackupStore,
  id: string,
  part: Part,
  file: string,
  identity: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  const source = await store.get(id, part.name);
  // Compared where the bytes end and before the plain text does: a changed part never becomes a whole file.
  async function* checked() {
    for await (const chunk of source) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
    compare(id, part, bytes, hash.digest('hex'));
  }
  const stored = Readable.from(checked(), { objectMode: false });
  try {
    const plain = identity === undefined ? stored : await decrypt(stored, identity);
    await pipeline(plain, new PassThrough(), createWriteStream(file, { mode: 0o600 }), { signal });
  } catch (error) {
    source.destroy();
    if (error instanceof KlarError && error.code !== 'backup_identity_wrong') throw error;
    if (identity === undefined || isSystemError(error)) throw error;
    // Decryption stops at the first chunk that was changed. Whether it was is for the digest to say.
    await compareWhole(store, id, part);
    throw error;
  }
}

function compare(id: string, part: Part, bytes: number, sha256: string): void {
  if (bytes < part.bytes) {
    throw fail.unprocessable(
      'backup_part_truncated',
      `${id}/${part.name} has ${bytes} of ${part.bytes} bytes: it was cut off.`,
    );
  }
  if (sha256 !== part.sha256) {
    throw fail.unprocessable(
      'backup_part_changed',
      `${id}/${part.name} is not what was backed up: its SHA-256 differs from the manifest's.`,
    );
  }
}

async function compareWhole(store: BackupStore, id: string, part: Part): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of await store.get(id, part.name)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  compare(id, part, bytes, hash.digest('hex'));
}

const isSystemError = (error: unknown) => /^E[A-Z]+$/.test(String((error as NodeJS.ErrnoException)?.code ?? ''));

/** A work folder that is full or closed is the reader's own trouble and says nothing of the backup. */
export function workError(error: unknown, dir: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const more = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const room = 'give BACKUP_WORK_DIR room for a whole dump (klar backups list says how large the last was)';
    return fail.unavailable('backup_work_full', `${dir} is full: ${room}.`, 60, more);
  }
  if (code === 'EACCES' || code === 'EROFS' || code === 'ENOENT' || code === 'ENOTDIR') {
    const mend = 'set BACKUP_WORK_DIR to a folder that this user may write to';
    return fail.unavailable('backup_work_refused', `${dir} cannot be used (${code}): ${mend}.`, 60, more);
  }
  return error;
}
