import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ConfigError } from '#platform/config/index.ts';
import { startSandbox } from '../../../services/sandbox/main.ts';
import { until } from '../../support/until.ts';
import { courseSession, type Rig, startReceiver, startRig, stripeAt } from './start-sandbox.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

describe('sandbox: state on disk', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'klar-sandbox-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('continues after a restart: objects, keys, clock, and what was not delivered', async () => {
    const stateFile = join(folder, 'deep', 'sandbox.json');
    const first = await startRig({ stateFile, webhookRetryMs: [60_000] });
    first.receiver.answer = () => 503;
    const session = await first.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'kept' });
    await first.control('POST', `/sandbox/checkout/${session.id}/pay`, {});
    await first.control('POST', '/sandbox/clock', { advance_s: 3600 });
    await until(() => first.receiver.received.length === 5);
    await first.stop();
    assert.equal((await stat(stateFile)).mode & 0o777, 0o600);

    const second = await startRig({ stateFile });
    try {
      assert.equal((await second.stripe.checkout.sessions.retrieve(session.id)).payment_status, 'paid');
      const again = await second.stripe.checkout.sessions.create(courseSession(), { idempotencyKey: 'kept' });
      assert.equal(again.id, session.id);
      await second.idle();
      assert.equal(new Set(second.receiver.received.map(({ event }) => event.id)).size, 5);
      const { body } = await second.control('GET', '/sandbox/clock');
      assert.ok(body.unix - Date.now() / 1000 > 3500);
    } finally {
      await second.stop();
    }
  });

  it('forgets nothing that was answered when it is killed, and survives a torn last line', async () => {
    const receiver = await startReceiver();
    const child = spawn(process.execPath, ['test/integration/sandbox/killable.ts', folder, receiver.url], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const made = await stripeAt(line.toString().trim()).customers.create({ name: 'kept' }, { idempotencyKey: 'kill' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await receiver.stop();
    const stateFile = join(folder, 'sandbox.json');
    await appendFile(stateFile, '{"k":"customers","r":{"id":"cus_to');
    const rig: Rig = await startRig({ stateFile });
    try {
      assert.equal((await rig.stripe.customers.retrieve(made.id)).id, made.id);
      assert.equal((await rig.stripe.customers.list()).data.length, 1);
    } finally {
      await rig.stop();
    }
    assert.equal((await readFile(stateFile, 'utf8')).includes('cus_to"'), false);
  });
});

describe('sandbox: where it may run', () => {
  for (const profile of ['staging', 'production']) {
    it(`refuses ${profile}`, async () => {
      const start = startSandbox({
        profile,
        port: 0,
        smtpPort: 0,
        webhookUrl: undefined,
        webhookSecret: () => 'whsec_x',
        stripeSecretKey: 'sk_test_x',
        clock: { now: () => new Date() },
        log: { info() {}, warn() {}, error() {} },
      });
      await assert.rejects(start, (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /KLAR_PROFILE/);
        return true;
      });
    });

    it(`exits 78 with the mend when run under ${profile}`, async () => {
      const child = spawn(process.execPath, ['services/sandbox/main.ts'], {
        cwd: ROOT,
        env: { PATH: process.env.PATH, KLAR_PROFILE: profile, NODE_ENV: 'production' },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      const [code] = (await once(child, 'exit')) as [number];
      assert.equal(code, 78, said);
      assert.match(said, /KLAR_PROFILE/);
      assert.match(said, /->/);
    });
  }

  it('listens on the loopback only unless told otherwise', async () => {
    const rig = await startRig();
    try {
      assert.match(rig.url, /^http:\/\/127\.0\.0\.1:\d+$/);
      assert.match(rig.smtpUrl, /^smtp:\/\/127\.0\.0\.1:\d+$/);
      assert.equal((await fetch(rig.url)).status, 200);
    } finally {
      await rig.stop();
    }
  });
});
