import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts, type KlarProcess, startProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

describe('npm start and npm run demo', function () {
  this.timeout(120_000);
  let folder = '';
  let env: Record<string, string> = {};
  let klar: KlarProcess | undefined;
  let port = 0;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-start-'));
    const [first = 0, admin = 0, sandbox = 0, mail = 0] = await freePorts(4);
    port = first;
    env = {
      KLAR_DATA_DIR: path.join(folder, 'data'),
      PORT: String(port),
      ADMIN_PORT: String(admin),
      SANDBOX_PORT: String(sandbox),
      SANDBOX_MAIL_PORT: String(mail),
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
    };
  });
  after(async () => {
    await klar?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Starts all-in-one and answers with the seconds until the card stood complete. */
  async function start(): Promise<number> {
    const from = performance.now();
    const running = startProcess('services/all-in-one/main.ts', env);
    klar = running;
    await until(() => running.output().includes('npm run demo'), { timeoutMs: 60_000, what: 'the card' }).catch(
      (error) => {
        throw new Error(running.output(), { cause: error });
      },
    );
    return (performance.now() - from) / 1000;
  }

  it('prints its card within 20 s on an empty folder', async () => {
    const seconds = await start();
    process.stdout.write(`      card after ${seconds.toFixed(1)} s\n`);
    assert.ok(seconds < 20, `the card took ${seconds.toFixed(1)} s:\n${klar?.output()}`);
  });

  it('walks to a paid order and an enrollment within 5 s', async () => {
    const from = performance.now();
    const demo = startProcess('scripts/demo.ts', {}, ['--base-url', `http://127.0.0.1:${port}`]);
    assert.equal(await demo.exited, 0, demo.output());
    const seconds = (performance.now() - from) / 1000;
    process.stdout.write(`      demo after ${seconds.toFixed(1)} s\n`);
    assert.match(demo.output(), /enrolled/);
    assert.ok(seconds < 5, `the demo took ${seconds.toFixed(1)} s:\n${demo.output()}`);
  });

  it('goes on with its data after a kill -9 of itself', async () => {
    await klar?.kill();
    const seconds = await start();
    process.stdout.write(`      card after a kill: ${seconds.toFixed(1)} s\n`);
    const demo = startProcess('scripts/demo.ts', {}, ['--base-url', `http://127.0.0.1:${port}`]);
    assert.equal(await demo.exited, 0, demo.output());
  });

  it('stops with 0 when it is asked to', async () => {
    assert.equal(await klar?.stop(), 0, klar?.output() ?? '');
  });
});
