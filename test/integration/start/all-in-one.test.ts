import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isAlive, readPostmasterFile } from '../../../services/all-in-one/postmaster.ts';
import { freePorts, type KlarProcess, startProcess } from '../../support/process.ts';
import { until } from '../../support/until.ts';

const CARD = 'npm run klar -- --help';

describe('npm start', function () {
  this.timeout(120_000);
  let folder: string;
  let dataDir: string;
  let env: Record<string, string>;
  const running: KlarProcess[] = [];
  /** The one that the later tests kill and stop. */
  let serving: KlarProcess | undefined;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-aio-'));
    await chmod(folder, 0o755);
    dataDir = path.join(folder, 'data');
    const [port, admin, sandbox, mail] = await freePorts(4);
    env = {
      KLAR_DATA_DIR: dataDir,
      PORT: `${port}`,
      ADMIN_PORT: `${admin}`,
      SANDBOX_PORT: `${sandbox}`,
      SANDBOX_MAIL_PORT: `${mail}`,
    };
  });
  after(async () => {
    await Promise.all(running.map((process) => process.kill()));
    const postgres = await readPostmasterFile(path.join(dataDir, 'pg'));
    if (postgres && isAlive(postgres.pid)) process.kill(postgres.pid, 'SIGQUIT');
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
  });

  function start(args: string[] = [], more: Record<string, string> = {}): KlarProcess {
    const process = startProcess('services/all-in-one/main.ts', { ...env, ...more }, args);
    running.push(process);
    return process;
  }
  const card = (klar: KlarProcess) => {
    const ended = klar.exited.then((code) => {
      throw new Error(`ended with ${code} before its card:\n${klar.output()}`);
    });
    ended.catch(() => {}); // it also ends after its card, which is not this promise's matter
    return Promise.race([until(() => klar.output().includes(CARD), { timeoutMs: 60_000, what: 'the card' }), ended]);
  };

  it('says which setting to change when the port is taken, and leaves nothing behind', async () => {
    const blocker = createServer().listen(Number(env.PORT));
    await new Promise((resolve) => blocker.once('listening', resolve));
    try {
      const klar = start();
      assert.equal(await klar.exited, 1);
      assert.match(klar.output(), new RegExp(`Port ${env.PORT} \\(PORT\\) is taken[\\s\\S]*PORT=\\d+ npm start`));
      assert.deepEqual(await readdir(dataDir), []);
    } finally {
      blocker.close();
    }
  });

  it('lists all wrong settings at once and exits 78', async () => {
    const klar = start([], { PORT: 'x', KLAR_PROFILE: 'production', MVP_WORKER_ENABLED: '1', CORS_ALLOW_ORIGINS: '*' });
    assert.equal(await klar.exited, 78);
    for (const name of ['PORT', 'NODE_ENV', 'MVP_WORKER_ENABLED', 'CORS_ALLOW_ORIGINS', 'KLAR_PROFILE']) {
      assert.match(klar.output(), new RegExp(`${name}: `));
    }
  });

  it('takes no option it does not know', async () => {
    const klar = start(['--frehs']);
    assert.equal(await klar.exited, 64);
    assert.match(klar.output(), /--frehs[\s\S]*--fresh/);
  });

  it('stopped in the middle of its start leaves no server and no lock', async () => {
    const klar = start();
    await until(() => existsSync(path.join(dataDir, 'pg', 'PG_VERSION')) || klar.output().includes('embedded'), {
      timeoutMs: 30_000,
    });
    klar.child.kill('SIGINT');
    assert.equal(await klar.exited, 0, klar.output());
    assert.deepEqual(
      (await readdir(dataDir)).filter((name) => name === 'lock' || name.includes('.new')),
      [],
    );
    const postgres = await readPostmasterFile(path.join(dataDir, 'pg'));
    assert.equal(postgres !== undefined && isAlive(postgres.pid), false);
  });

  it('shows steps and a card, keeps its secrets to itself, and serves everything on one port', async () => {
    const klar = start();
    serving = klar;
    await card(klar);
    for (const word of [
      'PostgreSQL',
      'Roles and schema',
      'Sandbox',
      'Worker',
      'Webhook ingest',
      'API',
      'Demo school',
      'teacher@demo.test',
      'student@demo.test',
    ]) {
      assert.ok(klar.output().includes(word), word);
    }
    assert.ok(!klar.output().includes('Note:'), klar.output());
    for (const name of await readdir(path.join(dataDir, 'secrets'))) {
      const file = path.join(dataDir, 'secrets', name, 'current');
      assert.equal((await stat(file)).mode & 0o777, 0o600, name);
      const value = (await readFile(file, 'utf8')).trim();
      if (name !== 'DEMO_PASSWORD')
        assert.ok(!klar.output().includes(value.split('\n')[1] ?? value), `${name} is in the output`);
    }
    const base = `http://127.0.0.1:${env.PORT}`;
    assert.equal((await fetch(`${base}/api/ready`)).status, 200);
    const forged = await fetch(`${base}/api/billing/stripe/webhook`, { method: 'POST', body: '{}' });
    assert.equal(forged.status, 400);
    const admin = `http://127.0.0.1:${env.ADMIN_PORT}`;
    for (const page of ['livez', 'readyz', 'metrics', 'versionz'])
      assert.equal((await fetch(`${admin}/${page}`)).status, 200, page);
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    for (const part of ['klar_http_', 'klar_ingest_', 'klar_db_', 'process_resident_memory_bytes'])
      assert.ok(metrics.includes(part), part);

    const second = start([], { PORT: '0' });
    assert.equal(await second.exited, 1);
    assert.match(second.output(), new RegExp(`already runs on this folder \\(pid ${klar.pid}`));
  });

  it('goes on after kill -9 with the same secrets, logins and data, past the server it left', async () => {
    const before = await readFile(path.join(dataDir, 'secrets', 'AUTH_SECRET', 'current'), 'utf8');
    const orphan = await readPostmasterFile(path.join(dataDir, 'pg'));
    await serving?.kill();
    assert.ok(orphan && isAlive(orphan.pid), 'the server outlives a killed parent');
    const klar = start();
    serving = klar;
    await card(klar);
    assert.match(klar.output(), /removed the lock of an earlier run/);
    assert.match(klar.output(), /PostgreSQL of an earlier run is still there/);
    assert.match(klar.output(), /Roles and schema \(nothing to do\)/);
    assert.ok(!klar.output().includes('Note:'), klar.output());
    assert.equal(await readFile(path.join(dataDir, 'secrets', 'AUTH_SECRET', 'current'), 'utf8'), before);
  });

  it('stops everything in order on Ctrl-C, which npm sends twice', async () => {
    const klar = serving;
    const postgres = await readPostmasterFile(path.join(dataDir, 'pg'));
    klar?.child.kill('SIGINT');
    klar?.child.kill('SIGINT');
    assert.equal(await klar?.exited, 0);
    const stopped = [...(klar?.output().matchAll(/"msg":"stopped","process":"([a-z-]+)"/g) ?? [])].map(
      (match) => match[1],
    );
    assert.deepEqual(new Set(stopped.slice(0, 2)), new Set(['api', 'webhook-ingest']));
    assert.deepEqual(stopped.slice(2), ['worker', 'all-in-one']);
    assert.equal(isAlive(postgres?.pid ?? 0), false);
    assert.ok(!existsSync(path.join(dataDir, 'lock')));
    const log = await readFile(path.join(dataDir, 'pg', 'klar_server.log'), 'utf8');
    assert.match(log, /database system is shut down/);
  });

  it('--fresh starts over', async () => {
    const before = await readFile(path.join(dataDir, 'secrets', 'AUTH_SECRET', 'current'), 'utf8');
    const klar = start(['--fresh', '--no-demo'], { KLAR_WORKER_ENABLED: 'false' });
    await card(klar);
    assert.match(klar.output(), /migrations applied/);
    assert.match(klar.output(), /no worker runs here/);
    assert.ok(!klar.output().includes('✓ Worker'));
    assert.notEqual(await readFile(path.join(dataDir, 'secrets', 'AUTH_SECRET', 'current'), 'utf8'), before);
    await klar.stop();
  });

  it('answers a full disk with what to do', async () => {
    if (process.getuid?.() !== 0 || process.platform !== 'linux') return; // needs a file system of its own
    const small = path.join(folder, 'small');
    execFileSync('mkdir', ['-p', small]);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=755', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      return; // a container that may not mount
    }
    try {
      const klar = start([], { KLAR_DATA_DIR: path.join(small, 'data') });
      assert.equal(await klar.exited, 1);
      assert.match(klar.output(), /disk that holds .* is full[\s\S]*Free some space/);
      assert.ok(!existsSync(path.join(small, 'data', 'lock')));
    } finally {
      execFileSync('umount', [small]);
    }
  });
});
