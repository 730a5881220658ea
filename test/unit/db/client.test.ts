import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import path from 'node:path';
import { clientEnvironment, ensureDatabase, ensureRoles, migrate, openServer } from '#platform/db/setup.ts';
import { connectClient } from '../../../services/platform/db/client.ts';

const SERVICES = path.resolve(import.meta.dirname, '../../../services');

describe('a connection of its own', () => {
  let silent: Server;
  let url: string;
  before(async () => {
    // Takes connections and never says a word, as a server behind a dead disk does.
    silent = createServer((socket) => socket.on('error', () => {}));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    url = `postgres://u:secret-of-u@127.0.0.1:${(silent.address() as AddressInfo).port}/klar`;
  });
  after(() => silent.close());

  it('is given up in time, with a code and a place and without the password', async () => {
    const began = performance.now();
    await assert.rejects(connectClient(url, 'test', 200), (error: NodeJS.ErrnoException) => {
      assert.equal(error.code, 'ETIMEDOUT');
      assert.match(error.message, /^connect ETIMEDOUT 127\.0\.0\.1:\d+: no answer within 0\.2 s$/);
      assert.doesNotMatch(`${error.message} ${error.cause}`, /secret-of-u/);
      return true;
    });
    assert.ok(performance.now() - began < 2_000);
  });

  it('is what roles, migrations, databases and restores use: none waits for a silent server for ever', async function () {
    this.timeout(25_000);
    const dir = path.resolve(SERVICES, '../migrations');
    const all = [
      ensureRoles({ superuserUrl: url }),
      ensureDatabase(url, 'klar'),
      migrate({ url, dir }),
      openServer(url, 'test'),
    ];
    for (const one of await Promise.allSettled(all)) {
      assert.equal(one.status === 'rejected' && one.reason.code, 'ETIMEDOUT');
    }
  });

  it('has a limit wherever one is made', () => {
    for (const file of globSync('**/*.ts', { cwd: SERVICES })) {
      const made = readFileSync(path.join(SERVICES, file), 'utf8')
        .split(/new pg\.Client\(/)
        .slice(1);
      for (const options of made) assert.match(options.split('});')[0] ?? '', /connectionTimeoutMillis/, file);
    }
  });
});

describe('what a PostgreSQL program is given', () => {
  it('has no password on its command line, wherever the URL has it', () => {
    for (const given of [
      'postgres://u:p%40ss@h/d?sslmode=require',
      'postgres://u@h/d?sslmode=require&password=p%40ss',
    ]) {
      const { url, env } = clientEnvironment(given);
      assert.deepEqual([url, env], ['postgres://u@h/d?sslmode=require', { PGPASSWORD: 'p@ss' }]);
    }
  });
});
