import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Binaries, copyBinaries, EmbeddedPostgresError, exists, packagedBinaries } from './postgres-binaries.ts';
import { clearLeftover, isAlive, readPostmasterFile, untilGone } from './postmaster.ts';
import { canEnter, giveTo, type Identity, serverIdentity } from './unprivileged.ts';

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

  if (!(await exists(path.join(dataDir, 'PG_VERSION')))) await initialise(place, identity, input);
  await refuseOtherVersion(place, identity);
  await clearLeftover(dataDir, log);
  if (identity) await giveTo(identity, dataDir);

  const password = (await readFile(path.join(dataDir, 'klar_superuser'), 'utf8')).trim();
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

type Place = { dataDir: string; bin: string };

/**
 * As root the server runs as `nobody`, who cannot enter a checkout under /root (mode 700). Then binaries and data
 * live in a folder of the system, and a symlink in the usual place says where.
 */
async function settle(
  wanted: string,
  binaries: Binaries,
  identity: Identity | undefined,
  log: (m: string) => void,
): Promise<Place> {
  await mkdir(path.dirname(wanted), { recursive: true });
  if (!identity) return { dataDir: wanted, bin: binaries.bin };
  const movedAlready = await lstat(wanted).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
  if (!movedAlready && canEnter(identity, [path.dirname(wanted), binaries.bin])) {
    return { dataDir: wanted, bin: binaries.bin };
  }
  const home = path.join(tmpdirFor(), `klar-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`);
  await mkdir(home, { recursive: true, mode: 0o755 });
  await chmod(home, 0o755); // mkdir's mode is cut by the umask
  const { bin } = canEnter(identity, [binaries.bin])
    ? binaries
    : await copyBinaries(binaries, path.join(home, 'postgres'));
  if (!canEnter(identity, [home, bin])) {
    throw new EmbeddedPostgresError(
      'postgres_folder_unreachable',
      `Running as root, PostgreSQL has to run as uid ${identity.uid}, which cannot enter ${path.dirname(wanted)} or ${home}.`,
      'Run as a normal user, move the checkout to a folder others may enter (for example /srv/klar), or set DATABASE_URL.',
    );
  }
  const dataDir = path.join(home, 'data');
  if (!movedAlready) {
    log(
      `uid ${identity.uid} cannot enter ${path.dirname(wanted)}: the database is kept in ${dataDir}, linked from ${wanted}`,
    );
    await symlink(dataDir, wanted);
  }
  return { dataDir, bin };
}

/** /var/lib survives a reboot; a container without it still has a temporary folder. */
function tmpdirFor(): string {
  return process.platform === 'linux' ? '/var/lib' : tmpdir();
}

/** initdb into a neighbour that is renamed when complete: a kill in the middle leaves nothing that looks like a cluster. */
async function initialise(place: Place, identity: Identity | undefined, input: EmbeddedPostgresInput): Promise<void> {
  const fresh = `${place.dataDir}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  const passwordFile = `${place.dataDir}.password`;
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (identity) {
    await giveTo(identity, fresh);
    await chown(passwordFile, identity.uid, identity.gid);
  }
  const args = ['-D', fresh, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  args.push('--encoding=UTF8', '--locale=C', '--no-instructions');
  if (input.settings?.fsync === 'off' || input.settings?.fsync === false) args.push('--no-sync');
  try {
    const { code, output } = await run(path.join(place.bin, 'initdb'), args, identity, fresh);
    if (code !== 0) throw explain('postgres_init_failed', 'initdb failed', output, place);
    await writeFile(path.join(fresh, 'klar_superuser'), password, { mode: 0o600 });
    if (identity) await giveTo(identity, fresh);
    await rename(fresh, place.dataDir); // onto nothing or an empty folder: never over somebody's files
  } finally {
    await rm(passwordFile, { force: true });
    await rm(fresh, { recursive: true, force: true });
  }
}

async function refuseOtherVersion(place: Place, identity: Identity | undefined): Promise<void> {
  const cluster = (await readFile(path.join(place.dataDir, 'PG_VERSION'), 'utf8')).trim();
  const { output } = await run(path.join(place.bin, 'postgres'), ['--version'], identity, '/');
  const server = /\) (\d+)/.exec(output)?.[1];
  if (server !== undefined && server !== cluster) {
    throw new EmbeddedPostgresError(
      'postgres_version_differs',
      `The data in ${place.dataDir} was made by PostgreSQL ${cluster}; this is PostgreSQL ${server}.`,
      'Start over with `npm start -- --fresh`, or go back to the version that made it.',
    );
  }
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

async function run(
  file: string,
  args: string[],
  identity: Identity | undefined,
  cwd: string,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd,
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
      ...(identity ?? {}),
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.once('error', (error) => resolve({ code: 127, output: `${output}${error.message}` }));
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

function explain(code: string, message: string, output: string, place: Place): EmbeddedPostgresError {
  const tail = output.trim().split('\n').slice(-8).join('\n');
  if (/No space left on device|ENOSPC/.test(output)) {
    return new EmbeddedPostgresError(
      'disk_full',
      `The disk that holds ${place.dataDir} is full.`,
      'Free some space (the database needs about 200 MB) and start again; nothing committed is lost.',
    );
  }
  if (/could not bind|Address already in use/.test(output)) {
    return new EmbeddedPostgresError(
      'postgres_port_taken',
      `The port asked for PostgreSQL is taken.\n${tail}`,
      'Stop the program that listens there, or leave the port out so that a free one is chosen.',
    );
  }
  return new EmbeddedPostgresError(
    code,
    `${message}.\n${tail}`,
    `The whole log is in ${place.dataDir}; \`npm start -- --fresh\` starts over with an empty database.`,
  );
}
