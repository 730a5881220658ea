import { chmod, cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  findPgTools,
  type Manifest,
  type ManifestBody,
  openStore,
  type RestoreProof,
  sealManifest,
  takeBackup,
  verifyBackup,
} from '#domain/operations/backups/index.ts';
import { newestMigration } from '#platform/db/setup.ts';
import type { BackupSite } from './backup.ts';
import { MIGRATIONS_DIR } from './database.ts';

let count = 0;

/** An id that is newer than every real one, so that a forged backup is the newest. */
function forgedId(): string {
  count += 1;
  return `20990101T0000${String(count).padStart(2, '0')}Z-00f04e`;
}

/** Backups of a site, made and damaged without the command line. */
export interface BackupForge {
  /** A backup of the database as it is now. */
  take(): Promise<string>;
  /** A copy under a new id, with another manifest that fits itself, and whatever is done to its folder. */
  forge(from: string, change?: (manifest: ManifestBody) => ManifestBody): Promise<string>;
  manifest(id: string): Promise<Manifest>;
  remove(id: string): Promise<void>;
  /** A file of a backup, which may be written to. */
  file(id: string, name: string): Promise<string>;
  cutOff(id: string, name: string): Promise<void>;
  flipByte(id: string, name: string): Promise<void>;
  unlink(id: string, names: (name: string) => boolean): Promise<void>;
  /** Name of the part that holds most bytes. */
  largest(id: string): Promise<string>;
  /** verifyBackup on a server, by superuser, as restore-verify calls it. */
  verify(url: string, backup?: string, identity?: string): Promise<RestoreProof>;
}

export function openForge(site: BackupSite): BackupForge {
  const root = site.folder('store');
  const folder = (id: string) => path.join(root, id);
  const settings = { BACKUP_URL: `file://${root}` };
  const open = async (id: string) => {
    await chmod(folder(id), 0o750);
    for (const name of await readdir(folder(id))) await chmod(path.join(folder(id), name), 0o640);
  };
  const file = async (id: string, name: string) => {
    await open(id);
    return path.join(folder(id), name);
  };
  const manifest = async (id: string) =>
    JSON.parse(await readFile(path.join(folder(id), 'manifest.json'), 'utf8')) as Manifest;
  return {
    async take() {
      const db = site.database.db('klar_backup', { poolSize: 1, answerTimeoutMs: 60_000 });
      const store = await openStore(settings);
      const report = await takeBackup({
        db,
        url: site.database.url('klar_backup'),
        store,
        tools: await findPgTools(site.bin),
        jobs: 2,
        recipients: [],
        build: {},
        signal: new AbortController().signal,
        say: () => {},
        beforeCommit: async () => {},
      });
      await db.close();
      return report.id;
    },
    async forge(from, change = (body) => body) {
      const id = forgedId();
      await cp(folder(from), folder(id), { recursive: true });
      await open(id);
      const { manifest_sha256: _, ...body } = await manifest(id);
      const sealed = sealManifest({ ...change(body), id });
      await writeFile(path.join(folder(id), 'manifest.json'), JSON.stringify(sealed));
      return id;
    },
    manifest,
    remove: (id) => rm(folder(id), { recursive: true, force: true }),
    file,
    async cutOff(id, name) {
      const { length } = await readFile(await file(id, name));
      await truncate(await file(id, name), length - 1);
    },
    async flipByte(id, name) {
      const bytes = await readFile(await file(id, name));
      const at = Math.floor(bytes.length / 2);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(await file(id, name), bytes);
    },
    async unlink(id, names) {
      await open(id);
      for (const name of await readdir(folder(id))) if (names(name)) await rm(path.join(folder(id), name));
    },
    async largest(id) {
      const { parts } = await manifest(id);
      return parts.reduce((a, b) => (b.bytes > a.bytes ? b : a)).name;
    },
    async verify(url, backup, identity) {
      const store = await openStore(settings);
      return verifyBackup({
        store,
        backup,
        url,
        production: { identifier: undefined, allowed: false },
        identity,
        jobs: 2,
        workDir: site.folder('work'),
        newestMigration: await newestMigration(MIGRATIONS_DIR),
        signal: new AbortController().signal,
        now: () => new Date(),
        say: () => {},
      }).finally(() => store.close());
    },
  };
}
