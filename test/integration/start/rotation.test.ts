import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { runCli } from '../../../services/cli/main.ts';
import { type AllInOne, createAllInOne } from '../../support/all-in-one.ts';
import { until } from '../../support/until.ts';

describe('npm start', function () {
  this.timeout(400_000);
  let klar: AllInOne;
  before(async () => {
    klar = await createAllInOne();
  });
  after(() => klar.close());

  it('rotates a secret of .klar/secrets when klar rotate asks for it, without a restart', async () => {
    await klar.start();
    const token = async () => (await readFile(path.join(klar.dataDir, 'secrets/ADMIN_TOKEN/current'), 'utf8')).trim();
    const ask = async (bearer: string) =>
      (await fetch(`${klar.url}/api/ops/metrics`, { headers: { authorization: `Bearer ${bearer}` } })).status;
    const run = async (...argv: string[]) => {
      let text = '';
      const sink = new Writable({
        write(chunk, _encoding, done) {
          text += chunk;
          done();
        },
      });
      const env = { KLAR_DATA_DIR: klar.dataDir, HOME: process.env.HOME };
      return { code: await runCli({ argv, env, stdout: sink, stderr: sink }), text };
    };
    const old = await token();
    assert.equal(await ask(old), 200);
    const { code, text } = await run('rotate', 'ADMIN_TOKEN', '--emergency');
    assert.equal(code, 0, text);
    assert.match(text, /Its cost: Scripts and monitors/);
    await until(
      async () => / done .* emergency|done {2}emergency/.test((await run('secrets', 'status', 'ADMIN_TOKEN')).text),
      {
        timeoutMs: 60_000,
        everyMs: 500,
      },
    );
    assert.notEqual(await token(), old);
    assert.deepEqual([await ask(old), await ask(await token())], [401, 200]);
    const { text: all } = await run('secrets', 'status');
    for (const name of ['ADMIN_TOKEN', 'AUTH_JWT_KEY', 'API_SECRET_SALT', 'AUTH_SECRET'])
      assert.match(all, new RegExp(name));
    assert.doesNotMatch(all, /DATABASE_URL|PASSWORD/);
    // What was rotated is what the next start finds.
    await klar.process().stop();
    const kept = await token();
    await klar.start();
    assert.equal(await token(), kept);
    assert.equal(await ask(kept), 200);
  });
});
