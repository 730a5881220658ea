import type { Readable } from 'node:stream';

/** The commit mark: a backup without it is remains of a run that was killed, whatever else is there. */
export const MANIFEST = 'manifest.json';

/** What a store says of one backup, by its own listing alone. */
export interface StoredBackup {
  readonly id: string;
  /** Whether its manifest is there. */
  readonly committed: boolean;
  /** Of all objects together. */
  readonly bytes: number;
  /** When it began: the time in its id. */
  readonly at: Date;
  /** When its newest object was written, by the store's clock. */
  readonly changedAt: Date;
}

/** What a stored object turned out to be; the digest is of the bytes as they are stored. */
export interface StoredObject {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * A place for backups: `<BACKUP_URL>/<id>/<name>`. Objects are written once and never changed.
 * Every method throws KlarError: `backup_store_unreachable`, `backup_store_refused`, `backup_store_full`,
 * `backup_store_failed`; `get` of what is not there `backup_object_missing`; `put` of what is there
 * `backup_object_exists`, and `backup_store_again` when the same call with a fresh stream will be taken.
 */
export interface BackupStore {
  /** The place, without secrets, for messages and for ops.backups. */
  readonly url: string;
  /** Oldest first. */
  list(): AsyncIterable<StoredBackup>;
  /** A stream that fails, rather than ends, when fewer bytes came than the store holds or when the store stalls. */
  get(id: string, name: string): Promise<Readable>;
  /** Resolves when the object is durable. An object is there whole or not at all. */
  put(id: string, name: string, stream: Readable): Promise<StoredObject>;
  /** Removes a backup, its manifest first: a removal that is killed leaves remains, not a backup with holes. */
  remove(id: string): Promise<void>;
  /** Lets go of connections. */
  close(): Promise<void>;
}

/** The newest backup that has its commit mark, by the store's own listing; undefined when there is none. */
export async function newestCommitted(store: BackupStore): Promise<StoredBackup | undefined> {
  let newest: StoredBackup | undefined;
  for await (const backup of store.list()) {
    if (backup.committed && (newest === undefined || backup.id > newest.id)) newest = backup;
  }
  return newest;
}
