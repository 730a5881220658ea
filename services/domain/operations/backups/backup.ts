import { createReadStream } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { Db } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import { failpoint } from '#platform/failpoint/index.ts';
import { readServerVersion } from '../store/backups.ts';
import { checkRecipients, ENCRYPTED_SUFFIX, encrypt } from './age.ts';
import { type BackupStore, MANIFEST } from './backup-store.ts';
import { type Dump, dumpDatabase } from './dump.ts';
import { workError } from './fetch.ts';
import { backupId } from './id.ts';
import { type Manifest, type ManifestBody, sealManifest } from './manifest.ts';
import { chooseTools, type PgTools } from './pg-tools.ts';
import { makeWorkDir } from './work-dir.ts';

export interface BackupInput {
  /** As klar_backup, one connection, straight to PostgreSQL. */
  db: Db;
  /** The URL of `db`, for pg_dump. */
  url: string;
  store: BackupStore;
  /** What findPgTools found. */
  tools: readonly PgTools[];
  /** Parent of the folder for the dump; absent: the temporary folder. */
  workDir?: string | undefined;
  jobs: number;
  /** Public keys; empty: not encrypted. */
  recipients: readonly string[];
  build: { imageDigest?: string | undefined; commit?: string | undefined };
  signal: AbortSignal;
  say: (line: string) => void;
  /** Asked right before the commit mark is written; throws when this run may not commit (any more). */
  beforeCommit: () => Promise<void>;
}

/** One finished backup. */
export interface BackupReport {
  id: string;
  store: string;
  started_at: Date;
  snapshot_at: Date;
  /** Stored bytes, the manifest included. */
  bytes: number;
  parts: number;
  tables: number;
  rows: number;
  schema_version: number;
  encrypted: boolean;
  seconds: number;
}

/**
 * Makes one backup: dump and figures of one snapshot, parts into the store, the manifest last. Until the manifest is
 * there nothing in the store counts as a backup, however this ends.
 */
export async function takeBackup(input: BackupInput): Promise<BackupReport> {
  const { db, store, recipients, signal, say } = input;
  const started = performance.now();
  const server = await db.withTx(readServerVersion, { readOnly: true });
  const tools = chooseTools(input.tools, { version: server.server_version, major: server.server_major });
  await checkRecipients(recipients);
  await firstLook(store);
  const id = backupId(server.now);
  const work = await makeWorkDir(input.workDir, server.now);
  let stored = false;
  try {
    const dir = path.join(work, 'dump');
    say(`${id}: dumping PostgreSQL ${server.server_version} with ${input.jobs} connections`);
    const dump = await dumpDatabase({ db, url: input.url, tools, dir, jobs: input.jobs, signal, say });
    stored = true;
    const parts = await storeParts(input, id, dir);
    const manifest = manifestOf(input, { id, server, tools, dump, parts });
    signal.throwIfAborted();
    await input.beforeCommit();
    const text = `${JSON.stringify(manifest, null, 2)}\n`;
    failpoint('backup.before_manifest');
    await store.put(id, MANIFEST, Readable.from([Buffer.from(text)], { objectMode: false }));
    stored = false;
    failpoint('backup.after_manifest');
    return {
      id,
      store: store.url,
      started_at: server.now,
      snapshot_at: dump.snapshot.snapshot_at,
      bytes: parts.reduce((sum, part) => sum + part.bytes, Buffer.byteLength(text)),
      parts: parts.length,
      tables: manifest.tables.length,
      rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
      schema_version: manifest.schema_version,
      encrypted: recipients.length > 0,
      seconds: (performance.now() - started) / 1_000,
    };
  } finally {
    await rm(work, { recursive: true, force: true }).catch(() => {});
    // A writer that may not delete leaves its remains to the pruner, as a killed one does.
    if (stored) await store.remove(id).catch(() => {});
  }
}

/** A store that is away or refuses us is better known before an hour of dumping. */
async function firstLook(store: BackupStore): Promise<void> {
  for await (const _ of store.list()) return;
}

async function storeParts(input: BackupInput, id: string, dir: string): Promise<ManifestBody['parts']> {
  const { store, recipients, signal, say } = input;
  // The table of contents last: until then the folder is no archive to anybody.
  const names = (await readdir(dir)).sort(
    (a, b) => Number(a === 'toc.dat') - Number(b === 'toc.dat') || (a < b ? -1 : 1),
  );
  const parts: ManifestBody['parts'] = [];
  for (const [index, name] of names.entries()) {
    signal.throwIfAborted();
    const file = path.join(dir, name);
    const { size } = await stat(file);
    const stored = recipients.length > 0 ? `${name}${ENCRYPTED_SUFFIX}` : name;
    const put = async () => {
      const plain = wholeFile(file, size, signal);
      return store.put(id, stored, recipients.length > 0 ? await encrypt(plain, recipients) : plain);
    };
    try {
      parts.push({ name: stored, ...(await put().catch(onceMore(put))) });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
    failpoint('backup.part_stored');
    // Twice the room would be needed if they were kept.
    await rm(file);
    if ((index + 1) % 50 === 0) say(`${id}: ${index + 1} of ${names.length} parts stored`);
  }
  return parts;
}

const onceMore =
  <T>(again: () => Promise<T>) =>
  (error: unknown): Promise<T> => {
    if (error instanceof KlarError && error.code === 'backup_store_again') return again();
    throw error;
  };

/** The bytes of a file, or an error: a file that became shorter must not become a shorter part. */
function wholeFile(file: string, size: number, signal: AbortSignal): Readable {
  async function* read() {
    let seen = 0;
    try {
      for await (const chunk of createReadStream(file, { signal, highWaterMark: 256 * 1024 })) {
        seen += (chunk as Buffer).length;
        yield chunk as Buffer;
      }
    } catch (error) {
      throw workError(error, file);
    }
    if (seen !== size) throw fail.internal('backup_dump_changed', `${file} changed while it was stored.`);
  }
  return Readable.from(read(), { objectMode: false });
}

interface Made {
  id: string;
  server: { now: Date; server_version: string };
  tools: PgTools;
  dump: Dump;
  parts: ManifestBody['parts'];
}

function manifestOf(input: BackupInput, { id, server, tools, dump, parts }: Made): Manifest {
  const { imageDigest, commit } = input.build;
  return sealManifest({
    format: 1,
    id,
    created_at: server.now.toISOString(),
    snapshot_at: dump.snapshot.snapshot_at.toISOString(),
    server_version: server.server_version,
    pg_dump_version: tools.version,
    ...(imageDigest === undefined ? {} : { image_digest: imageDigest }),
    ...(commit === undefined ? {} : { commit }),
    encrypted: input.recipients.length > 0 ? { recipients: [...input.recipients] } : null,
    parts,
    ...dump.figures,
    files: null,
  });
}
