import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import {
  type EmbeddedPostgres,
  EmbeddedPostgresError,
  startEmbeddedPostgres,
} from '../../../services/all-in-one/embedded-postgres.ts';
import { packagedBinaries } from '../../../services/all-in-one/postgres-binaries.ts';
import { isAlive } from '../../../services/all-in-one/postmaster.ts';

async function query(server: EmbeddedPostgres, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(server.superuserUrl);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', function () {
  this.timeout(60_000);
  let folder: string;
  let dataDir: string;
  const started: EmbeddedPostgres[] = [];
  const said: string[] = [];

  const start = async (more: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}) => {
    const server = await startEmbeddedPostgres({
      dataDir,
      settings: { fsync: 'off' },
      log: (line) => said.push(line),
      ...more,
    });
    started.push(server);
    return server;
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-pg-'));
    await chmod(folder, 0o755);
    dataDir = path.join(folder, 'pg');
  });
  after(async () => {
    await Promise.all(started.map((server) => server.stop('immediate')));
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    said.length = 0;
  });

  it('is UTF8 with the C collation, on loopback, and asks for its password', async () => {
    const server = await start();
    const [row] = await query(
      server,
      `select pg_encoding_to_char(encoding) as encoding, datcollate, current_setting('listen_addresses') as host,
         current_setting('unix_socket_directories') as sockets, current_setting('TimeZone') as zone
       from pg_database where datname = 'template1'`,
    );
    assert.deepEqual(row, { encoding: 'UTF8', datcollate: 'C', host: '127.0.0.1', sockets: '', zone: 'UTC' });
    const wrong = new pg.Client(server.superuserUrl.replace(/:[^:@]+@/, ':wrong@'));
    await assert.rejects(wrong.connect(), /password authentication failed/);
    assert.equal((await stat(path.join(dataDir, 'klar_superuser'))).mode & 0o777, 0o600);
    await query(server, 'create table kept (n int); insert into kept values (1)');
    await server.stop();
    assert.equal(isAlive(server.pid), false);
  });

  it('keeps its data and its port over a restart, and recovers after kill -9', async () => {
    const first = await start();
    await first.kill9();
    const second = await start();
    assert.equal(second.port, first.port);
    assert.deepEqual(await query(second, 'select n from kept'), [{ n: 1 }]);
    await second.stop();
  });

  it('stops the server that a killed run left, and goes on with its data', async () => {
    const orphan = await start();
    await query(orphan, 'insert into kept values (2)');
    const next = await start();
    assert.equal(isAlive(orphan.pid), false);
    assert.notEqual(next.pid, orphan.pid);
    assert.match(said.join('\n'), /earlier run is still there/);
    assert.equal((await query(next, 'select n from kept')).length, 2);
    await next.stop();
  });

  it('ignores a pid file whose number belongs to a stranger now, and leaves the stranger alone', async () => {
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      await writeFile(
        path.join(dataDir, 'postmaster.pid'),
        `${stranger.pid}\n${dataDir}\n0\n5432\n\n127.0.0.1\n\nready\n`,
      );
      const server = await start();
      assert.equal(isAlive(stranger.pid ?? 0), true);
      await server.stop();
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('takes another port when its own is taken, and says so plainly when that port was asked for', async () => {
    const remembered = Number(await readFile(path.join(dataDir, 'klar_port'), 'utf8'));
    const blocker = createServer().listen(remembered, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    try {
      await assert.rejects(start({ port: remembered }), (error: unknown) => {
        assert.ok(error instanceof EmbeddedPostgresError);
        assert.equal(error.code, 'postgres_port_taken');
        return true;
      });
      const server = await start();
      assert.notEqual(server.port, remembered);
      await server.stop();
    } finally {
      blocker.close();
    }
  });

  it('refuses the data of another major version with the way out', async () => {
    const other = path.join(folder, 'other');
    await mkdir(other);
    await writeFile(path.join(other, 'PG_VERSION'), '9\n');
    await assert.rejects(start({ dataDir: other }), (error: unknown) => {
      assert.ok(error instanceof EmbeddedPostgresError);
      assert.equal(error.code, 'postgres_version_differs');
      assert.match(error.remedy, /--fresh/);
      return true;
    });
  });

  it('in a checkout that its user may not enter copies the programs once, and keeps the data where they were wanted', async () => {
    if (process.getuid?.() !== 0) return; // only root has files that its PostgreSQL cannot reach
    const closed = path.join(folder, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const { root, bin } = await packagedBinaries();
    await cp(root, path.join(closed, 'postgres'), { recursive: true, verbatimSymlinks: true });
    const copies = async () => (await readdir('/var/lib')).filter((name) => name.startsWith('klar-postgres-')).sort();
    const before = await copies();
    const made = async () => (await copies()).filter((name) => !before.includes(name));
    const binDir = path.join(closed, 'postgres', path.relative(root, bin));
    try {
      for (const name of ['one', 'two']) {
        const server = await start({ binDir, dataDir: path.join(folder, name) });
        assert.deepEqual(await query(server, 'select 1 as one'), [{ one: 1 }]);
        await server.stop();
        assert.equal((await lstat(path.join(folder, name))).isSymbolicLink(), false);
      }
      assert.equal((await made()).length, 1);
    } finally {
      for (const name of await made()) await rm(path.join('/var/lib', name), { recursive: true });
    }
  });

  it('never initialises over somebody else’s files', async () => {
    const full = path.join(folder, 'full');
    await mkdir(full);
    await writeFile(path.join(full, 'thesis.txt'), 'years of work');
    await assert.rejects(start({ dataDir: full }));
    assert.equal(await readFile(path.join(full, 'thesis.txt'), 'utf8'), 'years of work');
  });

  it('clears what a kill in the middle of initdb left, and explains a setting the server refuses', async () => {
    await mkdir(path.join(folder, 'half.new-1'));
    await writeFile(path.join(folder, 'half.new-1', 'PG_VERSION'), '18');
    await assert.rejects(
      start({ dataDir: path.join(folder, 'half'), settings: { fsync: 'off', nonsense_setting: 1 } }),
      /nonsense_setting/,
    );
    await assert.rejects(stat(path.join(folder, 'half.new-1')), /ENOENT/);
  });
});
