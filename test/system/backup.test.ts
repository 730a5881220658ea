import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { fetchBackup, type Manifest, openStore, readManifest, runTool } from '#domain/operations/backups/index.ts';
import { createDb, statement } from '#platform/db/index.ts';
import { readFigures } from '../../services/domain/operations/backups/proof-figures.ts';
import { addRows, type BackupSite, openBackupSite } from '../support/backup.ts';
import { withDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

interface Listed {
  id: string;
  state: string;
  bytes: number;
  proof: string | null;
}

const lock = statement('test.lock_audit', 'lock table app.audit_pending in access exclusive mode');

/** Needs PostgreSQL with its programs (Debian: apt-get install postgresql), and root for the full disks. */
describe('klar backup', () => {
  let site: BackupSite;
  before(async () => {
    site = await openBackupSite();
  });
  after(() => site.close());

  const made = async (env: Record<string, string> = {}, words: string[] = []) => {
    const run = await site.klar(['backup', '--json', ...words], env);
    assert.equal(run.end, 0, run.stderr);
    return JSON.parse(run.stdout).detail as { id: string; bytes: number; parts: number; rows: number };
  };
  const listed = async (env: Record<string, string> = {}): Promise<Listed[]> => {
    const run = await site.klar(['backups', 'list', '--json'], env);
    assert.equal(run.end, 0, run.stderr);
    return JSON.parse(run.stdout).data;
  };
  const newest = async () => (await listed()).find(({ state }) => state === 'committed')?.id;
  const manifestOf = async (id: string): Promise<Manifest> =>
    readManifest(await openStore({ BACKUP_URL: site.env.BACKUP_URL }), id);

  let restores = 0;
  /** Restores into a fresh database beside the first and reads its figures. */
  async function restored(id: string, identity?: string) {
    const store = await openStore({ BACKUP_URL: site.env.BACKUP_URL });
    restores += 1;
    const dir = site.folder(`restore-${id}-${restores}`);
    await fetchBackup(store, await readManifest(store, id), dir, { identity });
    const name = `restored_${id.slice(-6)}`;
    await site.database.asSuperuser(`create database ${name} template template0`);
    const url = withDatabase(site.server.superuserUrl, name);
    await runTool({
      file: path.join(site.bin, 'pg_restore'),
      args: ['--jobs=2', '--exit-on-error', `--dbname=${url}`, dir],
      env: {},
    });
    const db = createDb({ url, role: 'postgres', poolSize: 1 });
    try {
      return await db.withTx(readFigures, { isolation: 'repeatable read', readOnly: true });
    } finally {
      await db.close();
      await site.database.asSuperuser(`drop database ${name}`);
    }
  }

  it('commits a backup whose manifest says what is in it', async () => {
    const detail = await made({ KLAR_COMMIT: 'c0ffee', KLAR_IMAGE_DIGEST: 'sha256:abc' });
    const manifest = await manifestOf(detail.id);
    assert.deepEqual([manifest.commit, manifest.image_digest, manifest.encrypted], ['c0ffee', 'sha256:abc', null]);
    const orders = manifest.tables.find(({ schema, name }) => schema === 'app' && name === 'orders');
    assert.equal(orders?.rows, 30);
    assert.deepEqual(
      manifest.sums.filter(({ name }) => name === 'payments.captured'),
      [
        { name: 'payments.captured', currency: 'SEK', value: '16500' },
        { name: 'payments.captured', currency: 'USD', value: '30000' },
      ],
    );
    const folder = path.join(site.folder('store'), detail.id);
    for (const { name, bytes, sha256 } of manifest.parts) {
      const content = await readFile(path.join(folder, name));
      assert.equal(content.length, bytes);
      assert.equal(createHash('sha256').update(content).digest('hex'), sha256);
    }
    assert.equal((await readdir(folder)).length, manifest.parts.length + 1, 'nothing but parts and the manifest');
    assert.deepEqual(await readdir(site.folder('work')), [], 'the work folder is empty again');
    const [row] = await site.database.asSuperuser<{ bytes: string; status: string; password: boolean }>(
      `select b.bytes, (select status from ops.task_runs where task = 'backup' order by started_at desc limit 1) as status
       from ops.backups b where b.id = $1`,
      [detail.id],
    );
    assert.deepEqual(row, { bytes: String(detail.bytes), status: 'succeeded' });
  });

  it('lists and shows it for people, also when no database answers', async () => {
    const id = await newest();
    const list = await site.klar(['backups', 'list']);
    assert.match(list.stdout, new RegExp(`^${id}  committed .*KiB .*old .*not proven`, 'm'));
    const show = await site.klar(['backups', 'show']);
    assert.match(show.stdout, /30 {2}app\.orders/);
    assert.match(show.stdout, /30000 USD {2}payments\.captured/);
    const away = { DATABASE_URL_OPS: 'postgres://klar_ops_a:x@127.0.0.1:1/postgres' };
    const list_ = await site.klar(['backups', 'list'], away);
    assert.equal(list_.end, 0);
    assert.match(list_.stdout, new RegExp(`^${id}  committed`, 'm'));
    assert.match(list_.stdout, /No database answers/);
  });

  it('makes a further one each time it is run by hand, and one for a tick', async () => {
    const before = (await listed()).length;
    await made();
    const tick = ['--for', new Date(Date.now() - 3_600_000).toISOString().slice(0, 16) + 'Z'];
    await made({}, tick);
    const again = await site.klar(['backup', ...tick]);
    assert.equal(again.end, 0);
    assert.match(again.stdout, /already done/);
    assert.equal((await listed()).length, before + 2);
  });

  it('counts what it dumps, though rows come and go meanwhile', async () => {
    let writing = true;
    let written = 0;
    const writer = (async () => {
      for (; writing; written += 1) {
        await addRows(site.database, 3);
        await site.database.asSuperuser(
          `delete from app.audit_pending where (tenant_id, id) in (select tenant_id, id from app.audit_pending limit 1)`,
        );
        await site.database.asSuperuser(
          `update app.payments set captured = captured + 1, due = due + 1 where id = 'pay_ord_2'`,
        );
      }
    })();
    try {
      await until(() => written > 5);
      const before = written;
      const { id } = await made();
      assert.ok(written > before + 5, 'rows were written during the dump');
      const manifest = await manifestOf(id);
      const figures = await restored(id);
      assert.deepEqual(figures.tables, manifest.tables);
      assert.deepEqual(figures.sums, manifest.sums);
      assert.equal(figures.catalog_sha256, manifest.catalog_sha256);
      assert.equal(figures.schema_version, manifest.schema_version);
    } finally {
      writing = false;
      await writer;
    }
  });

  it('encrypts to a public key, and only the private one opens it', async () => {
    const identity = await generateX25519Identity();
    const { id } = await made({ BACKUP_ENCRYPT_TO: await identityToRecipient(identity) });
    const manifest = await manifestOf(id);
    const folder = path.join(site.folder('store'), id);
    for (const { name } of manifest.parts) {
      assert.match(name, /\.age$/);
      assert.match((await readFile(path.join(folder, name))).subarray(0, 22).toString(), /^age-encryption\.org\/v1/);
    }
    const figures = await restored(id, identity);
    assert.deepEqual(figures.tables, manifest.tables);
    await assert.rejects(restored(id, await generateX25519Identity()), { code: 'backup_identity_wrong' });
  });

  it('refuses a login that does not see every row', async () => {
    const run = await site.klar(['backup'], { DATABASE_DIRECT_URL: site.database.url('klar_api') });
    assert.equal(run.end, 1);
    assert.match(run.stderr, /klar_api_a does not see every row.*klar_backup_a/);
  });

  it('refuses tools that are older than the server, with the mend', async () => {
    // Debian's tools and the newer PostgreSQL of the other tests.
    const server = process.env.KLAR_TEST_SERVER_URL ?? '';
    const run = await site.klar(['backup'], { DATABASE_DIRECT_URL: server });
    assert.equal(run.end, 1, run.stdout);
    assert.match(run.stderr, /The server is PostgreSQL 1\d.* cannot dump a newer server.*--build-arg PG_CLIENT=1\d/);
  });

  it('lets migrations pass once the dump has its locks', async () => {
    await addRows(site.database, 6_000);
    const running = site.start(['backup']);
    await until(
      () =>
        site.database
          .asSuperuser(
            `select from pg_stat_activity where application_name = 'klar backup' and query like 'COPY app.audit%'`,
          )
          .then((rows) => rows.length > 0),
      { timeoutMs: 60_000, everyMs: 5, what: 'the dump copies' },
    );
    const dumps = childrenOf(running.child.pid, 'pg_dump');
    for (const pid of dumps) process.kill(pid, 'SIGSTOP');
    try {
      const migration = await site.klar(['migrate'], { DATABASE_DIRECT_URL: site.database.url('klar_migrator') });
      assert.equal(migration.end, 0, migration.stderr);
      assert.equal(running.child.exitCode, null, 'the backup was still at work');
    } finally {
      for (const pid of dumps) process.kill(pid, 'SIGCONT');
    }
    assert.equal((await running.ended).end, 0);
  });

  describe('that cannot come to its end', () => {
    let good: string | undefined;
    beforeEach(async () => {
      good = await newest();
    });
    /** The last good backup is the newest, and nothing else looks like one. */
    const unharmed = async () => {
      assert.equal(await newest(), good);
      assert.deepEqual(
        (await listed()).filter(({ state }) => state !== 'committed'),
        [],
      );
      assert.deepEqual(
        (await readdir(site.folder('work'))).filter((name) => name.startsWith('klar-')),
        [],
      );
    };

    /** Runs a backup that waits for a locked table in the middle of its dump, and `act` meanwhile. */
    async function whileDumping(
      act: (pids: number[], child: number) => Promise<void>,
      env: Record<string, string> = {},
    ) {
      const locker = createDb({ url: site.server.superuserUrl, role: 'postgres', poolSize: 1 });
      let done: () => void = () => {};
      const acted = new Promise<void>((resolve) => {
        done = resolve;
      });
      let locked: () => void = () => {};
      const ready = new Promise<void>((resolve) => {
        locked = resolve;
      });
      const holding = locker.withTx(async (tx) => {
        await tx.run(lock);
        locked();
        await acted;
      });
      await ready;
      const running = site.start(['backup'], env);
      try {
        const pids = await until(
          async () => {
            const waiting = await site.database.asSuperuser(
              `select from pg_stat_activity where application_name = 'klar backup' and wait_event_type = 'Lock' and query ilike 'lock table%'`,
            );
            return waiting.length > 0 ? childrenOf(running.child.pid, 'pg_dump') : undefined;
          },
          { timeoutMs: 60_000, what: 'pg_dump waits' },
        );
        await act(pids, running.child.pid ?? 0);
      } finally {
        done();
        await holding;
        await locker.close();
      }
      return running.ended;
    }

    it('because pg_dump was killed', async () => {
      const run = await whileDumping(async (pids) => {
        for (const pid of pids) process.kill(pid, 'SIGKILL');
      });
      assert.equal(run.end, 1);
      assert.match(run.stderr, /pg_dump was ended by SIGKILL/);
      await unharmed();
      const [row] = await site.database.asSuperuser<{ status: string; error: string }>(
        `select status, error from ops.task_runs where task = 'backup' order by started_at desc limit 1`,
      );
      assert.equal(row?.status, 'failed');
      assert.match(String(row?.error), /SIGKILL/);
    });

    it('because the connection of its snapshot was ended', async () => {
      const run = await whileDumping(async () => {
        await site.database.asSuperuser(
          `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'klar_backup_a'`,
        );
      });
      assert.equal(run.end, 1, run.stdout);
      await unharmed();
    });

    it('because it was told to stop', async () => {
      const run = await whileDumping(async (_, child) => {
        process.kill(child, 'SIGTERM');
      });
      assert.equal(run.end, 1, run.stdout);
      await unharmed();
    });

    it('because the store was lost meanwhile', async () => {
      const away = `${site.folder('store')}-away`;
      const run = await whileDumping(() => rename(site.folder('store'), away));
      await rename(away, site.folder('store'));
      assert.equal(run.end, 1);
      assert.match(run.stderr, /is not there: mount the volume.*backup_store_unreachable/);
      await unharmed();
    });

    for (const [what, name, code] of [
      ['the work folder', 'BACKUP_WORK_DIR', 'backup_work_full'],
      ['the store', 'BACKUP_URL', 'backup_store_full'],
    ] as const) {
      it(`because ${what} is full`, async () => {
        const disk = site.folder('disk');
        await mkdir(disk, { recursive: true });
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'tmpfs', disk]);
        try {
          const run = await site.klar(['backup'], { [name]: name === 'BACKUP_URL' ? `file://${disk}` : disk });
          assert.equal(run.end, 1);
          assert.match(run.stderr, new RegExp(`is full.*${code}`));
          assert.deepEqual(await listed({ BACKUP_URL: `file://${disk}` }), []);
          assert.deepEqual(await readdir(disk), [], 'the room is given back');
        } finally {
          execFileSync('umount', [disk]);
        }
        await unharmed();
      });
    }

    it('because the store is not mounted', async () => {
      const run = await site.klar(['backup'], { BACKUP_URL: `file://${site.folder('nowhere')}` });
      assert.equal(run.end, 1);
      assert.match(run.stderr, /is not there: mount the volume/);
      await assert.rejects(stat(site.folder('nowhere')), { code: 'ENOENT' });
      await unharmed();
    });
  });

  describe('keeps the password off the command line', () => {
    /** What `ps` shows of a program while a command of ours runs it. */
    async function shown(program: string, running: ReturnType<BackupSite['start']>): Promise<string> {
      let seen = '';
      const look = async () => {
        for (const pid of childrenOf(running.child.pid, program)) {
          seen += (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
        }
        return seen.includes('--dbname');
      };
      await until(look, { timeoutMs: 60_000, everyMs: 2, what: `${program} runs` });
      const { end, stderr } = await running.ended;
      assert.equal(end, 0, stderr);
      return seen;
    }
    /** With the password among its parameters, as some providers print it. */
    const asParameter = (url: string) => {
      const changed = new URL(url);
      changed.searchParams.set('password', decodeURIComponent(changed.password));
      changed.password = '';
      return changed.href;
    };

    it('of pg_dump', async () => {
      const plain = site.env.DATABASE_DIRECT_URL ?? '';
      for (const url of [plain, asParameter(plain)]) {
        const seen = await shown('pg_dump', site.start(['backup'], { DATABASE_DIRECT_URL: url }));
        assert.match(seen, /klar_backup_a@/);
        assert.doesNotMatch(seen, /test-only-password|password=/);
      }
    });

    it('of pg_restore', async () => {
      const url = asParameter(site.server.superuserUrl);
      const words = ['restore-verify', '--allow-production-server'];
      const seen = await shown('pg_restore', site.start(words, { RESTORE_VERIFY_DATABASE_URL: url }));
      assert.match(seen, /klar_verify_/);
      assert.doesNotMatch(seen, /password=/);
    });
  });
});

/** Processes below `parent` whose name is `name`. */
function childrenOf(parent: number | undefined, name: string): number[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,comm=']).toString().trim().split('\n');
  const all = rows.map((row) => row.trim().split(/\s+/));
  const below = new Set([String(parent)]);
  for (let size = 0; size !== below.size; ) {
    size = below.size;
    for (const [pid, ppid] of all) if (below.has(String(ppid))) below.add(String(pid));
  }
  return all.filter(([pid, , comm]) => below.has(String(pid)) && comm === name).map(([pid]) => Number(pid));
}
