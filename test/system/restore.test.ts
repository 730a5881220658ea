import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { RESTORE_FAILURES, type RestoreFailureCode } from '#domain/operations/backups/index.ts';
import { createDb, databaseReadiness } from '#platform/db/index.ts';
import { ensureRoles, inspectTarget } from '#platform/db/setup.ts';
import { createLifecycle, type Readiness } from '#platform/lifecycle/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type BackupSite, openBackupSite, systemPostgres } from '../support/backup.ts';
import {
  ensureTestRoles,
  once,
  startOwnPostgres,
  type TestServer,
  withDatabase,
  withLogin,
} from '../support/database.ts';
import { type BackupForge, openForge } from '../support/restore.ts';
import { until } from '../support/until.ts';

const PROMPT = /Type the name of the database \(klar\)/;

/** Needs PostgreSQL with its programs (Debian: apt-get install postgresql). */
describe('klar restore', () => {
  let site: BackupSite;
  /** Another machine, on which nothing of Klar has ever been. */
  let other: TestServer;
  let forge: BackupForge;
  let good: string;
  const target = (name: string) => withDatabase(other.superuserUrl, name);
  const restore = (name: string, ...words: string[]) =>
    site.klar(['restore', ...words], { DATABASE_URL_SUPERUSER: target(name) });
  const refused = (run: { end: number | string; stderr: string }, code: RestoreFailureCode) => {
    assert.equal(run.end, RESTORE_FAILURES[code].exit, run.stderr);
    assert.match(run.stderr, new RegExp(`\\(${code}\\)`));
  };

  before(async () => {
    [site, other] = await Promise.all([
      openBackupSite({ rows: 50 }),
      startOwnPostgres({ durable: false, binDir: systemPostgres() }),
    ]);
    forge = openForge(site);
    const taken = await site.klar(['backup', '--json']);
    assert.equal(taken.end, 0, taken.stderr);
    good = JSON.parse(taken.stdout).detail.id;
  });
  const people: ChildProcess[] = [];
  after(async () => {
    for (const child of people) child.kill('SIGKILL');
    await Promise.all([site.close(), other.close()]);
  });

  it('tells every step of a dry run and changes nothing', async () => {
    const { end, stdout, stderr } = await restore('klar', '--dry-run');
    assert.equal(end, 0, stderr);
    assert.match(stdout, new RegExp(`Backup ${good}: data of`));
    for (const word of ['make the database klar', 'SHA-256', 'open klar']) assert.ok(stdout.includes(word), stdout);
    assert.match(stdout, /Nothing was changed/);
    assert.equal((await inspectTarget(target('klar'))).exists, false);
    const roles = await once(other.superuserUrl, `select rolname from pg_roles where rolname like 'klar\\_%'`);
    assert.deepEqual(roles, []);
  });

  it('finds a damaged backup in a dry run', async () => {
    const id = await forge.forge(good);
    await forge.flipByte(id, await forge.largest(id));
    refused(await restore('klar', '--dry-run'), 'backup_part_changed');
    await forge.remove(id);
  });

  it('asks for the name of the database', async () => {
    for (const answer of ['postgres\n', undefined]) {
      const { code, stdout } = await typing(answer);
      assert.equal(code, RESTORE_FAILURES.restore_not_confirmed.exit, stdout);
      assert.match(stdout, PROMPT);
    }
    assert.equal((await inspectTarget(target('klar'))).exists, false);
  });

  it('waits for no answer when it was told to stop, before it asked too', async () => {
    for (const when of [/^manifest /m, PROMPT]) {
      let told = false;
      const { code, stdout } = await typing('', (said, child) => {
        if (!told && when.test(said)) told = child.kill('SIGTERM');
      });
      assert.equal(told, true);
      assert.equal(code, RESTORE_FAILURES.restore_stopped.exit, stdout);
    }
  });

  it('restores into a database that is not there, and says what comes next', async () => {
    const { code, stdout } = await typing('klar\n');
    assert.equal(code, 0, stdout);
    for (const word of ['RTO ', 'RPO ', 'klar roles ensure', 'klar schema check', 'stripe events resend']) {
      assert.ok(stdout.includes(word), stdout);
    }
    assert.deepEqual((await inspectTarget(target('klar'))).incomplete, undefined);
    await ensureTestRoles(target('klar'));
    assert.equal((await readiness('klar')).ok, true);
    const rows = await once(target('klar'), `select count(*)::int as n, sum(captured)::int as money from app.payments`);
    assert.deepEqual(rows, [{ n: 30, money: 46500 }]);
    const proofs = await once(target('klar'), 'select backup_id, ok from ops.restore_proofs');
    assert.deepEqual(proofs, [{ backup_id: good, ok: true }]);
  });

  it('gives a database that `klar schema check` takes for what the migrations make', async () => {
    const check = () => site.klar(['schema', 'check'], { DATABASE_URL_OPS: withLogin(target('klar'), 'klar_ops_a') });
    const same = await check();
    assert.equal(same.end, 0, same.stdout + same.stderr);
    // The same words, grouped in another way, are another rule.
    const rule = `alter table auth.people drop constraint people_email_check, add constraint people_email_check check`;
    const [kept] = await once(
      target('klar'),
      `select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'people_email_check'`,
    );
    await once(
      target('klar'),
      `${rule} (length(email) >= 3 and (length(email) <= 254 or email !~ '[A-Z[:cntrl:][:space:]]'))`,
    );
    assert.equal((await check()).end, 1);
    await once(target('klar'), `${rule} ${String(kept?.text).replace(/^CHECK/, '')}`);
    assert.equal((await check()).end, 0);
  });

  it('gives transaction numbers of the old server back, or rows would wait for them for years', async () => {
    const later = await once(
      target('klar'),
      `select 1 from app.audit_pending where xact >= pg_current_xact_id() limit 1`,
    );
    assert.deepEqual(later, []);
    assert.deepEqual(await once(target('klar'), `select distinct xact::text from app.audit_pending`), [{ xact: '3' }]);
  });

  it('refuses a database that is not empty, whatever is in it', async () => {
    refused(await restore('klar', '--yes'), 'restore_target_not_empty');
    await once(other.superuserUrl, 'create database theirs');
    await once(target('theirs'), 'create table notes (text text)');
    refused(await restore('theirs', '--yes', '--again'), 'restore_target_not_empty');
    assert.deepEqual((await inspectTarget(target('theirs'))).holds, ['table notes']);
  });

  it('refuses an unknown backup and a login that is no superuser', async () => {
    refused(await restore('empty', '--yes', '--backup', '20200101T000000Z-000000'), 'backup_object_missing');
    const url = withLogin(target('empty'), 'klar_migrator_a');
    await ensureTestRoles(other.superuserUrl);
    refused(await site.klar(['restore', '--yes'], { DATABASE_URL_SUPERUSER: url }), 'restore_target_unfit');
  });

  it('killed half-way, leaves what nobody can serve from, and begins again', async () => {
    const { child, ended } = site.start(['restore', '--yes'], { DATABASE_URL_SUPERUSER: target('half') });
    await until(async () => (await inspectTarget(target('half'))).incomplete, { timeoutMs: 30_000, what: 'the mark' });
    // While it works, nobody else begins; that it stands still changes nothing.
    child.kill('SIGSTOP');
    refused(await restore('half', '--yes', '--again'), 'restore_target_busy');
    child.kill('SIGKILL');
    await ended;
    // A deployment that starts meanwhile mends the roles and their rights; the database stays closed all the same.
    await ensureRoles({ superuserUrl: target('half') });
    const half = await readiness('half');
    assert.equal(half.ok, false);
    assert.equal(half.checks.schema?.ok, false);
    refused(await restore('half', '--yes'), 'restore_target_incomplete');
    const again = await restore('half', '--yes', '--again');
    assert.equal(again.end, 0, again.stdout + again.stderr);
    assert.equal((await readiness('half')).ok, true);
  });

  it('leaves a database closed whose content is not what was backed up', async () => {
    const id = await forge.forge(good, (body) => ({
      ...body,
      sums: body.sums.map((sum) => (sum.name === 'payments.captured' ? { ...sum, value: '1' } : sum)),
    }));
    const run = await restore('wrong', '--yes');
    await forge.remove(id);
    refused(run, 'proof_money');
    assert.match(run.stderr, /payments\.captured (SEK|USD): 1 were backed up, \d+ restored.* wrong stays closed/);
    assert.notEqual((await inspectTarget(target('wrong'))).incomplete, undefined);
  });

  /** What /readyz of an api that starts now would say. */
  async function readiness(name: string): Promise<Readiness> {
    const api = createDb({ url: withLogin(target(name), 'klar_api_a'), role: 'klar_api', poolSize: 1 });
    const lifecycle = createLifecycle({ log: silentLogger() });
    databaseReadiness(lifecycle, api);
    try {
      return await lifecycle.readiness();
    } finally {
      await api.close();
    }
  }

  /**
   * `klar restore`, and a person: who answers when asked, and whose terminal stays open meanwhile and afterwards.
   * `undefined` is the end of the input (^D).
   */
  function typing(answer: string | undefined, onSaid: (said: string, child: ChildProcess) => void = () => {}) {
    const child = spawn(process.execPath, ['services/cli/main.ts', 'restore'], {
      env: {
        PATH: `${site.bin}:${process.env.PATH}`,
        HOME: process.env.HOME,
        ...site.env,
        DATABASE_URL_SUPERUSER: target('klar'),
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    people.push(child);
    let stdout = '';
    let asked = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (said: string) => {
        stdout += said;
        onSaid(stdout, child);
        if (asked || !PROMPT.test(stdout)) return;
        asked = true;
        if (answer === undefined) child.stdin.end();
        else child.stdin.write(answer);
      });
    }
    child.stdin.on('error', () => {}); // of one that ended without reading: its exit code says more
    return new Promise<{ code: number | null; stdout: string }>((resolve) => {
      child.once('close', (code) => resolve({ code, stdout }));
    });
  }
});
