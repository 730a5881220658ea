import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../services/all-in-one/embedded-postgres.ts';

export interface TestServer {
  superuserUrl: string;
  port: number;
  /** kill -9 of the postmaster, as in a crash; `start` recovers. */
  kill9(): Promise<void>;
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  /** Starts again on the same port and data. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Debian's PostgreSQL, for instance, instead of the embedded one. */
const BIN_DIR = process.env.KLAR_TEST_POSTGRES_BIN;

/**
 * A PostgreSQL of the test's own, on a free port, in a temporary folder.
 * @param durable with fsync, for tests that crash it
 * @param binDir another PostgreSQL than the run's
 */
export async function startOwnPostgres({
  durable = true,
  settings = {},
  binDir = BIN_DIR,
}: {
  durable?: boolean;
  settings?: Record<string, string>;
  binDir?: string | undefined;
} = {}): Promise<TestServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-test-'));
  await chmod(folder, 0o755);
  const fast: Record<string, string> = durable
    ? {}
    : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
  const start = (port?: number): Promise<EmbeddedPostgres> =>
    startEmbeddedPostgres({
      dataDir: path.join(folder, 'pg'),
      binDir,
      port,
      settings: { max_connections: '200', shared_buffers: '64MB', ...fast, ...settings },
    });
  let server = await start();
  removeAfterDeath(folder);
  const { port, superuserUrl } = server;
  return {
    superuserUrl,
    port,
    kill9: () => server.kill9(),
    stop: (mode = 'fast') => server.stop(mode),
    start: async () => {
      server = await start(port);
    },
    close: async () => {
      await server.stop('immediate');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A name for a database of one test file. */
export const databaseName = (prefix: string) => `${prefix}_${randomBytes(6).toString('hex')}`;

/**
 * The server is a process of its own session and outlives a test run that is killed, and `after` hooks do not run
 * then. This shell waits for the end of this process, however it comes, and cleans up.
 */
function removeAfterDeath(folder: string): void {
  const script = `while kill -0 ${process.pid} 2>/dev/null; do sleep 1; done
    pid=$(head -n 1 '${folder}/pg/postmaster.pid' 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && sleep 1
    rm -rf '${folder}'`;
  spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' }).unref();
}
