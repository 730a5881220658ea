import { execFile, spawn } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { type ClientEnvironment, clientEnvironment } from '#platform/db/setup.ts';
import { fail } from '#platform/errors/index.ts';

/** A folder with pg_dump and pg_restore of one version. */
export interface PgTools {
  dump: string;
  restore: string;
  /** As they say it, e.g. `15.14`. */
  version: string;
  major: number;
}

const run = promisify(execFile);

/** Where Debian and the PostgreSQL project's packages keep each version. */
const VERSIONED = '/usr/lib/postgresql';

/** Every pg_dump with a pg_restore beside it: on PATH, then the versions of the system's packages. */
export async function findPgTools(searchPath: string | undefined, versioned = VERSIONED): Promise<PgTools[]> {
  const versions = await readdir(versioned).catch(() => []);
  const folders = [
    ...(searchPath ?? '').split(path.delimiter),
    ...versions.map((name) => path.join(versioned, name, 'bin')),
  ];
  const found: PgTools[] = [];
  for (const folder of new Set(folders.filter((name) => name !== ''))) {
    const [dump, restore] = [path.join(folder, 'pg_dump'), path.join(folder, 'pg_restore')];
    const there = await Promise.all([access(dump), access(restore)]).then(
      () => true,
      () => false,
    );
    if (!there) continue;
    const said = await run(dump, ['--version'], { timeout: 10_000 }).catch(() => undefined);
    const version = /\(PostgreSQL\) (\d+(?:\.\d+)?\S*)/.exec(said?.stdout ?? '')?.[1];
    if (version !== undefined) found.push({ dump, restore, version, major: Number.parseInt(version, 10) });
  }
  return found;
}

/**
 * The oldest tools that can dump this server: an archive made by newer ones is read by those and newer only.
 * @throws KlarError `backup_tools_missing`, `backup_tools_old`; both say how to mend it
 */
export function chooseTools(tools: readonly PgTools[], server: { version: string; major: number }): PgTools {
  const mend = `build the image with --build-arg PG_CLIENT=${server.major}, or install postgresql-client-${server.major}`;
  if (tools.length === 0) {
    throw fail.unprocessable('backup_tools_missing', `pg_dump and pg_restore are not here: ${mend}.`);
  }
  const able = tools.filter(({ major }) => major >= server.major).sort((a, b) => a.major - b.major);
  const [chosen] = able;
  if (chosen === undefined) {
    const newest = tools.reduce((a, b) => (b.major > a.major ? b : a));
    throw fail.unprocessable(
      'backup_tools_old',
      `The server is PostgreSQL ${server.version} and pg_dump here is ${newest.version}, which cannot dump a newer server: ${mend}.`,
    );
  }
  return chosen;
}

/** Secrets that may stand among the parameters of a URL; the driver has no use for the second, libpq no variable. */
const SECRET_PARAMETERS = ['password', 'sslpassword'];

/**
 * How a program connects: the URL for `--dbname`, which every process of the machine can read, and the password for its
 * environment. One among the parameters wins over one before the `@`, as for the driver.
 */
export function connectionOf(given: string): ClientEnvironment {
  const bare = new URL(given);
  const password = bare.searchParams.getAll('password').at(-1);
  for (const name of SECRET_PARAMETERS) bare.searchParams.delete(name);
  const { url, env } = clientEnvironment(bare.href);
  // URLSearchParams writes a space as `+`, which libpq leaves a plus.
  const readable = url.replace(/\?.*/, (query) => query.replaceAll('+', '%20'));
  return { url: readable, env: password ? { ...env, PGPASSWORD: password } : env };
}

export interface ToolRun {
  file: string;
  args: readonly string[];
  env: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Called with each line that the program writes to stderr. */
  onLine?: ((line: string) => void) | undefined;
}

/** What is kept of a talkative program for the message of its failure. */
const KEPT_LINES = 12;
const TERM_GRACE_MS = 5_000;
const LAST_WORDS_MS = 2_000;

/**
 * Runs a program to its end and gives its stdout.
 * @throws ToolFailure when it ended with another code than 0 or by a signal; the signal's reason when it was aborted
 */
export async function runTool({ file, args, env, signal, onLine }: ToolRun): Promise<string> {
  signal?.throwIfAborted();
  const child = spawn(file, args, {
    // Nothing of our own environment: it holds secrets that the program does not need.
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kept: string[] = [];
  let quoting = false;
  const out: string[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => out.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      // DETAIL and CONTEXT quote rows, which may be about a person; what is kept ends in the log, as a cause.
      quoting = /^(DETAIL|CONTEXT): /.test(line) || (quoting && !/^pg_\w+: /.test(line));
      if (!quoting) kept.push(line);
      if (kept.length > KEPT_LINES) kept.shift();
      onLine?.(line);
    }
  });
  const timers: NodeJS.Timeout[] = [];
  // A child of the program may outlive it with our pipes in its hands; its last words are not worth waiting for.
  child.once('exit', () => {
    const letGo = () => {
      child.stdout.destroy();
      child.stderr.destroy();
    };
    timers.push(setTimeout(letGo, LAST_WORDS_MS));
  });
  const stop = () => {
    child.kill('SIGTERM');
    timers.push(setTimeout(() => child.kill('SIGKILL'), TERM_GRACE_MS));
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<string | number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, by) => resolve(code ?? by ?? 'unknown'));
    });
    signal?.throwIfAborted();
    if (end !== 0)
      throw new ToolFailure(
        path.basename(file),
        end,
        [...kept, ...(quoting ? [] : [rest])].filter((line) => line !== ''),
      );
    return out.join('');
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** A program of PostgreSQL ended badly; `lines` is the end of what it said. */
export class ToolFailure extends Error {
  readonly lines: readonly string[];
  constructor(program: string, end: string | number, lines: readonly string[]) {
    const errors = lines.filter((line) => /error:|fatal:|detail:|hint:/i.test(line));
    const how = typeof end === 'number' ? `ended with code ${end}` : `was ended by ${end}`;
    super(`${program} ${how}${errors.length > 0 ? `: ${errors.join(' ')}` : ''}`);
    this.name = 'ToolFailure';
    this.lines = lines;
  }
}
