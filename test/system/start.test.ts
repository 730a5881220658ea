import assert from 'node:assert/strict';
import { type AllInOne, createAllInOne } from '../support/all-in-one.ts';
import { startProcess } from '../support/process.ts';

describe('npm start and npm run demo', function () {
  this.timeout(120_000);
  let klar: AllInOne;

  before(async () => {
    klar = await createAllInOne();
  });
  after(() => klar.close());

  async function demo(): Promise<number> {
    const from = performance.now();
    const walk = startProcess('scripts/demo.ts', {}, ['--base-url', klar.url]);
    assert.equal(await walk.exited, 0, walk.output());
    assert.match(walk.output(), /enrolled/);
    return (performance.now() - from) / 1000;
  }

  it('prints its card within 20 s on an empty folder', async () => {
    const seconds = await klar.start();
    process.stdout.write(`      card after ${seconds.toFixed(1)} s\n`);
    assert.ok(seconds < 20, klar.process().output());
  });

  it('walks to a paid order and an enrollment within 5 s', async () => {
    const seconds = await demo();
    process.stdout.write(`      demo done after ${seconds.toFixed(1)} s\n`);
    assert.ok(seconds < 5, `${seconds.toFixed(1)} s`);
  });

  it('goes on with its data after a kill -9 of itself', async () => {
    await klar.process().kill();
    const seconds = await klar.start();
    process.stdout.write(`      card after a kill: ${seconds.toFixed(1)} s\n`);
    await demo();
  });

  it('stops with 0 when it is asked to', async () => {
    const code = await klar.process().stop();
    assert.equal(code, 0, klar.process().output());
  });
});
