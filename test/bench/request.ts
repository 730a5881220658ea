/** What one request costs the api: its processor time and its round trips to the database, at the mix of the cluster tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ApiClient } from '../support/client.ts';
import { createStack, type Stack } from '../support/stack.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { cpuMsOf, median } from './proc.ts';
import type { Goal, Report } from './report.ts';

/** Requests under way at once: what 250 a second make of answers of 30 ms. */
const CALLERS = 8;
const STUDENTS = 4;
/** One request in ten writes, as the load of the cluster tests. */
const WRITE_EVERY = 10;
/** After so many, the code is compiled: what comes after is the steady cost. */
const FIRST = 200;
const ROUNDS = 3;

type Sent = { method: string; path: string; headers: Record<string, string>; body?: string };
type Mix = (n: number) => Sent;

async function openMix(url: string): Promise<Mix> {
  const anybody = new ApiClient(url);
  const slug = `bench-${Date.now()}`;
  const teacher = await anybody.register('teacher');
  await teacher.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Bench', slug } });
  const school = teacher.client.with({ tenant: slug });
  const price = { amount: 4900, currency: 'USD' };
  const course = await school.expect<{ id: string }>(201, 'POST', '/api/courses', {
    body: { title: 'Standing firm', price, status: 'published' },
  });
  const service = await school.expect<{ id: string }>(201, 'POST', '/api/services', {
    body: { title: 'An hour', duration_minutes: 60, price, status: 'published' },
  });
  const headers: Record<string, string>[] = [];
  for (let i = 0; i < STUDENTS; i += 1) {
    const student = await anybody.register('student');
    await student.client.expect(201, 'POST', `/api/tenants/${slug}/join`, { body: {} });
    headers.push({ authorization: `Bearer ${student.token}`, 'klar-tenant': slug });
  }
  const body = JSON.stringify({ lines: [{ kind: 'service', id: service.id, quantity: 1 }] });
  const reads = ['/api/courses?limit=5', `/api/courses/${course.id}`, '/api/orders?limit=5', '/api/me'];
  return (n) => {
    const credentials = headers[n % STUDENTS] as Record<string, string>;
    if (n % WRITE_EVERY !== 0) return { method: 'GET', path: reads[n % reads.length] as string, headers: credentials };
    const more = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      'idempotency-key': `bench-${slug}-${n}`,
    };
    return { method: 'POST', path: '/api/orders', headers: { ...credentials, ...more }, body };
  };
}

let sentSoFar = 0;

/** Sends `count` requests, `CALLERS` at a time. @throws when one is not answered with success */
async function send(port: number, mix: Mix, count: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  const end = sentSoFar + count;
  const one = (wanted: Sent) =>
    new Promise<void>((resolve, reject) => {
      const outgoing = request({ port, host: '127.0.0.1', agent, ...wanted }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('error', reject).once('end', () => {
          const { statusCode } = response;
          if (statusCode !== undefined && statusCode < 300) resolve();
          else reject(new Error(`${wanted.method} ${wanted.path}: ${statusCode} ${text}`));
        });
      });
      outgoing.once('error', reject).end(wanted.body);
    });
  const caller = async () => {
    while (sentSoFar < end) await one(mix(sentSoFar++));
  };
  try {
    await Promise.all(Array.from({ length: CALLERS }, caller));
  } finally {
    agent.destroy();
  }
}

/** Statements sent so far, BEGIN and COMMIT not among them. */
async function statementsOf(adminPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const counts = text.matchAll(/^klar_db_statement_seconds_count\{[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, n]) => sum + Number(n), 0);
}

interface Cost {
  /** Milliseconds of CPU, all threads: to the first 200 of /readyz; a request of the first ones; a request after them. */
  startMs: number;
  firstMs: number;
  steadyMs: number;
  statements: number;
}

async function round(stack: Stack, mix: Mix, count: number, env: Record<string, string>): Promise<Cost> {
  const api = await stack.start('api', { env });
  const cpu = () => cpuMsOf(api.process.pid);
  const startMs = cpu();
  await send(api.port, mix, FIRST);
  const warm = cpu();
  await send(api.port, mix, count / 5);
  const [from, statements] = [cpu(), await statementsOf(api.adminPort)];
  await send(api.port, mix, count);
  const cost: Cost = {
    startMs,
    firstMs: (warm - startMs) / FIRST,
    steadyMs: (cpu() - from) / count,
    statements: ((await statementsOf(api.adminPort)) - statements) / count,
  };
  await api.process.stop();
  return cost;
}

/** Writes to the database's sockets a request: statements that leave together are one. */
async function flights(stack: Stack, mix: Mix, count: number): Promise<number> {
  const proxy = await startTcpProxy(stack.postgres.port);
  const through = (url = '') => Object.assign(new URL(url), { port: String(proxy.port) }).href;
  const api = await stack.start('api', {
    env: Object.fromEntries(['DATABASE_URL_API', 'DATABASE_URL_AUTH'].map((name) => [name, through(stack.env[name])])),
  });
  await send(api.port, mix, FIRST);
  const from = proxy.sent.length;
  await send(api.port, mix, count);
  const each = (proxy.sent.length - from) / count;
  await api.process.stop();
  await proxy.close();
  return each;
}

export async function benchRequest(report: Report, short: boolean): Promise<Goal[]> {
  const count = short ? 1_000 : 5_000;
  const stack = await createStack({ NODE_ENV: 'production', LOG_LEVEL: 'info' });
  const cache = await mkdtemp(path.join(tmpdir(), 'klar-bench-'));
  try {
    const api = await stack.start('api');
    const mix = await openMix(api.url);
    await api.process.stop();
    report.line(
      `median of ${ROUNDS} processes, ${count} requests each, ${CALLERS} at a time, one in ${WRITE_EVERY} writes`,
    );
    const rounds = async (env: Record<string, string>, requests: number) => {
      const costs: Cost[] = [];
      for (let i = 0; i < ROUNDS; i += 1) costs.push(await round(stack, mix, requests, env));
      return (field: keyof Cost) => median(costs.map((cost) => cost[field]));
    };
    const of = await rounds({}, count);
    report.line(`  CPU to ready ${of('startMs').toFixed(0)} ms`);
    report.line(
      `  CPU a request: ${of('firstMs').toFixed(2)} ms of the first ${FIRST}, ${of('steadyMs').toFixed(2)} ms later`,
    );
    report.line(`  statements a request: ${of('statements').toFixed(2)}`);
    report.line(`  flights a request: ${(await flights(stack, mix, count / 5)).toFixed(2)}`);
    // As the image has it: what an earlier process left when it ended.
    const cached = { NODE_COMPILE_CACHE: cache };
    await round(stack, mix, FIRST, cached);
    const then = await rounds(cached, FIRST);
    report.line(
      `  with the compile cache of the image: CPU to ready ${then('startMs').toFixed(0)} ms, ` +
        `a request of the first ${FIRST} ${then('firstMs').toFixed(2)} ms`,
    );
  } finally {
    await stack.close();
    await rm(cache, { recursive: true, force: true });
  }
  return [];
}
