import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from './postmaster.ts';
import { StartError } from './start-error.ts';

/** Longer than the moment between another start's look at the lock and its rename. */
const SETTLE_MS = 100;

type Holder = { pid: number; started: string; port?: number };

/**
 * Holds a data folder for one process. A lock left by kill -9 is recognised by its dead pid, and one whose pid
 * belongs to another program by now by the time that program started.
 * @throws StartError when a live one holds it.
 */
export async function takeLock(
  file: string,
  port: number,
  say: (line: string) => void,
): Promise<{ release(): Promise<void> }> {
  const mine: Holder = { pid: process.pid, started: startOf(process.pid), port };
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, JSON.stringify(mine), { mode: 0o644 });
  try {
    // link() fails when the target exists and never shows a half-written lock, which open('wx') does.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await link(draft, file);
        // Another start that saw the same stale lock may have moved ours aside believing it to be that one.
        if (attempt > 0) await delay(SETTLE_MS);
        if ((await readHolder(file))?.pid === process.pid) break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === 9) throw error;
        await breakStale(file, say);
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
  return {
    async release() {
      const holder = await readHolder(file);
      if (holder?.pid === process.pid) await rm(file, { force: true });
    },
  };
}

async function breakStale(file: string, say: (line: string) => void): Promise<void> {
  const holder = await readHolder(file);
  if (holder && isAlive(holder.pid) && startOf(holder.pid) === holder.started) {
    throw new StartError(
      'already_running',
      `Klar already runs on this folder (pid ${holder.pid}${holder.port ? `, http://localhost:${holder.port}` : ''}).`,
      `Stop it with: kill ${holder.pid}\nOr run a second one beside it: KLAR_DATA_DIR=.klar-2 PORT=3010 npm start`,
    );
  }
  const aside = `${file}.stale.${process.pid}`;
  await rename(file, aside).catch(() => {});
  const moved = await readHolder(aside);
  // Between our look and our rename another start may have replaced the stale lock by its own: give that one back.
  if (moved && moved.pid !== holder?.pid) await link(aside, file).catch(() => {});
  else say(`removed the lock of an earlier run that was killed${holder ? ` (pid ${holder.pid})` : ''}`);
  await rm(aside, { force: true });
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** When a process started, in whatever unit the system tells it: a reused pid has another one. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''; // field 22; the name before it may hold spaces
  } catch {
    try {
      return execFileSync('ps', ['-p', String(pid), '-o', 'lstart='])
        .toString()
        .trim();
    } catch {
      return '';
    }
  }
}
