import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Db, statement } from '#platform/db/index.ts';
import { createTestDatabase, TEST_PASSWORD, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const tenantOf = statement<{ tenant: string }>('test.bouncer_tenant', 'select app.current_tenant() as tenant');
const add = statement<{ n: number }>('test.bouncer_add', 'select $1::int + $2::int as n');
const sleep = statement('test.bouncer_sleep', 'select pg_sleep($1)');

const version = /PgBouncer (\d+)\.(\d+)/.exec(execFileSync('pgbouncer', ['--version']).toString());
const knowsPrepared = Number(version?.[1]) > 1 || Number(version?.[2]) >= 21;

/** Needs pgbouncer (Debian: apt-get install pgbouncer); .ci/run installs it. */
describe('PgBouncer in transaction mode', () => {
  let database: TestDatabase;
  let folder: string;
  let bouncer: ChildProcess;
  let port: number;

  before(async () => {
    database = await createTestDatabase();
    const { port: server, pathname } = new URL(database.superuserUrl);
    port = await freePort();
    folder = await mkdtemp(path.join(tmpdir(), 'klar-bouncer-'));
    await chmod(folder, 0o755);
    const name = pathname.slice(1);
    await writeFile(path.join(folder, 'users.txt'), `"klar_api_a" "${TEST_PASSWORD}"\n`, { mode: 0o644 });
    await writeFile(
      path.join(folder, 'pgbouncer.ini'),
      `[databases]\n${name} = host=127.0.0.1 port=${server} dbname=${name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}
auth_type = scram-sha-256\nauth_file = ${folder}/users.txt\npool_mode = transaction\ndefault_pool_size = 2
${knowsPrepared ? 'max_prepared_statements = 200\n' : ''}unix_socket_dir =\n`,
      { mode: 0o644 },
    );
    const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    bouncer = spawn('pgbouncer', [...asRoot, '-q', path.join(folder, 'pgbouncer.ini')], { stdio: 'ignore' });
    await until(() => connects(port));
  });
  after(async () => {
    bouncer.kill('SIGKILL');
    await database.close();
    await rm(folder, { recursive: true, force: true });
  });

  const through = (options: { prepared: boolean }): Db => {
    const url = new URL(database.url('klar_api'));
    url.port = String(port);
    return database.db('klar_api', { url: url.href, poolSize: 8, ...options });
  };

  // Before 1.21 it does not carry named statements from one server connection to another: DB_PREPARED=off.
  for (const prepared of knowsPrepared ? [true, false] : [false]) {
    it(`serves tenants side by side, ${prepared ? 'with' : 'without'} prepared statements`, async () => {
      const db = through({ prepared });
      const work = Array.from({ length: 200 }, async (_, i) => {
        const tenant = `ten_${i % 7}`;
        const [row, sum] = await db.withTenantTx(tenant, (tx) => Promise.all([tx.one(tenantOf), tx.one(add, [i, 1])]));
        assert.equal(row.tenant, tenant);
        assert.equal(sum.n, i + 1);
      });
      await Promise.all(work);
      await assert.rejects(
        db.withTx((tx) => tx.one(tenantOf)),
        { code: 'KL001' },
      );
    });
  }

  it('cancels a running statement', async () => {
    const controller = new AbortController();
    const reason = new Error('gone');
    const running = through({ prepared: false }).withTx((tx) => tx.run(sleep, [30]), { signal: controller.signal });
    const sleeping = () =>
      database.asSuperuser(
        `select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()`,
      );
    await until(async () => (await sleeping()).length === 1);
    controller.abort(reason);
    await assert.rejects(running, reason);
    await until(async () => (await sleeping()).length === 0);
  });
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
