import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { EmbeddedPostgresError } from './postgres-binaries.ts';
import type { Place } from './postgres-place.ts';
import { giveTo, type Identity } from './unprivileged.ts';

/** The superuser's password is kept in the data folder, which only the server's user can read. */
export const PASSWORD_FILE = 'klar_superuser';

/** initdb into a neighbour that is renamed when complete: a kill in the middle leaves nothing that looks like a cluster. */
export async function initialise(place: Place, identity: Identity | undefined, durable: boolean): Promise<void> {
  // Named after this process: the initdb of a killed start may still be writing into its own.
  const fresh = `${place.dataDir}.new-${process.pid}`;
  const siblings = await readdir(path.dirname(fresh));
  for (const old of siblings.filter((name) => name.startsWith(`${path.basename(place.dataDir)}.new-`))) {
    await rm(path.join(path.dirname(fresh), old), { recursive: true, force: true, maxRetries: 3 });
  }
  await mkdir(fresh, { mode: 0o700 });
  const passwordFile = `${fresh}.password`;
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (identity) {
    await giveTo(identity, fresh);
    await chown(passwordFile, identity.uid, identity.gid);
  }
  const args = ['-D', fresh, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
  args.push('--encoding=UTF8', '--locale=C', '--no-instructions');
  if (!durable) args.push('--no-sync');
  try {
    const { code, output } = await run(path.join(place.bin, 'initdb'), args, identity, fresh);
    if (code !== 0) throw explain('postgres_init_failed', 'initdb failed', output, place);
    await writeFile(path.join(fresh, PASSWORD_FILE), password, { mode: 0o600 });
    if (identity) await giveTo(identity, fresh);
    await rename(fresh, place.dataDir); // onto nothing or an empty folder: never over somebody's files
  } finally {
    await rm(passwordFile, { force: true });
    await rm(fresh, { recursive: true, force: true });
  }
}

/** PostgreSQL itself would only say "database files are incompatible with server". */
export async function refuseOtherVersion(place: Place, identity: Identity | undefined): Promise<void> {
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

/** What the server's own output means for the person who reads it. */
export function explain(code: string, message: string, output: string, place: Place): EmbeddedPostgresError {
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
