import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile, realpath, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export type PostmasterFile = { pid: number; port: number; status: string };

/** postmaster.pid: line 1 the pid, line 4 the port, line 8 the state (`starting`, `ready`, `stopping`). */
export async function readPostmasterFile(dataDir: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(path.join(dataDir, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number(lines[0]), port: Number(lines[3]), status: (lines[7] ?? '').trim() };
}

export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  // A zombie answers to signal 0 for as long as its parent does not reap it; it holds nothing.
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

/** Whether a live pid is the postmaster of this folder, and not a stranger that was given the same number later. */
async function isPostmasterOf(pid: number, dataDir: string): Promise<boolean> {
  const folder = await realpath(dataDir);
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder; // a postmaster stands in its data folder
  } catch {
    try {
      return execFileSync('ps', ['-p', String(pid), '-o', 'command='])
        .toString()
        .includes('postgres');
    } catch {
      return false;
    }
  }
}

export async function untilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

/**
 * What a killed process tree leaves behind: a postmaster that still runs (it is stopped cleanly, so that nothing
 * committed needs recovery), or a pid file whose number now belongs to somebody else (removed, as PostgreSQL would refuse).
 */
export async function clearLeftover(dataDir: string, log: (message: string) => void): Promise<void> {
  const file = await readPostmasterFile(dataDir);
  if (file === undefined) return;
  if (isAlive(file.pid) && (await isPostmasterOf(file.pid, dataDir))) {
    log(`a PostgreSQL of an earlier run is still there (pid ${file.pid}): stopping it`);
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      process.kill(file.pid, signal);
      if (await untilGone(file.pid, 10_000)) return;
    }
    return;
  }
  await rm(path.join(dataDir, 'postmaster.pid'), { force: true });
}
