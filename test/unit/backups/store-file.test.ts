import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { type BackupStore, listAll, newestCommitted, openStore } from '#domain/operations/backups/index.ts';

const FIRST = '20260501T023009Z-0a1b2c';
const SECOND = '20260502T023009Z-0a1b2c';
const of = (text: string) => Readable.from([Buffer.from(text)], { objectMode: false });

describe('a folder as a store', () => {
  let root: string;
  let store: BackupStore;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'klar-store-'));
    store = await openStore({ BACKUP_URL: `file://${root}/` });
  });
  afterEach(() => rm(root, { recursive: true, force: true }));
  const read = async (id: string, name: string) =>
    Buffer.concat(await (await store.get(id, name)).toArray()).toString();

  it('keeps what is put, and says its size and digest', async () => {
    const sha256 = createHash('sha256').update('rows').digest('hex');
    assert.deepEqual(await store.put(FIRST, 'toc.dat', of('rows')), { bytes: 4, sha256 });
    assert.equal(await read(FIRST, 'toc.dat'), 'rows');
  });
  it('counts a backup only once its manifest is there', async () => {
    await store.put(FIRST, 'toc.dat', of('rows'));
    assert.deepEqual(
      (await listAll(store)).map(({ id, committed, bytes }) => ({ id, committed, bytes })),
      [{ id: FIRST, committed: false, bytes: 4 }],
    );
    assert.equal(await newestCommitted(store), undefined);
    await store.put(FIRST, 'manifest.json', of('{}'));
    await store.put(SECOND, 'toc.dat', of('rows'));
    assert.equal((await newestCommitted(store))?.id, FIRST);
  });
  it('never replaces an object', async () => {
    await store.put(FIRST, 'toc.dat', of('rows'));
    await assert.rejects(store.put(FIRST, 'toc.dat', of('other')), { code: 'backup_object_exists' });
    assert.equal(await read(FIRST, 'toc.dat'), 'rows');
  });
  it('leaves no object of a stream that breaks', async () => {
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('ro');
        throw new Error('the pipe broke');
      })(),
      { objectMode: false },
    );
    await assert.rejects(store.put(FIRST, 'manifest.json', broken), /the pipe broke/);
    assert.deepEqual(await readdir(path.join(root, FIRST)), []);
    assert.equal(await newestCommitted(store), undefined);
  });
  it('takes the write permission away once a backup is whole', async () => {
    await store.put(FIRST, 'toc.dat', of('rows'));
    await store.put(FIRST, 'manifest.json', of('{}'));
    assert.equal((await stat(path.join(root, FIRST))).mode & 0o222, 0);
    assert.equal((await stat(path.join(root, FIRST, 'toc.dat'))).mode & 0o222, 0);
  });
  it('removes a backup, and what a killed run left', async () => {
    await store.put(FIRST, 'toc.dat', of('rows'));
    await store.put(FIRST, 'manifest.json', of('{}'));
    await mkdir(path.join(root, SECOND));
    await writeFile(path.join(root, SECOND, '.unfinished-toc.dat'), 'ro');
    for (const id of [FIRST, SECOND]) await store.remove(id);
    await store.remove(FIRST);
    assert.deepEqual(await readdir(root), []);
    await assert.rejects(store.remove('lost+found'), { code: 'backup_id_wrong' });
  });
  it('lets be whatever else lies there, and tells the age by the newest file', async () => {
    await mkdir(path.join(root, 'lost+found'));
    await writeFile(path.join(root, 'README'), 'mine');
    await store.put(FIRST, 'toc.dat', of('rows'));
    const then = new Date('2026-05-01T03:00:00Z');
    await utimes(path.join(root, FIRST, 'toc.dat'), then, then);
    await utimes(path.join(root, FIRST), then, then);
    assert.deepEqual(await listAll(store), [
      { id: FIRST, committed: false, bytes: 4, at: new Date('2026-05-01T02:30:09Z'), changedAt: then },
    ]);
  });
  it('says what is missing: an object, or the store', async () => {
    await assert.rejects(store.get(FIRST, 'toc.dat'), { code: 'backup_object_missing' });
    await rename(root, `${root}-away`);
    try {
      await assert.rejects(listAll(store), { code: 'backup_store_unreachable' });
      await assert.rejects(store.put(FIRST, 'toc.dat', of('rows')), { code: 'backup_store_unreachable' });
    } finally {
      await rename(`${root}-away`, root);
    }
  });
});

describe('BACKUP_URL', () => {
  const code = (BACKUP_URL: string | undefined) =>
    openStore({ BACKUP_URL }).then(
      (store) => store.url,
      (error) => error.code,
    );
  it('is a folder or a bucket', async () => {
    assert.equal(await code('file:///var/lib/klar/backups'), 'file:///var/lib/klar/backups');
    assert.equal(await code('s3://bucket/some/prefix/'), 's3://bucket/some/prefix');
    assert.equal(await code('s3://bucket'), 's3://bucket');
    assert.equal(await code(undefined), 'backup_url_missing');
    assert.equal(await code('file://backups'), 'backup_url_wrong');
    assert.equal(await code('/var/lib'), 'backup_url_wrong');
  });
});
