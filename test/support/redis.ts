import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createClient } from 'redis';
import { freePorts } from './process.ts';
import { until } from './until.ts';

/** Debian's redis-server on a port of its own, with nothing on disk. */
export interface TestRedis {
  readonly url: string;
  /** Starts again, empty, on the same port. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** It accepts connections and answers nothing, until `resume`. */
  pause(): void;
  resume(): void;
  command(...words: string[]): Promise<unknown>;
  close(): Promise<void>;
}

/** Started, and answering. */
export async function createRedis(): Promise<TestRedis> {
  const [port = 0] = await freePorts(1);
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-redis-'));
  const url = `redis://127.0.0.1:${port}`;
  let server: ChildProcess | undefined;
  const command = async (...words: string[]) => {
    const client = createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => {});
    await client.connect();
    try {
      return await client.sendCommand(words);
    } finally {
      client.destroy();
    }
  };
  const kill = async () => {
    const running = server;
    server = undefined;
    if (!running) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await gone;
  };
  const start = async () => {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
    const started = spawn('redis-server', args, { stdio: 'ignore' });
    server = started;
    await new Promise<void>((resolve, reject) => started.once('spawn', resolve).once('error', reject));
    await until(() => command('PING'), { what: 'redis-server' });
  };
  await start();
  return {
    url,
    start,
    kill,
    pause: () => server?.kill('SIGSTOP'),
    resume: () => server?.kill('SIGCONT'),
    command,
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
