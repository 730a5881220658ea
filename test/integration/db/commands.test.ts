import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LOGIN_ROLES } from '#platform/db/setup.ts';
import { once, SERVER_URL, TEST_PASSWORD, withDatabase, withLogin } from '../../support/database.ts';
import { databaseName } from '../../support/postgres-server.ts';

const MAIN = path.resolve(import.meta.dirname, '../../../services/cli/main.ts');

/** `klar` as a person or a Job runs it: a process with an environment. */
function klar(args: string[], env: Record<string, string>): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      // Not what npm start may keep in this checkout.
      env: { PATH: process.env.PATH ?? '', KLAR_PROFILE: 'test', KLAR_DATA_DIR: '/nonexistent', ...env },
    });
    const text = { out: '', err: '' };
    child.stdout.on('data', (data) => {
      text.out += data;
    });
    child.stderr.on('data', (data) => {
      text.err += data;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...text }));
  });
}

describe('klar roles, migrate and schema', function () {
  this.timeout(60_000);
  const server = process.env[SERVER_URL] ?? '';
  const name = databaseName('c');
  const superuser = withDatabase(server, name);
  const migrator = { DATABASE_URL_MIGRATOR: withLogin(superuser, 'klar_migrator_a') };
  let passwords: string;
  before(async () => {
    await once(server, `create database ${name}`);
    passwords = await mkdtemp(path.join(tmpdir(), 'klar-passwords-'));
    for (const login of LOGIN_ROLES) await writeFile(path.join(passwords, login), `${TEST_PASSWORD}\n`);
  });
  after(async () => {
    await once(server, `drop database ${name} with (force)`);
    await rm(passwords, { recursive: true });
  });

  it('make a database from nothing, two of each at once, and again without a change', async () => {
    const roles = () =>
      klar(['roles', 'ensure', '--json', '--passwords', passwords], { DATABASE_URL_SUPERUSER: superuser });
    for (const { code, err } of await Promise.all([roles(), roles()])) assert.equal(code, 0, err);
    assert.deepEqual(JSON.parse((await roles()).out), { changes: [] });
    const migrate = () => klar(['migrate', '--json'], migrator);
    const results = await Promise.all([migrate(), migrate()]);
    for (const { code, err } of results) assert.equal(code, 0, err);
    assert.equal(results.filter(({ out }) => JSON.parse(out).applied.length > 0).length, 1);
    assert.deepEqual(JSON.parse((await migrate()).out), { applied: [], roles: [] });
  });

  it('find the database as committed, and notice when it is not', async () => {
    const check = () => klar(['schema', 'check', '--json'], { DATABASE_URL_OPS: withLogin(superuser, 'klar_ops_a') });
    const good = await check();
    assert.equal(good.code, 0, good.out);
    await once(superuser, 'alter table app.tenants no force row level security');
    const bad = await check();
    assert.equal(bad.code, 1);
    const { findings, differences } = JSON.parse(bad.out);
    assert.equal(findings[0].rule, 'tenant_table_without_forced_rls');
    assert.equal(differences[0].file, 'schema.sql');
  });

  it('say what is missing, and never a password', async () => {
    const none = await klar(['migrate'], {});
    assert.notEqual(none.code, 0);
    assert.match(none.err, /DATABASE_URL/);
    const wrong = await klar(['migrate'], {
      DATABASE_URL_MIGRATOR: migrator.DATABASE_URL_MIGRATOR.replace(TEST_PASSWORD, 'wrong-password'),
    });
    assert.equal(wrong.code, 1);
    assert.equal((wrong.out + wrong.err).includes('wrong-password'), false);
  });
});
