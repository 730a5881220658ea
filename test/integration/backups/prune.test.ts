import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import {
  type BackupStore,
  backupId,
  listAll,
  openStore,
  type PruneInput,
  parseRetention,
  pruneBackups,
  recordBackup,
  sealManifest,
} from '#domain/operations/backups/index.ts';
import type { Db } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const DAY = 86_400_000;
const of = (text: string) => Readable.from([Buffer.from(text)], { objectMode: false });

describe('pruning backups', () => {
  let database: TestDatabase;
  let db: Db;
  let root: string;
  let store: BackupStore;
  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_ops');
  });
  after(() => database.close());
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'klar-prune-'));
    store = await openStore({ BACKUP_URL: `file://${root}` });
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function made(daysAgo: number): Promise<string> {
    const at = new Date(Date.now() - daysAgo * DAY);
    const id = backupId(at);
    const part = { name: 'toc.dat', ...(await store.put(id, 'toc.dat', of('rows'))) };
    const manifest = sealManifest({
      format: 1,
      id,
      created_at: at.toISOString(),
      snapshot_at: at.toISOString(),
      server_version: '15.14',
      pg_dump_version: '15.14',
      schema_version: 100,
      encrypted: null,
      parts: [part],
      tables: [],
      sums: [],
      catalog_sha256: 'a'.repeat(64),
      files: null,
    });
    await store.put(id, 'manifest.json', of(JSON.stringify(manifest)));
    await recordBackup(db, {
      id,
      store: store.url,
      started_at: at,
      snapshot_at: at,
      bytes: 4,
      parts: 1,
      tables: 0,
      rows: 0,
      schema_version: 100,
      encrypted: false,
      seconds: 1,
    });
    return id;
  }
  const proven = (id: string, ok = true, minutesAgo = 1, checks: object[] = []) =>
    database.asSuperuser(
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok, checks)
       values ($1, $2, now() - $4 * interval '1 minute', now() - $4 * interval '1 minute', $3, $5)`,
      [newId('prf'), id, ok, minutesAgo, JSON.stringify(checks)],
    );
  const prune = (more: Partial<PruneInput> = {}) =>
    pruneBackups({
      db,
      store,
      retention: parseRetention('daily=1'),
      now: new Date(),
      dryRun: false,
      signal: new AbortController().signal,
      fenced: async () => {},
      ...more,
    });
  const left = async () => (await listAll(store)).map(({ id }) => id);

  it('removes what a newer proven one covers, and writes it down', async () => {
    const [old, cover, newest] = [await made(3), await made(2), await made(0)];
    await proven(cover);
    assert.deepEqual((await prune()).removed, [old]);
    assert.deepEqual(await left(), [cover, newest]);
    const rows = await database.asSuperuser('select id from ops.backups where pruned_at is not null and store = $1', [
      store.url,
    ]);
    assert.deepEqual(rows, [{ id: old }]);
  });

  it('removes nothing while nothing was restored with success', async () => {
    const ids = [await made(3), await made(2), await made(0)];
    await proven(ids[2] ?? '', true, 10);
    await proven(ids[2] ?? '', false, 1);
    assert.deepEqual((await prune()).removed, []);
    assert.deepEqual(await left(), ids);
  });

  it('keeps the proven one of a day when a later proof failed for want of its key', async () => {
    const [proven1, unknown, cover] = [await made(3 + 2 / 86_400), await made(3), await made(0)];
    await proven(proven1, true, 10);
    await proven(cover, true, 10);
    await proven(proven1, false, 1, [{ name: 'restore', ok: false, code: 'backup_identity_wrong' }]);
    const { removed } = await prune({ retention: parseRetention('daily=2') });
    assert.deepEqual(removed, [unknown]);
    assert.deepEqual(await left(), [proven1, cover]);
  });

  it('only says what it would do in a dry run', async () => {
    const [old, cover] = [await made(3), await made(0)];
    await proven(cover);
    const report = await prune({ dryRun: true });
    assert.deepEqual(
      report.decisions.map(({ id, keep }) => ({ id, keep })),
      [
        { id: old, keep: false },
        { id: cover, keep: true },
      ],
    );
    assert.equal((await left()).length, 2);
  });

  it('removes nothing by a clock that is wrong', async () => {
    const [, cover] = [await made(3), await made(0)];
    await proven(cover);
    await assert.rejects(prune({ now: new Date(Date.now() + 365 * DAY) }), { code: 'backup_clocks_differ' });
    assert.equal((await left()).length, 2);
  });

  it('removes nothing when the proven one lost bytes, or its manifest, since', async () => {
    const [, cover] = [await made(3), await made(0)];
    await proven(cover);
    const folder = path.join(root, cover);
    await chmod(folder, 0o750);
    await chmod(path.join(folder, 'manifest.json'), 0o640);
    await truncate(path.join(folder, 'manifest.json'), 20);
    await assert.rejects(prune(), { code: 'backup_cover_broken' });
    assert.equal((await left()).length, 2);
  });

  it('stops when its run was taken over', async () => {
    const [, , cover] = [await made(4), await made(3), await made(0)];
    await proven(cover);
    let asked = 0;
    const fenced = async () => {
      asked += 1;
      if (asked > 1) throw new Error('taken over');
    };
    await assert.rejects(prune({ fenced }), /taken over/);
    assert.equal((await left()).length, 2);
  });
});
