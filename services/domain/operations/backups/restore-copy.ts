import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type BackupStore, MANIFEST, newestCommitted } from './backup-store.ts';
import { fetchBackup } from './fetch.ts';
import type { Manifest } from './manifest.ts';
import type { PgTools } from './pg-tools.ts';
import { RestoreFailure } from './restore-failures.ts';
import { inspectDump } from './restore-tools.ts';
import { makeWorkDir } from './work-dir.ts';

/** Names the backup that is meant. @throws RestoreFailure `restore_no_backup` */
export async function chooseBackup(store: BackupStore, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined && wanted !== 'newest') return wanted;
  const newest = await newestCommitted(store);
  if (newest !== undefined) return newest.id;
  const remains: string[] = [];
  for await (const { id } of store.list()) remains.push(id);
  const beside =
    remains.length === 0 ? '' : ` Runs that ended before their ${MANIFEST}: ${remains.slice(-3).join(', ')}.`;
  throw new RestoreFailure('restore_no_backup', `There is no committed backup in ${store.url}.${beside}`);
}

/** A backup on this machine, its bytes proven against its manifest. */
export interface LocalCopy {
  manifest: Manifest;
  dir: string;
  bytes: number;
  /** How many tables the dump holds. */
  tables: number;
}

/**
 * Downloads a backup into a folder of its own, calls `fn`, and removes the folder whatever happens.
 * @throws KlarError of the list in restore-failures.ts for a backup that is not whole
 */
export async function withCopy<T>(
  input: {
    store: BackupStore;
    manifest: Manifest;
    tools: PgTools;
    identity?: string | undefined;
    workDir?: string | undefined;
    signal: AbortSignal;
    now(): Date;
  },
  fn: (copy: LocalCopy) => Promise<T>,
): Promise<T> {
  const { store, manifest, tools, identity, signal } = input;
  const folder = await makeWorkDir(input.workDir, input.now());
  try {
    const { dir, bytes } = await fetchBackup(store, manifest, path.join(folder, 'dump'), { identity, signal });
    const tables = await inspectDump(tools, dir, manifest, signal);
    return await fn({ manifest, dir, bytes, tables });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
