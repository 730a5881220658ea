/** What must be shown of a start: every process alone, on a real migrated database, as a deployment starts it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createStack, type Replica, type Stack } from '../support/stack.ts';
import { cpuMsOf, median, memoryMiBOf } from './proc.ts';
import type { Goal, Report } from './report.ts';

const KINDS = ['webhook-ingest', 'worker', 'api'] as const;
type Kind = (typeof KINDS)[number];
const GOAL_MS = 1_500;
const GOAL_MIB = 150;

/** `highestMiB` includes what a start needs for a moment. */
type Start = { readyMs: number; cpuMs: number; idleMiB: number; highestMiB: number };

/** One start of every process, each alone while it starts; then all rest for a while, as they do most of their life. */
async function round(stack: Stack, env: Record<string, string>, restMs: number): Promise<Record<Kind, Start>> {
  const running: { kind: Kind; replica: Replica; readyMs: number; cpuMs: number }[] = [];
  for (const kind of KINDS) {
    const began = performance.now();
    const replica = await stack.start(kind, { env });
    running.push({ kind, replica, readyMs: performance.now() - began, cpuMs: cpuMsOf(replica.process.pid) });
  }
  await pause(restMs);
  const starts = await Promise.all(
    running.map(async ({ kind, replica, readyMs, cpuMs }) => {
      const { pid } = replica.process;
      const idleMiB = await memoryMiBOf(pid, 'VmRSS');
      const highestMiB = await memoryMiBOf(pid, 'VmHWM');
      await replica.process.stop();
      return [kind, { readyMs, cpuMs, idleMiB, highestMiB }] as const;
    }),
  );
  return Object.fromEntries(starts) as Record<Kind, Start>;
}

/** The api loads what a login needs with the first one: its memory afterwards, when nobody asks any more. */
async function apiAfterLogins(stack: Stack, env: Record<string, string>, restMs: number): Promise<number> {
  const { process, url } = await stack.start('api', { env });
  const post = async (route: string, body: object) => {
    const response = await fetch(`${url}${route}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const login = { email: `bench-${Date.now()}@example.com`, password: 'a long passphrase of this bench' };
  const registered = await post('/api/auth/register', { ...login, name: 'Bench' });
  const loggedIn = await post('/api/auth/login', login);
  if (registered >= 300 || loggedIn >= 300) throw new Error(`register answered ${registered}, login ${loggedIn}`);
  await pause(restMs);
  const memory = await memoryMiBOf(process.pid, 'VmRSS');
  await process.stop();
  return memory;
}

async function measure(
  input: { stack: Stack; report: Report; env: Record<string, string>; rounds: number; restMs: number },
  goals?: Goal[],
): Promise<void> {
  const { stack, report, env, rounds, restMs } = input;
  const all: Record<Kind, Start>[] = [];
  for (let i = 1; i <= rounds; i += 1) {
    // The last one rests longer: garbage of the start goes late, and idle work makes new one.
    all.push(await round(stack, env, i === rounds ? 6 * restMs : restMs));
  }
  for (const kind of KINDS) {
    const of = (field: keyof Start) => median(all.map((starts) => starts[kind][field]));
    const highest = Math.max(...all.map((starts) => starts[kind].highestMiB));
    const late = all.at(-1)?.[kind].idleMiB ?? 0;
    const ready = `${of('readyMs').toFixed(0)} ms`;
    const idle = `${of('idleMiB').toFixed(0)} MiB`;
    report.line(
      `  ${kind.padEnd(15)} ready after ${ready.padStart(7)} (${of('cpuMs').toFixed(0)} ms of CPU)   idle ${idle}, ` +
        `after ${((6 * restMs) / 1_000).toFixed(0)} s ${late.toFixed(0)} MiB, never above ${highest.toFixed(0)} MiB`,
    );
    goals?.push(
      { name: `${kind}: cold start <= 1.5 s`, met: of('readyMs') <= GOAL_MS, shown: ready },
      { name: `${kind}: RSS idle <= 150 MiB`, met: of('idleMiB') <= GOAL_MIB, shown: idle },
    );
  }
  const used = await apiAfterLogins(stack, env, restMs);
  report.line(`  ${'api'.padEnd(15)} after a registration and a login ${used.toFixed(0)} MiB`);
}

export async function benchStart(report: Report, short: boolean): Promise<Goal[]> {
  const rounds = short ? 3 : 5;
  const restMs = short ? 3_000 : 10_000;
  const stack = await createStack({ NODE_ENV: 'production', LOG_LEVEL: 'info' });
  const cache = await mkdtemp(path.join(tmpdir(), 'klar-bench-'));
  const goals: Goal[] = [];
  try {
    report.line(`median of ${rounds} starts, each alone; from spawn to the first 200 of /readyz`);
    report.line('from a checkout, nothing cached:');
    await measure({ stack, report, env: {}, rounds, restMs }, goals);
    // As the image has it: NODE_COMPILE_CACHE points to what an earlier start left. It is written when a process ends.
    const cached = { NODE_COMPILE_CACHE: cache };
    await round(stack, cached, 0);
    await apiAfterLogins(stack, cached, 0);
    report.line('with the compile cache of the image:');
    await measure({ stack, report, env: cached, rounds, restMs });
  } finally {
    await stack.close();
    await rm(cache, { recursive: true, force: true });
  }
  return goals;
}
