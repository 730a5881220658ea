import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import {
  type BackupStore,
  fetchBackup,
  listAll,
  newestCommitted,
  readManifest,
} from '#domain/operations/backups/index.ts';
import { fixedSecret } from '#platform/config/index.ts';
import { s3Store } from '../../services/domain/operations/backups/store-s3.ts';
import { type BackupSite, openBackupSite } from '../support/backup.ts';
import { type S3Gateway, startS3Gateway } from '../support/s3-gateway.ts';

const FIRST = '20260501T023009Z-0a1b2c';
const SECOND = '20260502T023009Z-0a1b2c';
/** More than one piece of an upload. */
const LARGE = randomBytes(20 * 1024 * 1024);
const of = (data: Buffer | string) =>
  Readable.from(
    (function* () {
      const bytes = Buffer.from(data);
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    })(),
    { objectMode: false },
  );
const whole = async (store: BackupStore, id: string, name: string) =>
  Buffer.concat(await (await store.get(id, name)).toArray());
const isPut = ({ method }: { method: string }) => method === 'PUT';

/** Needs versitygw: npm run tools -- --only versitygw. */
describe('a bucket as a store', () => {
  let gateway: S3Gateway;
  let store: BackupStore;
  let prefix = 0;
  const open = (more: Partial<Parameters<typeof s3Store>[0]> = {}) =>
    s3Store({
      bucket: gateway.bucket,
      prefix: `klar/p${prefix}`,
      endpoint: gateway.endpoint,
      keyId: fixedSecret('AWS_ACCESS_KEY_ID', gateway.accessKeyId),
      secretKey: fixedSecret('AWS_SECRET_ACCESS_KEY', gateway.secretAccessKey),
      idleMs: 1_000,
      attempts: 5,
      ...more,
    });
  before(async () => {
    gateway = await startS3Gateway();
  });
  after(() => gateway.close());
  beforeEach(async () => {
    prefix += 1;
    gateway.fault = () => 'pass';
    gateway.seen = [];
    store = await open();
  });
  afterEach(() => store.close());

  it('keeps what is put, large and empty, and gives it back', async () => {
    const stored = await store.put(FIRST, '3456.dat.gz', of(LARGE));
    assert.equal(stored.bytes, LARGE.length);
    assert.ok((await whole(store, FIRST, '3456.dat.gz')).equals(LARGE));
    await store.put(FIRST, 'empty.dat', of(''));
    assert.equal((await whole(store, FIRST, 'empty.dat')).length, 0);
    await assert.rejects(store.get(FIRST, 'toc.dat'), { code: 'backup_object_missing' });
  });

  it('counts a backup only once its manifest is there, page by page', async () => {
    for (const id of [FIRST, SECOND]) await store.put(id, 'toc.dat', of('rows'));
    await store.put(FIRST, 'manifest.json', of('{}'));
    const listed = (await listAll(store)).map(({ id, committed, bytes }) => ({ id, committed, bytes }));
    assert.deepEqual(listed, [
      { id: FIRST, committed: true, bytes: 6 },
      { id: SECOND, committed: false, bytes: 4 },
    ]);
    assert.equal((await newestCommitted(store))?.id, FIRST);
  });

  it('never replaces a commit mark, and takes its own for its own', async () => {
    await store.put(FIRST, 'manifest.json', of('{"mine":1}'));
    await assert.rejects(store.put(FIRST, 'manifest.json', of('{"other":1}')), { code: 'backup_object_exists' });
    // The answer to the first try was lost: the second is told that something is there.
    let lost = false;
    gateway.fault = (request) => {
      if (!isPut(request) || lost) return 'pass';
      lost = true;
      return { cutAfter: 0 };
    };
    await store.put(SECOND, 'manifest.json', of('{"mine":2}'));
    assert.equal((await whole(store, SECOND, 'manifest.json')).toString(), '{"mine":2}');
  });

  it('never replaces a part', async () => {
    await store.put(FIRST, '1.dat', of(LARGE));
    for (const other of [LARGE.subarray(1), Buffer.from('small')]) {
      await assert.rejects(store.put(FIRST, '1.dat', of(other)), { code: 'backup_object_exists' });
    }
    assert.ok((await whole(store, FIRST, '1.dat')).equals(LARGE));
  });

  it('removes the commit mark first', async () => {
    for (const name of ['toc.dat', 'manifest.json', '1.dat']) await store.put(FIRST, name, of('x'));
    let deletes = 0;
    gateway.fault = ({ method }) => {
      if (method !== 'DELETE') return 'pass';
      deletes += 1;
      return deletes > 1 ? 'fail' : 'pass';
    };
    await assert.rejects(store.remove(FIRST), { code: 'backup_store_failed' });
    gateway.fault = () => 'pass';
    assert.deepEqual(
      (await listAll(store)).map(({ committed }) => committed),
      [false],
    );
    await store.remove(FIRST);
    assert.deepEqual(await listAll(store), []);
  });

  describe('survives', () => {
    for (const [what, fault] of [
      ['answers of 500', 'fail'],
      ['stalls', 'stall'],
      ['cut connections', 'refuse'],
    ] as const) {
      it(`${what}, by trying again`, async () => {
        let faults = 0;
        gateway.fault = () => {
          faults += 1;
          return faults % 3 === 1 ? fault : 'pass';
        };
        await store.put(FIRST, '3456.dat.gz', of(LARGE));
        await store.put(FIRST, 'manifest.json', of('{}'));
        assert.equal((await newestCommitted(store))?.id, FIRST);
        gateway.fault = () => 'pass';
        assert.ok((await whole(store, FIRST, '3456.dat.gz')).equals(LARGE));
        assert.ok(faults > 4);
      });
    }
  });

  describe('fails clearly, and leaves nothing that looks like a backup,', () => {
    for (const [what, fault, code] of [
      ['answers nothing but 500', 'fail', 'backup_store_failed'],
      ['stalls for ever', 'stall', 'backup_store_unreachable'],
      ['is gone', 'refuse', 'backup_store_unreachable'],
    ] as const) {
      it(`when it ${what}`, async () => {
        await store.put(FIRST, 'manifest.json', of('{}'));
        await store.close();
        store = await open({ attempts: 2 });
        gateway.fault = (request) => (isPut(request) || request.method === 'POST' ? fault : 'pass');
        await assert.rejects(store.put(SECOND, '3456.dat.gz', of(LARGE)), { code });
        await assert.rejects(store.put(SECOND, 'manifest.json', of('{}')), { code });
        assert.equal((await newestCommitted(store))?.id, FIRST);
        assert.deepEqual(
          (await listAll(store)).map(({ id }) => id),
          [FIRST],
        );
      });
    }

    it('when the stream breaks', async () => {
      const broken = Readable.from(
        (async function* () {
          yield LARGE;
          throw new Error('the pipe broke');
        })(),
        { objectMode: false },
      );
      await assert.rejects(store.put(FIRST, '3456.dat.gz', broken), /the pipe broke/);
      assert.deepEqual(await listAll(store), []);
    });

    it('when the identity or the bucket is wrong', async () => {
      const stranger = await open({ keyId: fixedSecret('AWS_ACCESS_KEY_ID', 'nobody') });
      await assert.rejects(stranger.put(FIRST, 'toc.dat', of('x')), { code: 'backup_store_refused' });
      await stranger.close();
      const elsewhere = await open({ bucket: 'no-such-bucket' });
      await assert.rejects(listAll(elsewhere), { code: 'backup_store_unreachable' });
      await elsewhere.close();
    });
  });

  it('fails a read that stalls or is cut off, rather than to end it', async () => {
    await store.put(FIRST, '3456.dat.gz', of(LARGE));
    gateway.fault = ({ method }) => (method === 'GET' ? { cutAfter: 1_000_000 } : 'pass');
    await assert.rejects(whole(store, FIRST, '3456.dat.gz'), { code: 'backup_store_unreachable' });
  });

  it('under the documented policy the writer can neither remove nor replace, and the pruner cannot write', async () => {
    const { S3Client, PutBucketPolicyCommand } = await import('@aws-sdk/client-s3');
    for (const name of ['writer', 'pruner']) {
      await gateway.admin(['create-user', '-a', name, '-s', `${name}-secret`, '-r', 'user']);
    }
    const root = new S3Client({
      endpoint: gateway.directEndpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: gateway,
    });
    const documented = await readFile(path.join(import.meta.dirname, '../../docs/backups.md'), 'utf8');
    const policy = /```json\n(\{\n {2}"Version"[\s\S]+?)\n```/.exec(documented)?.[1] ?? '';
    // The documented names, as this gateway writes them: users without an account before them.
    const Policy = policy
      .replaceAll('arn:aws:iam::ACCOUNT:user/klar-backup-writer', 'writer')
      .replaceAll('arn:aws:iam::ACCOUNT:user/klar-backup-pruner', 'pruner')
      .replaceAll('BUCKET', gateway.bucket);
    await root.send(new PutBucketPolicyCommand({ Bucket: gateway.bucket, Policy }));
    root.destroy();
    const as = (name: string) =>
      open({
        keyId: fixedSecret('AWS_ACCESS_KEY_ID', name),
        secretKey: fixedSecret('AWS_SECRET_ACCESS_KEY', `${name}-secret`),
      });
    const [writer, pruner] = await Promise.all([as('writer'), as('pruner')]);
    await writer.put(FIRST, '3456.dat.gz', of(LARGE));
    await writer.put(FIRST, 'manifest.json', of('{}'));
    await assert.rejects(writer.remove(FIRST), { code: 'backup_store_refused' });
    await assert.rejects(writer.put(FIRST, 'manifest.json', of('{"other":1}')), { code: 'backup_object_exists' });
    await assert.rejects(writer.put(FIRST, '3456.dat.gz', of('other')), { code: 'backup_object_exists' });
    await assert.rejects(pruner.put(SECOND, 'toc.dat', of('x')), { code: 'backup_store_refused' });
    assert.equal((await newestCommitted(pruner))?.id, FIRST);
    await pruner.remove(FIRST);
    assert.deepEqual(await listAll(store), []);
    await Promise.all([writer.close(), pruner.close()]);
  });

  describe('of klar backup', () => {
    let site: BackupSite;
    let env: Record<string, string>;
    before(async () => {
      site = await openBackupSite();
    });
    after(() => site.close());
    beforeEach(() => {
      env = {
        BACKUP_URL: `s3://${gateway.bucket}/klar/p${prefix}`,
        S3_ENDPOINT: gateway.endpoint,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: gateway.accessKeyId,
        AWS_SECRET_ACCESS_KEY: gateway.secretAccessKey,
      };
    });

    it('takes a backup though every seventh request fails or is cut, and shows it', async () => {
      let count = 0;
      gateway.fault = () => {
        count += 1;
        return count % 14 === 7 ? 'fail' : count % 14 === 0 ? 'refuse' : 'pass';
      };
      const run = await site.klar(['backup'], env);
      assert.equal(run.end, 0, run.stderr);
      const list = await site.klar(['backups', 'list'], env);
      assert.match(list.stdout, /Z-[0-9a-f]{6} {2}committed/);
      const target = site.folder(`fetched-${prefix}`);
      const id = (await newestCommitted(store))?.id ?? '';
      const { bytes } = await fetchBackup(store, await readManifest(store, id), target);
      assert.ok(bytes > 0);
    });

    it('ends when the store dies in the middle, and leaves no backup', async () => {
      let puts = 0;
      gateway.fault = (request) => {
        if (isPut(request)) puts += 1;
        return puts > 10 ? 'refuse' : 'pass';
      };
      const run = await site.klar(['backup'], env);
      assert.equal(run.end, 1, run.stdout);
      assert.match(run.stderr, /does not answer after 8 tries.*backup_store_unreachable/);
      gateway.fault = () => 'pass';
      assert.equal(await newestCommitted(store), undefined);
      const list = await site.klar(['backups', 'list'], env);
      assert.match(list.stdout, /incomplete .* remains of a killed run/);
    });
  });

  it('leaves no pieces of an upload that failed', async () => {
    store = await open({ attempts: 1 });
    let puts = 0;
    gateway.fault = (request) => (isPut(request) && ++puts > 1 ? 'fail' : 'pass');
    await assert.rejects(store.put(FIRST, '3456.dat.gz', of(LARGE)));
    const left = await readdir(gateway.folder, { recursive: true, withFileTypes: true });
    const pieces = left.filter((entry) => entry.isFile() && /p\d+/.exec(entry.parentPath)?.[0] === `p${prefix}`);
    assert.deepEqual(pieces, []);
    assert.ok(left.every((entry) => !entry.isFile() || !/multipart/.test(entry.parentPath)));
  });
});
