/** What must be shown of a start: every process alone, on a real migrated database, as a deployment starts it. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createStack, type Stack, type StackProcess } from '../support/stack.ts';
import type { Goal, Report } from './report.ts';

const KINDS = ['webhook-ingest', 'worker', 'api'] as const;
const GOAL_MS = 1_500;
const GOAL_MIB = 150;

type Start = { readyMs: number; cpuMs: number; idleMiB: number; peakMiB: number };

/** CPU time, user and system, of all threads of a process; the kernel counts it in ticks of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function memoryMiB(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1]) / 1024;
}

/** When a process has done what it does after its start (first polls, lazily loaded parts), its memory stands still. */
async function idleMiB(pid: number): Promise<number> {
  let last = 0;
  for (let second = 0, still = 0; second < 20 && still < 3; second += 1) {
    await delay(1_000);
    const now = await memoryMiB(pid, 'VmRSS');
    still = Math.abs(now - last) < 1 ? still + 1 : 0;
    last = now;
  }
  return last;
}

async function measure(stack: Stack, kind: StackProcess, env: Record<string, string>): Promise<Start> {
  const began = performance.now();
  const { process } = await stack.start(kind, { env });
  const readyMs = performance.now() - began;
  const cpu = await cpuMs(process.pid);
  const idle = await idleMiB(process.pid);
  const peak = await memoryMiB(process.pid, 'VmHWM');
  await process.stop();
  return { readyMs, cpuMs: cpu, idleMiB: idle, peakMiB: peak };
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

export async function benchStart(report: Report, short: boolean): Promise<Goal[]> {
  const rounds = short ? 3 : 5;
  const stack = await createStack({ NODE_ENV: 'production', LOG_LEVEL: 'info' });
  const goals: Goal[] = [];
  try {
    for (const kind of KINDS) {
      const starts: Start[] = [];
      for (let round = 0; round < rounds; round += 1) starts.push(await measure(stack, kind, {}));
      const of = (field: keyof Start) => median(starts.map((start) => start[field]));
      const [ready, cpu, idle, peak] = [of('readyMs'), of('cpuMs'), of('idleMiB'), of('peakMiB')];
      report.line(
        `${kind.padEnd(16)} ready ${ready.toFixed(0)} ms (${cpu.toFixed(0)} ms of CPU)  ` +
          `idle ${idle.toFixed(0)} MiB, peak ${peak.toFixed(0)} MiB`,
      );
      goals.push(
        { name: `${kind}: cold start <= 1.5 s`, met: ready <= GOAL_MS, shown: `${ready.toFixed(0)} ms` },
        { name: `${kind}: RSS idle <= 150 MiB`, met: idle <= GOAL_MIB, shown: `${idle.toFixed(0)} MiB` },
      );
    }
  } finally {
    await stack.close();
  }
  return goals;
}
