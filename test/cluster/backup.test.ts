import assert from 'node:assert/strict';
import { RESTORE_FAILURES, type RestoreFailureCode } from '#domain/operations/backups/index.ts';
import {
  cronJobName,
  exitCode,
  jobLog,
  killPod,
  removeTaskJobs,
  startedPod,
  taskJob,
  type Workbench,
  workbench,
} from './support/backup-pods.ts';
import { clusterSettings, installation, jobEnd, psql, sql } from './support/index.ts';
import { type Faults, type S3Bench, s3Bench } from './support/s3-in-pod.ts';
import { assertKept, assertNoneFailed, underLoad } from './support/under-load.ts';

const STORE = '/var/lib/klar/backups';
const BACKUP = cronJobName('backup');
const VERIFY = cronJobName('restore-verify');
const say = (text: string) => process.stdout.write(`      ${text}\n`);

/** Numbers from 0 to 1 that a seed repeats. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

describe('backup and its proof', () => {
  let writer: Workbench;
  let reader: Workbench;
  before(async () => {
    await installation();
    await removeTaskJobs();
    [writer, reader] = await Promise.all([workbench(BACKUP, 'bench-backup'), workbench(VERIFY, 'bench-verify')]);
  });
  after(() => removeTaskJobs());

  const newest = async (): Promise<string> => {
    const { code, stdout, stderr } = await writer.klar('backups', 'show', '--json');
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { id: string }).id;
  };
  const backupNow = async (): Promise<string> => {
    const { code, stdout, stderr } = await writer.klar('backup', '--json');
    assert.equal(code, 0, stderr);
    return (JSON.parse(stdout) as { detail: { id: string } }).detail.id;
  };

  it('is green under load, and says RTO and RPO', async () => {
    const { outcome } = await underLoad(clusterSettings().full ? 120 : 45, async (during) => {
      for (const [name, cronJob, job] of [
        ['backup', BACKUP, 'backup-under-load'],
        ['restore-verify', VERIFY, 'verify-under-load'],
      ] as const) {
        await during(name, async () => {
          await taskJob(cronJob, job);
          assert.equal(await jobEnd(job), 'complete', await jobLog(job));
        });
      }
    });
    const log = await jobLog('verify-under-load');
    for (const line of log.split('\n').filter((text) => /^(RTO|RPO)|^ +(ok|RED)/.test(text))) say(line);
    assert.match(log, /^RTO /m);
    assert.match(log, /^RPO /m);
    assertKept(outcome);
    assertNoneFailed(outcome);
    const [proof] = await sql<{ backup_id: string; ok: boolean; rto: number; rpo: number }>(
      'select backup_id, ok, rto_seconds as rto, rpo_seconds as rpo from ops.restore_proofs order by finished_at desc limit 1',
    );
    assert.deepEqual([proof?.backup_id, proof?.ok], [await newest(), true]);
    assert.ok((proof?.rto ?? 0) > 0 && (proof?.rpo ?? 0) > 0);
    assert.deepEqual(await sql(`select datname from pg_database where datname like 'klar\\_verify%'`), []);
  });

  describe('is red', () => {
    let good: string;
    let count = 0;
    const made: string[] = [];
    before(async () => {
      good = await backupNow();
    });
    /** A copy of a backup under a newer id, whose manifest fits again after `change` (an expression of `body`). */
    const forge = async (from: string, change = 'body'): Promise<string> => {
      count += 1;
      const id = `20990101T0000${String(count).padStart(2, '0')}Z-00f04e`;
      made.push(id);
      await reader.sh(`cp -r ${STORE}/${from} ${STORE}/${id}; chmod -R u+w ${STORE}/${id}`);
      await reader.node(`
        import { readFileSync, writeFileSync } from 'node:fs';
        const { sealManifest } = await import('/app/services/domain/operations/backups/manifest.ts');
        const file = '${STORE}/${id}/manifest.json';
        const { manifest_sha256, ...body } = JSON.parse(readFileSync(file, 'utf8'));
        writeFileSync(file, JSON.stringify(sealManifest({ ...(${change}), id: '${id}' })));`);
      return id;
    };
    const inFolder = (id: string, script: string) => reader.sh(`cd ${STORE}/${id}; ${script}`);
    const red = async (code: RestoreFailureCode, says: RegExp, ...words: string[]) => {
      const run = await reader.klar('restore-verify', '--allow-production-server', ...words);
      assert.equal(run.code, RESTORE_FAILURES[code].exit, run.stdout + run.stderr);
      // kubectl adds a line of its own.
      const told = run.stderr.split('\n').findLast((line) => line.endsWith(`(${code})`)) ?? run.stderr;
      assert.match(told, says);
      say(told);
      assert.deepEqual(await sql(`select datname from pg_database where datname like 'klar\\_verify%'`), []);
    };
    afterEach(async () => {
      const ids = made.splice(0).map((id) => `${STORE}/${id}`);
      if (ids.length > 0) await reader.sh(`chmod -R u+w ${ids.join(' ')}; rm -rf ${ids.join(' ')}`);
      assert.equal(await newest(), good);
    });

    it('for a truncated part', async () => {
      const id = await forge(good);
      await inFolder(id, 'truncate -s -1 toc.dat');
      await red('backup_part_truncated', /it was cut off/);
    });

    it('for a flipped byte', async () => {
      const id = await forge(good);
      await reader.node(`
        import { readFileSync, writeFileSync } from 'node:fs';
        const file = '${STORE}/${id}/toc.dat';
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1] ^= 1;
        writeFileSync(file, bytes);`);
      await red('backup_part_changed', /SHA-256 differs/);
    });

    it('for a missing part', async () => {
      const id = await forge(good);
      await inFolder(id, 'rm "$(ls *.dat.gz | head -n 1)"');
      await red('backup_part_missing', /parts that the manifest names/);
    });

    it('for an empty dump', async () => {
      const id = await forge(good);
      // A dump of a database in which nothing is, with a manifest that fits its parts.
      await inFolder(id, 'ls | grep -v manifest.json | xargs rm');
      await reader.node(`
        import { execFileSync } from 'node:child_process';
        import { createHash } from 'node:crypto';
        import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
        const { sealManifest } = await import('/app/services/domain/operations/backups/manifest.ts');
        const url = new URL(readFileSync('/etc/klar/secrets/RESTORE_VERIFY_DATABASE_URL/current', 'utf8').trim());
        url.pathname = '/template1';
        const [folder, dump] = ['${STORE}/${id}', '/var/lib/klar/work/empty'];
        execFileSync('pg_dump', ['-Fd', '-f', dump, '--dbname', url.href]);
        const parts = readdirSync(dump).map((name) => {
          const bytes = readFileSync(dump + '/' + name);
          writeFileSync(folder + '/' + name, bytes);
          return { name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
        });
        const { manifest_sha256, ...body } = JSON.parse(readFileSync(folder + '/manifest.json', 'utf8'));
        writeFileSync(folder + '/manifest.json', JSON.stringify(sealManifest({ ...body, parts })));`);
      await reader.sh('rm -r /var/lib/klar/work/empty');
      await red('restore_dump_empty', /holds not one table/);
    });

    it('for a manifest without a dump', async () => {
      const id = await forge(good);
      await inFolder(id, 'ls | grep -v manifest.json | xargs rm');
      await red('backup_dump_missing', /none of its parts is there/);
    });

    it('for a dump without a manifest', async () => {
      const id = await forge(good);
      await inFolder(id, 'rm manifest.json');
      await red('backup_manifest_missing', /manifest/, '--backup', id);
    });

    it('for another schema version', async () => {
      await forge(good, '{ ...body, schema_version: body.schema_version - 1 }');
      await red('proof_schema_version', /holds schema version \d+, its manifest says \d+/);
    });

    it('for a row changed in one tenant', async () => {
      const rename = (sign: string) =>
        psql(
          `update app.tenants set name = name || '${sign}' where tenant_id = (select min(tenant_id) from app.tenants)`,
        );
      // Two backups of the same rows but one: the younger dump, with what the older manifest says of the tenants' tables.
      const before = await backupNow();
      await rename('!');
      const after = await backupNow();
      await psql(`update app.tenants set name = rtrim(name, '!')`);
      made.push(before, after);
      await forge(
        after,
        `{ ...body, tables: [...body.tables.filter((t) => t.schema !== 'app'),
          ...JSON.parse(readFileSync('${STORE}/${before}/manifest.json', 'utf8')).tables.filter((t) => t.schema === 'app')] }`,
      );
      await red('proof_content', /app\.tenants: \d+ rows as expected, but what is in them differs/);
    });

    it('for row level security that is switched off in the dump', async () => {
      await psql('alter table app.orders disable row level security');
      try {
        made.push(await backupNow());
      } finally {
        await psql('alter table app.orders enable row level security');
      }
      await red('proof_rls', /app\.orders needs ENABLE and FORCE ROW LEVEL SECURITY/);
    });
  });

  it('killed at random moments, leaves the last good backup the newest', async () => {
    const { full, seed } = clusterSettings();
    const next = random(seed);
    const kills = full ? 20 : 3;
    const from = performance.now();
    await taskJob(BACKUP, 'backup-timed');
    await startedPod('backup-timed');
    assert.equal(await jobEnd('backup-timed'), 'complete', await jobLog('backup-timed'));
    const longest = performance.now() - from;
    let last = await newest();
    let cut = 0;
    for (let n = 1; n <= kills; n += 1) {
      const job = `backup-killed-${n}`;
      await taskJob(BACKUP, job);
      const pod = await startedPod(job);
      await new Promise((resolve) => setTimeout(resolve, next() * longest));
      await killPod(pod.metadata.name);
      const now = await newest();
      if (now === last) cut += 1;
      // It came through before the kill: then it has to be whole.
      else assert.equal((await reader.klar('restore-verify', '--allow-production-server')).code, 0);
      last = now;
    }
    assert.ok(cut > 0, 'not one kill came before the commit');
    say(
      `${kills} kills over ${(longest / 1000).toFixed(1)} s: ${cut} before the commit, ${kills - cut} after; newest is whole`,
    );
    const proven = await reader.klar('restore-verify', '--allow-production-server');
    assert.equal(proven.code, 0, proven.stdout + proven.stderr);
    await taskJob(BACKUP, 'backup-after-kills');
    assert.equal(await jobEnd('backup-after-kills'), 'complete', await jobLog('backup-after-kills'));
  });

  it('survives a full work disk and a full store, and says which it was', async () => {
    const last = await newest();
    const full = [
      ['work', 'backup_work_full'],
      ['backups', 'backup_store_full'],
    ] as const;
    for (const [volume, code] of full) {
      const job = `backup-full-${volume}`;
      await taskJob(BACKUP, job, (pod) => {
        pod.volumes = pod.volumes.map((each) =>
          each.name === volume ? { name: volume, emptyDir: { medium: 'Memory', sizeLimit: '64Ki' } } : each,
        );
      });
      assert.equal(await jobEnd(job), 'failed');
      const log = await jobLog(job);
      assert.match(log, new RegExp(code), log);
      say(`${volume}: exit ${await exitCode(job)}, ${log.trim().split('\n').at(-1)}`);
    }
    assert.equal(await newest(), last);
  });

  describe('in an S3 store', () => {
    let s3: S3Bench;
    let last: string;
    before(async () => {
      s3 = await s3Bench();
      await s3.faults('none');
    });
    afterEach(() => s3.faults('none'));

    const backup = async () => {
      const run = await s3.klar('backup', '--json');
      return { ...run, id: run.code === 0 ? (JSON.parse(run.stdout) as { detail: { id: string } }).detail.id : '' };
    };
    const newestThere = async () => {
      const { code, stdout, stderr } = await s3.klar('backups', 'show', '--json');
      assert.equal(code, 0, stderr);
      return (JSON.parse(stdout) as { id: string }).id;
    };
    const verify = () => s3.klar('restore-verify', '--allow-production-server');

    const passing: [string, Faults][] = [
      ['answers 500 now and then', { kind: 'fail', every: 9, from: 2 }],
      ['cuts off now and then', { kind: 'cut', every: 9, from: 2 }],
      ['stalls once', { kind: 'stall', every: 1, from: 12, times: 1 }],
    ];
    for (const [what, faults] of passing) {
      it(`that ${what}, a backup is made and proven`, async () => {
        await s3.faults(faults);
        const from = performance.now();
        const { code, id, stdout, stderr } = await backup();
        assert.equal(code, 0, stdout + stderr);
        const proven = await verify();
        assert.equal(proven.code, 0, proven.stdout + proven.stderr);
        say(`${what}: made and proven in ${((performance.now() - from) / 1000).toFixed(1)} s`);
        last = id;
        assert.equal(await newestThere(), last);
      });
    }

    it('that dies in the middle, a backup fails, and the last good one stays the newest', async () => {
      await s3.faults({ kind: 'cut', every: 1, from: 20 });
      const { code, stderr } = await backup();
      assert.notEqual(code, 0);
      assert.match(stderr, /backup_store_/);
      await s3.faults('none');
      assert.equal(await newestThere(), last);
      const proven = await verify();
      assert.equal(proven.code, 0, proven.stdout + proven.stderr);
    });
  });
});
