import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import {
  type BackupStore,
  fetchBackup,
  type Manifest,
  openStore,
  readManifest,
  sealManifest,
} from '#domain/operations/backups/index.ts';
import { fail } from '#platform/errors/index.ts';
import { encrypt } from '../../../services/domain/operations/backups/age.ts';

const ID = '20260501T023009Z-0a1b2c';
// Longer than one chunk of age, so that a change may lie behind plain text that was already handed out.
const DATA = Buffer.alloc(200_000, 'some rows ');
const FILES = { 'toc.dat': Buffer.from('contents'), '3456.dat.gz': DATA, '3457.dat.gz': Buffer.alloc(0) };

describe('fetching a backup', () => {
  let home: string;
  let store: BackupStore;
  let identity: string;
  beforeEach(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'klar-fetch-'));
    store = await openStore({ BACKUP_URL: `file://${home}` });
    identity = await generateX25519Identity();
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  async function stored(encrypted: boolean): Promise<Manifest> {
    const recipients = encrypted ? [await identityToRecipient(identity)] : [];
    const parts: Manifest['parts'] = [];
    for (const [file, data] of Object.entries(FILES)) {
      const plain = Readable.from([data], { objectMode: false });
      const name = encrypted ? `${file}.age` : file;
      parts.push({ name, ...(await store.put(ID, name, encrypted ? await encrypt(plain, recipients) : plain)) });
    }
    const manifest = sealManifest({
      format: 1,
      id: ID,
      created_at: '2026-05-01T02:30:09.000Z',
      snapshot_at: '2026-05-01T02:30:09.000Z',
      server_version: '15.14',
      pg_dump_version: '15.14',
      schema_version: 100,
      encrypted: encrypted ? { recipients } : null,
      parts,
      tables: [],
      sums: [],
      catalog_sha256: createHash('sha256').digest('hex'),
      files: null,
    });
    await store.put(ID, 'manifest.json', Readable.from([JSON.stringify(manifest)], { objectMode: false }));
    return readManifest(store, ID);
  }
  const target = () => path.join(home, 'target');
  const object = async (name: string) => {
    const file = path.join(home, ID, name);
    await chmod(path.join(home, ID), 0o750);
    await chmod(file, 0o640);
    return file;
  };
  const fetched = (manifest: Manifest, with_: string | undefined = identity) =>
    fetchBackup(store, manifest, target(), { identity: with_ });
  const refused = (manifest: Manifest, code: string, says?: RegExp, with_: string | undefined = identity) =>
    assert.rejects(fetched(manifest, with_), (error: { code: string; detail: string }) => {
      assert.equal(error.code, code, String(error));
      if (says) assert.match(error.detail, says);
      return true;
    });

  for (const encrypted of [false, true]) {
    describe(encrypted ? 'that is encrypted' : 'that is not encrypted', () => {
      const name = (file: string) => (encrypted ? `${file}.age` : file);

      it('gives the files of the dump', async () => {
        const manifest = await stored(encrypted);
        const { bytes } = await fetched(manifest);
        assert.equal(
          bytes,
          manifest.parts.reduce((sum, part) => sum + part.bytes, 0),
        );
        for (const [file, data] of Object.entries(FILES)) {
          assert.ok((await readFile(path.join(target(), file))).equals(data), file);
        }
        assert.equal((await readdir(target())).length, 3);
      });
      it('refuses a flipped byte, and leaves no file of it', async () => {
        const manifest = await stored(encrypted);
        const file = await object(name('3456.dat.gz'));
        const bytes = await readFile(file);
        bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
        await writeFile(file, bytes);
        await refused(manifest, 'backup_part_changed', /3456\.dat\.gz/);
        assert.ok(!(await readdir(target())).includes('3456.dat.gz'));
      });
      it('refuses a flipped first byte', async () => {
        const manifest = await stored(encrypted);
        const file = await object(name('3456.dat.gz'));
        const bytes = await readFile(file);
        bytes[0] = (bytes[0] ?? 0) ^ 1;
        await writeFile(file, bytes);
        await refused(manifest, 'backup_part_changed');
      });
      it('refuses a part that was cut off', async () => {
        const manifest = await stored(encrypted);
        await truncate(await object(name('3456.dat.gz')), 70_000);
        await refused(manifest, 'backup_part_truncated', /70000 of/);
      });
      it('refuses a part that is missing, and tells it from a missing dump', async () => {
        const manifest = await stored(encrypted);
        await unlink(await object(name('3456.dat.gz')));
        await refused(manifest, 'backup_part_missing');
        await rm(target(), { recursive: true });
        for (const file of ['toc.dat', '3457.dat.gz']) await unlink(await object(name(file)));
        await refused(manifest, 'backup_dump_missing');
      });
    });
  }

  it('needs the private key of an encrypted one, and the right one', async () => {
    const manifest = await stored(true);
    await assert.rejects(fetchBackup(store, manifest, target()), { code: 'backup_identity_missing' });
    await refused(manifest, 'backup_identity_wrong', /another public key/, await generateX25519Identity());
  });
  it('asks a store again that cut off', async () => {
    const manifest = await stored(false);
    let cuts = 0;
    const flaky: BackupStore = {
      ...store,
      get: async (id, name) => {
        if (cuts >= 2) return store.get(id, name);
        cuts += 1;
        return Readable.from(
          (async function* () {
            yield Buffer.from('so');
            throw fail.unavailable('backup_store_unreachable', 'cut off');
          })(),
          { objectMode: false },
        );
      },
    };
    await fetchBackup(flaky, manifest, target());
    assert.equal(cuts, 2);
  });
  it('tells parts without a manifest from nothing at all', async () => {
    await store.put(ID, 'toc.dat', Readable.from(['x'], { objectMode: false }));
    await assert.rejects(readManifest(store, ID), { code: 'backup_manifest_missing' });
    await assert.rejects(readManifest(store, '20260502T023009Z-0a1b2c'), { code: 'backup_object_missing' });
  });
});
