import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { fetchBackup, listAll, newestCommitted, openStore, readManifest } from '#domain/operations/backups/index.ts';
import { addRows, type BackupSite, openBackupSite } from '../support/backup.ts';
import { randomOf, SEEDS } from './seeds.ts';

/** Needs PostgreSQL with its programs (Debian: apt-get install postgresql). */
describe('klar backup killed with kill -9', () => {
  let site: BackupSite;
  before(async () => {
    site = await openBackupSite();
    await addRows(site.database, 3_000);
  });
  after(() => site.close());

  for (const [point, committed] of [
    ['object_written:1', false],
    ['part_stored:1', false],
    ['part_stored:30', false],
    ['before_manifest', false],
    ['manifest_written', false],
    ['after_manifest', true],
  ] as const) {
    it(`at ${point} ${committed ? 'has made' : 'has made no'} backup`, async () => {
      const store = await openStore({ BACKUP_URL: site.env.BACKUP_URL });
      const before = await newestCommitted(store);
      const run = await site.klar(['backup'], { KLAR_FAILPOINT: `backup.${point}` });
      assert.equal(run.end, 'SIGKILL', run.stderr);
      const newest = await newestCommitted(store);
      assert.equal(newest?.id !== before?.id, committed);
      if (newest === undefined) return;
      const dir = site.folder('check');
      await fetchBackup(store, await readManifest(store, newest.id), dir);
      await rm(dir, { recursive: true });
    });
  }

  it('at any moment leaves the last good backup the newest, and the next run is good', async () => {
    const store = await openStore({ BACKUP_URL: site.env.BACKUP_URL });
    const began = performance.now();
    assert.equal((await site.klar(['backup'])).end, 0);
    const wholeMs = performance.now() - began;
    let good = (await newestCommitted(store))?.id;
    const ends = { killed: 0, finished: 0, remains: 0 };
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const random = randomOf(seed);
      const running = site.start(['backup']);
      // Past its end as well: right behind the commit mark is a moment, too.
      await pause(wholeMs * 1.1 * random());
      running.child.kill('SIGKILL');
      const { end } = await running.ended;
      const newest = await newestCommitted(store);
      if (newest?.id === good) ends.killed += 1;
      else {
        // The commit mark was written before the kill: then it tells the truth.
        const dir = site.folder('check');
        await fetchBackup(store, await readManifest(store, newest?.id ?? ''), dir);
        await rm(dir, { recursive: true });
        good = newest?.id;
        ends.finished += 1;
      }
      assert.ok(end === 'SIGKILL' || newest?.id === good, `seed ${seed}: ended with ${end}`);
    }
    ends.remains = (await listAll(store)).filter(({ committed }) => !committed).length;
    assert.ok(ends.killed > 0, JSON.stringify(ends));
    // The runs of before are still held by their leases; another run by hand is one of its own.
    assert.equal((await site.klar(['backup'])).end, 0);
    assert.notEqual((await newestCommitted(store))?.id, good);
    const left = (await readdir(site.folder('work'))).filter((name) => name.startsWith('klar-backup-'));
    assert.deepEqual(left, [], 'the dumps of killed runs are removed');
    const list = await site.klar(['backups', 'list']);
    assert.equal((list.stdout.match(/incomplete/g) ?? []).length, ends.remains, list.stdout);
  });
});
