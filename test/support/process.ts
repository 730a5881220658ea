import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import path from 'node:path';
import { until } from './until.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** A Klar process of its own, as a deployment runs it. */
export interface KlarProcess {
  readonly name: string;
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything it printed so far. */
  output(): string;
  /** Resolves with the exit code, or with the signal's name. */
  readonly exited: Promise<number | string>;
  /** SIGTERM, then waits for the exit. */
  stop(): Promise<number | string>;
  /** kill -9 of this very process, then waits for the exit. */
  kill(): Promise<number | string>;
}

/** Starts `node <entry>` from the repository's root with exactly the given environment (and PATH). */
export function startProcess(entry: string, env: Record<string, string>, args: readonly string[] = []): KlarProcess {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: process.env.TMPDIR, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const exited = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const end = (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return exited;
  };
  return {
    name: entry,
    child,
    pid: child.pid ?? 0,
    output: () => text,
    exited,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

/** Waits for `url` to answer 200; fails at once, with its output, if the process ends before. */
export async function untilAnswers(running: KlarProcess, url: string, timeoutMs = 20_000): Promise<void> {
  const answers = async () => {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  };
  const ended = running.exited.then((code) => {
    throw new Error(`${running.name} ended with ${code} before ${url} answered:\n${running.output()}`);
  });
  await Promise.race([until(answers, { timeoutMs, what: `${running.name}: ${url}` }), ended]);
}

/** Below the ports that a system gives to outgoing connections (from 32768 on Linux, 49152 elsewhere). */
const LISTENING = { from: 12_000, to: 32_000 };
const given = new Set<number>();

/**
 * Ports that nothing listens on. Not those that port 0 would give: they come from the range of outgoing connections, and
 * one of these may take the port in the seconds before the process that it was meant for listens.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(LISTENING.from, LISTENING.to);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    // Every address: what listens on one of them would be in the way of a process that listens on all.
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
