import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { exists, packagedBinaries } from './postgres-binaries.ts';
import { explain, initialise, PASSWORD_FILE, refuseOtherVersion } from './postgres-init.ts';
import { type Place, settle } from './postgres-place.ts';
import { clearLeftover, isAlive, readPostmasterFile, untilGone } from './postmaster.ts';
import { giveTo, type Identity, serverIdentity } from './unprivileged.ts';

export { EmbeddedPostgresError } from './postgres-binaries.ts';

export type EmbeddedPostgresInput = {
  /** Folder of the cluster; made by initdb when it does not exist. */
  dataDir: string;
  /** Loopback port; 0 or absent: the one of the last run when it is free, else any free one. */
  port?: number | undefined;
  /** postgresql.conf settings for this run, e.g. `{ fsync: 'off' }` in tests. */
  settings?: Record<string, string | number | boolean> | undefined;
  /** Folder with initdb and postgres, e.g. /usr/lib/postgresql/15/bin; absent: the npm package. */
  binDir?: string | undefined;
  log?: ((message: string) => void) | undefined;
};

export type EmbeddedPostgres = {
  port: number;
  /** postgres://postgres:...@127.0.0.1:port/postgres */
  superuserUrl: string;
  pid: number;
  dataDir: string;
  /** The server's log file. */
  logFile: string;
  /** `fast` (default) ends sessions and checkpoints; `smart` waits for sessions; `immediate` is a crash with recovery. */
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>;
  /** kill -9 of the postmaster; resolves when it is gone. Start again on the same folder to recover. */
  kill9(): Promise<void>;
};

// Loopback TCP only: a socket path is limited to 107 bytes, which a deep checkout exceeds.
const SETTINGS = { listen_addresses: '127.0.0.1', unix_socket_directories: '', timezone: 'UTC', log_timezone: 'UTC' };
const STOP_SIGNAL = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
const START_TIMEOUT_MS = 60_000; // crash recovery after kill -9 under load comes before `ready`

/**
 * Starts a PostgreSQL on loopback TCP with a password, as a process of its own session: Ctrl-C in a terminal goes to
 * the whole foreground group, and would stop the database before the processes that still drain into it.
 * @throws EmbeddedPostgresError with `code` and `remedy`.
 */
export async function startEmbeddedPostgres(input: EmbeddedPostgresInput): Promise<EmbeddedPostgres> {
  const log = input.log ?? (() => {});
  const identity = await serverIdentity();
  const binaries = input.binDir ? { root: path.dirname(input.binDir), bin: input.binDir } : await packagedBinaries();
  const place = await settle(path.resolve(input.dataDir), binaries, identity, log);
  const { dataDir } = place;

  const durable = ![false, 'off'].includes(input.settings?.fsync as string);
  if (!(await exists(path.join(dataDir, 'PG_VERSION')))) await initialise(place, identity, durable);
  await refuseOtherVersion(place, identity);
  await clearLeftover(dataDir, log);
  if (identity) await giveTo(identity, dataDir);

  const password = (await readFile(path.join(dataDir, PASSWORD_FILE), 'utf8')).trim();
  const logFile = path.join(dataDir, 'klar_server.log');
  const started = await start(place, identity, input, logFile);
  await writeFile(path.join(dataDir, 'klar_port'), `${started.port}\n`);
  return {
    ...started,
    dataDir,
    logFile,
    superuserUrl: `postgres://postgres:${password}@127.0.0.1:${started.port}/postgres`,
    async stop(mode = 'fast') {
      if (!isAlive(started.pid)) return;
      process.kill(started.pid, STOP_SIGNAL[mode]);
      if (await untilGone(started.pid, 30_000)) return;
      process.kill(started.pid, 'SIGQUIT');
      await untilGone(started.pid, 10_000);
    },
    async kill9() {
      if (isAlive(started.pid)) process.kill(started.pid, 'SIGKILL');
      await untilGone(started.pid, 10_000);
    },
  };
}

async function start(
  place: Place,
  identity: Identity | undefined,
  input: EmbeddedPostgresInput,
  logFile: string,
): Promise<{ port: number; pid: number }> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort(place.dataDir, attempt === 1 ? input.port : (input.port ?? 0));
    const settings = { ...SETTINGS, ...input.settings, port };
    const args = ['-D', place.dataDir];
    for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
    const logFd = openSync(logFile, 'w', 0o600);
    // A file and not a pipe: a pipe would break under the server when this process is killed.
    const child = launch(path.join(place.bin, 'postgres'), args, identity, place.dataDir, ['ignore', logFd, logFd]);
    closeSync(logFd);
    const failure = await untilReady(child, place.dataDir, deadline);
    if (failure === undefined && child.pid !== undefined) {
      child.unref();
      return { port, pid: child.pid };
    }
    const output = await readFile(logFile, 'utf8').catch(() => '');
    // Both pass by themselves: another process took the port between our probe and the bind; the backends of a
    // killed postmaster need a moment to notice its death and to let go of the shared memory.
    const passing =
      /shared memory block .* still in use/.test(output) || (!input.port && /could not bind/.test(output));
    if (!passing || Date.now() > deadline) {
      throw explain('postgres_start_failed', failure ?? 'PostgreSQL did not start', output, place);
    }
    await delay(100);
  }
}

async function untilReady(child: ChildProcess, dataDir: string, deadline: number): Promise<string | undefined> {
  let failure: string | undefined;
  child.once('error', (error) => {
    failure = `PostgreSQL could not be run: ${error.message}`;
  });
  child.once('exit', (code, signal) => {
    failure ??= `PostgreSQL ended with ${signal ?? `code ${code}`}`;
  });
  while (failure === undefined) {
    const file = await readPostmasterFile(dataDir);
    if (file?.pid === child.pid && file?.status === 'ready') return undefined;
    if (Date.now() > deadline) {
      child.kill('SIGKILL');
      return `PostgreSQL was not ready within ${START_TIMEOUT_MS / 1000} s`;
    }
    await delay(15);
  }
  return failure;
}

async function choosePort(dataDir: string, wanted: number | undefined): Promise<number> {
  if (wanted) return wanted;
  const remembered = Number(await readFile(path.join(dataDir, 'klar_port'), 'utf8').catch(() => 0));
  const ask = (port: number) =>
    new Promise<number>((resolve, reject) => {
      const probe = createServer();
      probe.once('error', reject);
      probe.listen(port, '127.0.0.1', () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
      });
    });
  // A port that stays the same lets a person keep a psql or a GUI configured over restarts.
  if (wanted === undefined && remembered > 0) return ask(remembered).catch(() => ask(0));
  return ask(0);
}

function launch(
  file: string,
  args: string[],
  identity: Identity | undefined,
  cwd: string,
  stdio: ('ignore' | number)[],
) {
  return spawn(file, args, {
    cwd,
    detached: true,
    stdio: stdio as ['ignore', number, number],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    ...(identity ?? {}),
  });
}
