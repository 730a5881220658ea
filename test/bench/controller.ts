/** What the controller costs and how quick it is, and what an evaluation of a flag costs, as it is in every request. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { silentLogger } from '#platform/log/index.ts';
import { applyObject } from '../../services/controller/kube/apply.ts';
import { createKubeClient, type KubeClient } from '../../services/controller/kube/client.ts';
import { type KubeEndpoint, kubeconfigEndpoint } from '../../services/controller/kube/endpoint.ts';
import { createReflector, type Reflector } from '../../services/controller/kube/reflector.ts';
import type { ConfigMap } from '../../services/controller/kube/status.ts';
import { systemTiming } from '../../services/controller/kube/timing.ts';
import { startFakeKube } from '../integration/controller/fake-kube.ts';
import { freePorts, startProcess, untilAnswers } from '../support/process.ts';
import { createStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { benchFlags, tenantsDocument } from './flag-rates.ts';
import { cpuMsOf, memoryMiBOf } from './proc.ts';
import type { Goal, Report } from './report.ts';

const OBJECTS = [1, 100, 1_000] as const;
const GOAL_MIB = 100;
const GOAL_CPU = 0.01;

type Place = { endpoint: KubeEndpoint; close(): Promise<void> };

/** The real API server where KUBECONFIG names one, else a stand-in in this process. */
async function findApiServer(): Promise<Place> {
  if (!process.env.KUBECONFIG) {
    const fake = await startFakeKube();
    return {
      endpoint: { server: fake.url, namespace: 'bench', credentials: async () => ({}) },
      close: () => fake.close(),
    };
  }
  const endpoint = await kubeconfigEndpoint(process.env.KUBECONFIG, `klar-bench-${randomBytes(3).toString('hex')}`);
  const client = createKubeClient({ endpoint });
  const path = '/api/v1/namespaces';
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: endpoint.namespace } };
  await client.request({ method: 'POST', path, body });
  return {
    endpoint,
    async close() {
      await client.request({ method: 'DELETE', path: `${path}/${endpoint.namespace}` });
      client.close();
    },
  };
}

const socketsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;

const at = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
const shown = (times: number[]) => {
  const sorted = times.toSorted((a, b) => a - b);
  return `p50 ${at(sorted, 0.5).toFixed(0)} ms, p99 ${at(sorted, 0.99).toFixed(0)} ms`;
};

/** What this process sees and writes, beside the controller that is measured. */
class Bench {
  readonly client: KubeClient;
  readonly maps: string;
  readonly out: Reflector<ConfigMap>;
  /** Called with each name that changed. */
  onOut: (name: string) => void = () => {};

  constructor(endpoint: KubeEndpoint) {
    this.client = createKubeClient({ endpoint });
    this.maps = `/api/v1/namespaces/${endpoint.namespace}/configmaps`;
    this.out = createReflector<ConfigMap>({
      client: this.client,
      path: this.maps,
      timing: systemTiming,
      log: silentLogger(),
      onChange: (name) => this.onOut(name),
    });
    this.out.start();
  }

  put(name: string, data: Record<string, string>, labels: Record<string, string> = {}): Promise<unknown> {
    return applyObject<ConfigMap>(this.client, {
      path: `${this.maps}/${name}`,
      object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data },
      fieldManager: 'bench-source',
    });
  }

  /** From writing something until its effect is seen, in ms. */
  async latency(write: () => Promise<unknown>, effect: string, seen: (map: ConfigMap) => boolean): Promise<number> {
    let done = (_at: number) => {};
    const effectAt = new Promise<number>((resolve) => {
      done = resolve;
    });
    this.onOut = (name) => {
      const map = name === effect ? this.out.get(name) : undefined;
      if (map && seen(map)) done(performance.now());
    };
    const began = performance.now();
    await write();
    const timeout = pause(30_000, Number.POSITIVE_INFINITY, { ref: false });
    return (await Promise.race([effectAt, timeout])) - began;
  }

  async close(): Promise<void> {
    await this.out.stop();
    this.client.close();
  }
}

type Load = {
  stack: Stack;
  place: Place;
  report: Report;
  env: Record<string, string>;
  restMs: number;
  changes: number;
  flips: number;
};

type Result = { idleCpu: number; memory: number; lost: number };
const NOTHING = { restMs: 1_000, changes: 1, flips: 1 };

async function measure(load: Load, objects: number): Promise<Result> {
  const { stack, place, report } = load;
  const bench = new Bench(place.endpoint);
  const [adminPort = 0] = await freePorts(1);
  const { server, namespace } = place.endpoint;
  const text = (value: string | Buffer | undefined) => value?.toString();
  const { ca, cert, key, authorization } = await place.endpoint.credentials();
  const controller = startProcess('test/bench/controller-process.ts', {
    ...stack.env,
    ...load.env,
    ADMIN_PORT: String(adminPort),
    DATABASE_URL_CONTROLLER: stack.database.url('klar_controller'),
    KUBE: JSON.stringify({ server, namespace, ca: text(ca), cert: text(cert), key: text(key), authorization }),
  });
  try {
    await untilAnswers(controller, `http://127.0.0.1:${adminPort}/readyz`, 60_000);
    await bench.put('klar-flags-source', { 'flags.json': tenantsDocument(true) });
    for (let n = 0; n < objects; n++) await bench.put(`in-${n}`, { value: '0' }, { bench: 'in' });
    const names = Array.from({ length: objects }, (_, n) => `out-in-${n}`);
    await until(() => bench.out.get('klar-flags') && names.every((name) => bench.out.get(name)), {
      timeoutMs: 120_000,
      everyMs: 100,
      what: `${objects} objects reconciled\n${controller.output().slice(-2_000)}`,
    });
    // Garbage of the beginning goes, and what the lease and the pods cost is spread.
    await pause(3_000);
    const cpuBefore = cpuMsOf(controller.pid);
    await pause(load.restMs);
    const idleCpu = (cpuMsOf(controller.pid) - cpuBefore) / load.restMs;
    const memory = await memoryMiBOf(controller.pid, 'VmRSS');
    const idleSockets = socketsOf(controller.pid);

    const times: number[] = [];
    const cpuBeforeLoad = cpuMsOf(controller.pid);
    for (let n = 1; n <= load.changes; n++) {
      const name = `in-${(n * 7) % objects}`;
      const write = () => bench.put(name, { value: String(n) }, { bench: 'in' });
      times.push(await bench.latency(write, `out-${name}`, (map) => map.data?.value === String(n)));
    }
    const perChange = (cpuMsOf(controller.pid) - cpuBeforeLoad) / load.changes;
    const flips: number[] = [];
    for (let n = 0; n < load.flips; n++) {
      // A flip is four visits of the queue, which gives 20 a second: one at once after the other measures only that.
      await pause(400);
      const before = bench.out.get('klar-flags')?.data?.['live.json'];
      const write = () => bench.put('klar-flags-source', { 'flags.json': tenantsDocument(n % 2 === 1) });
      flips.push(await bench.latency(write, 'klar-flags', (map) => map.data?.['live.json'] !== before));
    }
    const highest = await memoryMiBOf(controller.pid, 'VmHWM');
    report.line(
      `  ${`${objects} objects`.padStart(13)}: change to effect ${shown(times)} (${perChange.toFixed(1)} ms of CPU each); a flip for 1,000 tenants to the live ConfigMap ${shown(flips)}`,
    );
    report.line(
      `                 idle ${(idleCpu * 100).toFixed(2)} % of a core, ${memory.toFixed(0)} MiB, ${idleSockets} sockets; ` +
        `afterwards never above ${highest.toFixed(0)} MiB, ${socketsOf(controller.pid)} sockets`,
    );
    const lost = [...times, ...flips].filter((ms) => !Number.isFinite(ms)).length;
    return { idleCpu, memory, lost };
  } finally {
    await controller.stop();
    await bench.close();
  }
}

export async function benchController(report: Report, short: boolean): Promise<Goal[]> {
  const goals = benchFlags(report, short);
  const stack = await createStack({ NODE_ENV: 'production' });
  const cache = await mkdtemp(path.join(tmpdir(), 'klar-bench-'));
  const one = async (env: Record<string, string>, objects: number, amounts: typeof NOTHING, to = report) => {
    const place = await findApiServer();
    try {
      return await measure({ stack, place, report: to, env, ...amounts }, objects);
    } finally {
      await place.close();
    }
  };
  try {
    const amounts = short ? { restMs: 10_000, changes: 50, flips: 10 } : { restMs: 60_000, changes: 300, flips: 50 };
    const server = process.env.KUBECONFIG ? 'the API server of KUBECONFIG' : 'a stand-in of the API server';
    // As the image has it: NODE_COMPILE_CACHE points to what an earlier start left. It is written when a process ends.
    const cached = { NODE_COMPILE_CACHE: cache, NODE_OPTIONS: '--max-semi-space-size=2' };
    await one(cached, 1, NOTHING, { line() {} });
    report.line(`the controller against ${server}, with the compile cache of the image and the options of the chart:`);
    const results: Result[] = [];
    for (const objects of OBJECTS) results.push(await one(cached, objects, amounts));
    report.line('from a checkout, nothing cached:');
    await one({}, 1, amounts);
    const most = (of: (result: Result) => number) => Math.max(...results.map(of));
    const [cpu, memory, lost] = [most((r) => r.idleCpu), most((r) => r.memory), most((r) => r.lost)];
    return [
      ...goals,
      { name: 'controller: RSS idle <= 100 MiB', met: memory <= GOAL_MIB, shown: `${memory.toFixed(0)} MiB` },
      { name: 'controller: idle CPU <= 1 %', met: cpu <= GOAL_CPU, shown: `${(cpu * 100).toFixed(2)} %` },
      { name: 'every change had its effect', met: lost === 0, shown: `${lost} without`, endCheck: true },
    ];
  } finally {
    await stack.close();
    await rm(cache, { recursive: true, force: true });
  }
}
