import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { RESTORE_FAILURES, type RestoreFailureCode, type RestoreProof } from '#domain/operations/backups/index.ts';
import { type BackupSite, openBackupSite } from '../support/backup.ts';
import { once, startOwnPostgres, type TestServer, withDatabase } from '../support/database.ts';
import { type BackupForge, openForge } from '../support/restore.ts';
import { until } from '../support/until.ts';

const RESTORER =
  'create role restorer login createdb bypassrls password $$pw$$; grant klar_owner, klar_api to restorer';

/** Needs PostgreSQL with its programs (Debian: apt-get install postgresql). */
describe('klar restore-verify', () => {
  let site: BackupSite;
  let other: TestServer;
  let forge: BackupForge;
  let good: string;
  const leftovers = () => once(other.superuserUrl, `select datname from pg_database where datname like 'klar\\_%'`);
  const atWork = async () => (await leftovers()).length === 1 || undefined;
  const proofs = () =>
    site.database.asSuperuser<{ backup_id: string; ok: boolean; rto_seconds: number; rpo_seconds: number }>(
      'select backup_id, ok, rto_seconds, rpo_seconds from ops.restore_proofs order by finished_at',
    );

  before(async () => {
    [site, other] = await Promise.all([openBackupSite({ rows: 50 }), startOther()]);
    forge = openForge(site);
    good = await forge.take();
  });
  after(async () => {
    await Promise.all([site.close(), other.close()]);
  });

  const startOther = async () => {
    const { systemPostgres } = await import('../support/backup.ts');
    return startOwnPostgres({ durable: false, binDir: systemPostgres() });
  };

  it('proves a backup on a server that has nothing but a superuser', async () => {
    const proof = await forge.verify(other.superuserUrl);
    assert.deepEqual(
      proof.checks.filter((check) => !check.ok),
      [],
    );
    assert.equal(proof.backupId, good);
    assert.equal(proof.checks.length, 12);
    assert.deepEqual(await leftovers(), []);
  });

  it('records the proof with RTO and RPO, by a login that is no superuser, of an encrypted backup', async () => {
    const identity = await generateIdentity();
    const made = await site.klar(['backup', '--json'], { BACKUP_ENCRYPT_TO: await identityToRecipient(identity) });
    const { id } = JSON.parse(made.stdout).detail;
    for (const sql of RESTORER.split('; ')) await once(other.superuserUrl, sql);
    const url = new URL(other.superuserUrl);
    [url.username, url.password] = ['restorer', 'pw'];
    const env = { RESTORE_VERIFY_DATABASE_URL: url.href, BACKUP_IDENTITY: identity };
    const { end, stdout, stderr } = await site.klar(['restore-verify'], env);
    assert.equal(end, 0, stdout + stderr);
    assert.match(stdout, /RTO \d+\.\d s/);
    assert.match(stdout, /RPO \d+\.\d s/);
    const [proof] = await proofs();
    assert.equal(proof?.backup_id, id);
    assert.equal(proof?.ok, true);
    assert.ok((proof?.rto_seconds ?? 0) > 0 && (proof?.rpo_seconds ?? 0) > 0);
    const runs = await site.database.asSuperuser(`select status from ops.task_runs where task = 'restore-verify'`);
    assert.deepEqual(runs, [{ status: 'succeeded' }]);
    assert.deepEqual(await leftovers(), []);
    await forge.remove(id);
  });

  describe('is red', () => {
    const forged: string[] = [];
    const make = async (...args: Parameters<BackupForge['forge']>) => {
      const id = await forge.forge(...args);
      forged.push(id);
      return id;
    };
    const red = async (code: RestoreFailureCode, says: RegExp, backup?: string): Promise<RestoreProof> => {
      const proof = await forge.verify(other.superuserUrl, backup);
      assert.equal(proof.failure?.code, code, JSON.stringify(proof.failure ?? proof.checks));
      assert.match(proof.failure?.detail ?? '', says);
      assert.equal(proof.ok, false);
      assert.equal(proof.rtoSeconds, null);
      assert.deepEqual(await leftovers(), []);
      return proof;
    };
    afterEach(async () => {
      for (const id of forged.splice(0)) await forge.remove(id);
    });

    it('for a truncated part', async () => {
      const id = await make(good);
      await forge.cutOff(id, await forge.largest(id));
      await red('backup_part_truncated', /of \d+ bytes: it was cut off/);
    });

    it('for a flipped byte', async () => {
      const id = await make(good);
      await forge.flipByte(id, await forge.largest(id));
      await red('backup_part_changed', /SHA-256 differs/);
    });

    it('for a missing part', async () => {
      const id = await make(good);
      const name = await forge.largest(id);
      await forge.unlink(id, (file) => file === name);
      await red('backup_part_missing', /parts that the manifest names/);
    });

    it('for a manifest without a dump', async () => {
      const id = await make(good);
      await forge.unlink(id, (file) => file !== 'manifest.json');
      await red('backup_dump_missing', /none of its parts is there/);
    });

    it('for a dump without a manifest, when it is named; else the last good one is the newest', async () => {
      const id = await make(good);
      await forge.unlink(id, (file) => file === 'manifest.json');
      await red('backup_manifest_missing', /manifest/, id);
      assert.equal((await forge.verify(other.superuserUrl)).backupId, good);
    });

    it('for an empty dump', async () => {
      await once(site.server.superuserUrl, 'create database empty_one');
      const id = await make(good, (body) => body);
      await forge.unlink(id, () => true);
      const folder = path.dirname(await forge.file(id, 'toc.dat'));
      await rm(folder, { recursive: true });
      execFileSync(`${site.bin}/pg_dump`, ['-Fd', '-f', folder, withDatabase(site.server.superuserUrl, 'empty_one')]);
      await seal(folder, id);
      await red('restore_dump_empty', /holds not one table/);
    });

    it('for a dump of another schema version', async () => {
      const { schema_version: now } = await forge.manifest(good);
      await make(good, (body) => ({ ...body, schema_version: now - 1 }));
      await red('proof_schema_version', new RegExp(`holds schema version ${now}, its manifest says ${now - 1}`));
    });

    it('for a schema version that this build does not know', async () => {
      await once(site.server.superuserUrl, `insert into ops.migrations (name, run_on) values ('9999_future', now())`);
      forged.push(await forge.take());
      await once(site.server.superuserUrl, `delete from ops.migrations where name = '9999_future'`);
      await red('proof_schema_newer', /version 9999; this build knows up to/);
    });

    it('for a row changed in one tenant', async () => {
      const rename = (name: string) =>
        once(site.server.superuserUrl, `update app.tenants set name = '${name}' where tenant_id = 'ten_2'`);
      const before = await forge.manifest(good);
      await rename('School 3');
      const changed = await forge.take();
      await rename('School 2');
      forged.push(changed);
      // Only what belongs to tenants: the rows of task runs differ by themselves.
      const tables = before.tables.filter((table) => table.schema === 'app');
      await make(changed, (body) => ({
        ...body,
        tables: [...tables, ...body.tables.filter((table) => table.schema !== 'app')],
      }));
      await red('proof_content', /app\.tenants: 3 rows as expected, but what is in them differs/);
    });

    it('for row level security that is off in the dump', async () => {
      const rls = (word: string) => once(site.server.superuserUrl, `alter table app.orders ${word} row level security`);
      await rls('disable');
      forged.push(await forge.take());
      await rls('enable');
      const proof = await red('proof_rls', /app\.orders needs ENABLE and FORCE ROW LEVEL SECURITY/);
      // And what that means: a school would see the orders of the other one.
      const tenants = proof.checks.find((check) => check.code === 'proof_tenants');
      assert.match(tenants?.detail ?? '', /sees 15 rows of other tenants in app\.orders/);
    });

    it('on the command line, with an exit code of its own and a row that says so', async () => {
      const id = await make(good);
      await forge.flipByte(id, await forge.largest(id));
      const env = { RESTORE_VERIFY_DATABASE_URL: other.superuserUrl };
      const { end, stderr } = await site.klar(['restore-verify', '--json'], env);
      assert.equal(end, RESTORE_FAILURES.backup_part_changed.exit);
      assert.match(stderr, /"code":"backup_part_changed"/);
      const last = (await proofs()).at(-1);
      assert.deepEqual([last?.backup_id, last?.ok, last?.rto_seconds], [id, false, null]);
    });
  });

  it("refuses production's own server unless told so", async () => {
    const env = { RESTORE_VERIFY_DATABASE_URL: site.server.superuserUrl };
    const { end, stderr } = await site.klar(['restore-verify'], env);
    assert.equal(end, RESTORE_FAILURES.restore_target_production.exit);
    assert.match(stderr, /is production's own .*--allow-production-server/);
    const allowed = await site.klar(['restore-verify', '--allow-production-server'], env);
    assert.equal(allowed.end, 0, allowed.stderr);
  });

  it('says what it lacks when it is not let in where runs see each other', async () => {
    await once(other.superuserUrl, `create role outsider login createdb bypassrls password 'pw'`);
    await once(other.superuserUrl, 'create database let_in');
    await once(other.superuserUrl, 'revoke connect on database postgres from public');
    const url = new URL(withDatabase(other.superuserUrl, 'let_in'));
    [url.username, url.password] = ['outsider', 'pw'];
    const { end, stderr } = await site.klar(['restore-verify'], { RESTORE_VERIFY_DATABASE_URL: url.href });
    await once(other.superuserUrl, 'grant connect on database postgres to public');
    assert.equal(end, RESTORE_FAILURES.restore_target_unfit.exit, stderr);
    assert.match(stderr, /grant connect on database postgres to it/);
  });

  it('drops what a killed run left, and nothing that is at work, whatever databases the URLs of the two name', async () => {
    await once(other.superuserUrl, 'create database maintenance');
    const env = { RESTORE_VERIFY_DATABASE_URL: withDatabase(other.superuserUrl, 'maintenance') };
    const { child, ended } = site.start(['restore-verify'], env);
    await until(atWork, { timeoutMs: 30_000, what: 'a database of a run' });
    // It stands still as it would on a slow server, and its session with it.
    child.kill('SIGSTOP');
    const [work] = await leftovers();
    const beside = await forge.verify(other.superuserUrl);
    assert.equal(beside.ok, true, String(beside.failure));
    assert.deepEqual(await leftovers(), [work]);
    child.kill('SIGKILL');
    await ended;
    await once(other.superuserUrl, 'create database klar_verify_of_a_killed_run');
    const next = await forge.verify(other.superuserUrl);
    assert.equal(next.ok, true, String(next.failure));
    assert.deepEqual(await leftovers(), []);
  });

  it('drops its database when it is told to stop', async () => {
    const before = await proofs();
    const { child, ended } = site.start(['restore-verify'], { RESTORE_VERIFY_DATABASE_URL: other.superuserUrl });
    await until(atWork, { timeoutMs: 30_000, what: 'a database of a run' });
    child.kill('SIGTERM');
    assert.notEqual((await ended).end, 0);
    assert.deepEqual(await leftovers(), []);
    assert.deepEqual(await proofs(), before, 'a drained node says nothing of the backup');
  });

  /** Writes a manifest for whatever lies in a folder. */
  async function seal(folder: string, id: string): Promise<void> {
    const { writeFile } = await import('node:fs/promises');
    const { sealManifest } = await import('#domain/operations/backups/index.ts');
    const { manifest_sha256: _, ...body } = await forge.manifest(good);
    const parts = await Promise.all(
      (await readdir(folder)).map(async (name) => {
        const bytes = await readFile(path.join(folder, name));
        return { name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
      }),
    );
    await writeFile(path.join(folder, 'manifest.json'), JSON.stringify(sealManifest({ ...body, id, parts })));
  }
});
