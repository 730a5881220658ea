import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts, type KlarProcess, startProcess } from './process.ts';
import { until } from './until.ts';

/** The whole system in one process, as `npm start` runs it, on ports and data of the test's own. */
export interface AllInOne {
  readonly url: string;
  readonly sandboxUrl: string;
  readonly adminUrl: string;
  readonly dataDir: string;
  /** The process that runs now. */
  process(): KlarProcess;
  /** Starts and waits for the card; answers with the seconds it took. */
  start(): Promise<number>;
  close(): Promise<void>;
}

/** Nothing is started yet: `start` does. `env` adds settings. */
export async function createAllInOne(env: Record<string, string> = {}): Promise<AllInOne> {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-start-'));
  // As root the database runs as `nobody`, and would be kept in /var/lib if that one could not enter.
  await chmod(folder, 0o755);
  const [port = 0, admin = 0, sandbox = 0, mail = 0] = await freePorts(4);
  const url = `http://127.0.0.1:${port}`;
  const dataDir = path.join(folder, 'data');
  let running: KlarProcess | undefined;
  return {
    url,
    sandboxUrl: `http://127.0.0.1:${sandbox}`,
    adminUrl: `http://127.0.0.1:${admin}`,
    dataDir,
    process() {
      if (!running) throw new Error('all-in-one was not started');
      return running;
    },
    async start() {
      const from = performance.now();
      const started = startProcess('services/all-in-one/main.ts', {
        KLAR_DATA_DIR: dataDir,
        PORT: String(port),
        ADMIN_PORT: String(admin),
        SANDBOX_PORT: String(sandbox),
        SANDBOX_MAIL_PORT: String(mail),
        PUBLIC_BASE_URL: url,
        ...env,
      });
      running = started;
      const ended = started.exited.then((code) => {
        throw new Error(`all-in-one ended with ${code} before its card:\n${started.output()}`);
      });
      // Its end after the card is a matter of the tests, not of this promise.
      ended.catch(() => {});
      const card = until(() => started.output().includes('npm run demo'), { timeoutMs: 60_000, what: 'the card' });
      await Promise.race([card, ended]);
      return (performance.now() - from) / 1000;
    },
    async close() {
      await running?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
