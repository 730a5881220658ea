/** What must be shown of ingest: acks a second, latency, memory, start; beside express and beside the limit. */
import { readFile } from 'node:fs/promises';
import { openTestDatabase, prepareDatabase, startOwnPostgres, type TestDatabase } from '../support/database.ts';
import { freePorts, type KlarProcess, startProcess, untilAnswers } from '../support/process.ts';
import { until } from '../support/until.ts';
import { closedLoop, type LoadResult, openLoop } from './http-load.ts';
import { batchInsertRate } from './pgbench.ts';
import type { Goal, Report } from './report.ts';
import { buildRequests, SECRET, sampleBody } from './requests.ts';

const CONNECTIONS = 512;
/** More than this many acks a second would need more prepared requests than memory should hold. */
const MOST_PER_SECOND = 22_000;

type Server = { port: number; process: KlarProcess; startMs: number };

async function accepts(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/`);
  await response.arrayBuffer();
  return true;
}

async function start(entry: string, env: Record<string, string>, portSetting?: string): Promise<Server> {
  const [port = 0, adminPort = 0] = await freePorts(2);
  const began = performance.now();
  const ports: Record<string, string> = portSetting
    ? { [portSetting]: String(port), ADMIN_PORT: String(adminPort) }
    : {};
  const process = startProcess(entry, { ...env, ...ports }, [String(port)]);
  if (portSetting) await untilAnswers(process, `http://127.0.0.1:${adminPort}/readyz`);
  else await until(() => accepts(port), { timeoutMs: 20_000 });
  return { port, process, startMs: performance.now() - began };
}

/** MiB. `VmRSS` is now, `VmHWM` the highest so far. */
async function memory(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1]) / 1024;
}

async function stored(database: TestDatabase, prefix: string): Promise<{ rows: number; keys: number }> {
  const [row] = await database.asSuperuser<{ rows: number; keys: number }>(
    `select count(*)::int as rows, count(distinct (e.provider, e.account, e.event_id))::int as keys
     from inbox.events e where e.event_id like $1`,
    [`evt\\_${prefix}\\_%`],
  );
  return row ?? { rows: 0, keys: 0 };
}

const ms = (value: number) => `${value.toFixed(1)} ms`;
const rate = (value: number) => `${Math.round(value).toLocaleString('en-US')}/s`;
const latencyLine = (name: string, result: LoadResult) =>
  `${name.padEnd(34)} p50 ${ms(result.p50)}  p99 ${ms(result.p99)}  p99.9 ${ms(result.p999)}  max ${ms(result.max)}` +
  `  (${result.acked} acked, ${result.refused} refused, ${result.failed} failed)`;

export async function benchIngest(report: Report, short: boolean): Promise<Goal[]> {
  const seconds = short ? 4 : 12;
  const postgres = await startOwnPostgres({ settings: { max_wal_size: '4GB', shared_buffers: '256MB' } });
  const running: KlarProcess[] = [];
  const goals: Goal[] = [];
  try {
    await prepareDatabase(postgres.superuserUrl);
    const database = openTestDatabase(postgres.superuserUrl);
    await database.asSuperuser('create schema bench');
    await database.asSuperuser('create table bench.body (raw bytea)');
    await database.asSuperuser('insert into bench.body values ($1)', [sampleBody()]);
    report.line(`body ${sampleBody().length} bytes, ${CONNECTIONS} connections in the closed loop, fsync on`);

    const use = async (entry: string, env: Record<string, string>, portSetting?: string) => {
      const server = await start(entry, env, portSetting);
      running.push(server.process);
      return server;
    };
    /** The tables as empty as for the others, and nothing left to write back. */
    const settle = async () => {
      await database.asSuperuser('truncate inbox.events');
      await database.asSuperuser('checkpoint');
    };
    const count = Math.ceil(MOST_PER_SECOND * seconds);
    const closed = async (server: Server, prefix: string) => {
      await closedLoop(server.port, buildRequests(`${prefix}warm`, 20_000), { connections: 128, seconds: 0.7 });
      return closedLoop(server.port, buildRequests(prefix, count), { connections: CONNECTIONS, seconds });
    };
    const check = async (prefix: string, result: LoadResult) => {
      const { rows, keys } = await stored(database, prefix);
      const exact = rows === result.acked && keys === rows;
      goals.push({
        name: `${prefix}: rows = acks, no duplicate`,
        met: exact,
        shown: `${rows} rows, ${keys} keys, ${result.acked} acks`,
        endCheck: true,
      });
    };

    // H: the server without a database.
    const stub = await use('test/bench/stub-ingest.ts', {});
    const h = await closed(stub, 'stub');
    await stub.process.stop();

    // D: the database without a server.
    const d = await batchInsertRate(postgres.superuserUrl, 'bench.body', seconds);
    await settle();

    const ingest = await use(
      'services/webhook-ingest/main.ts',
      {
        KLAR_PROFILE: 'test',
        LOG_LEVEL: 'error',
        KLAR_SECRETS_DIR: '/nonexistent',
        STRIPE_WEBHOOK_SECRET: SECRET,
        DATABASE_URL_INGEST: database.url('klar_ingest'),
      },
      'INGEST_PORT',
    );
    const idleMiB = await memory(ingest.process.pid, 'VmRSS');
    const own = await closed(ingest, 'closed');
    await check('closed', own);
    await settle();
    const slow = await openLoop(ingest.port, buildRequests('open1k', 1_000 * seconds), {
      connections: 256,
      perSecond: 1_000,
    });
    await check('open1k', slow);
    const fast = await openLoop(ingest.port, buildRequests('open4k', 4_000 * seconds), {
      connections: 512,
      perSecond: 4_000,
    });
    await check('open4k', fast);
    const loadMiB = await memory(ingest.process.pid, 'VmHWM');
    await ingest.process.stop();
    await settle();

    const express = await use('test/bench/express-ingest.ts', {
      DATABASE_URL: database.url('klar_ingest'),
      NODE_ENV: 'production',
    });
    const usual = await closed(express, 'express');
    await settle();
    const usualSlow = await openLoop(express.port, buildRequests('xopen1k', 1_000 * seconds), {
      connections: 256,
      perSecond: 1_000,
    });
    await express.process.stop();

    const limit = 1 / (1 / h.perSecond + 1 / d);
    report.line(`express + one INSERT               ${rate(usual.perSecond)}`);
    report.line(`H: ingest, store stubbed           ${rate(h.perSecond)}`);
    report.line(`D: batches of 256 by pgbench       ${rate(d)}`);
    report.line(`limit 1/(1/H + 1/D)                ${rate(limit)}`);
    report.line(
      `ingest                             ${rate(own.perSecond)}   ${(own.perSecond / usual.perSecond).toFixed(2)}x express, ${((own.perSecond / limit) * 100).toFixed(0)} % of the limit`,
    );
    report.line(latencyLine('ingest at 1,000/s', slow));
    report.line(latencyLine('ingest at 4,000/s', fast));
    report.line(latencyLine('express at 1,000/s', usualSlow));
    report.line(
      `ingest memory: idle ${idleMiB.toFixed(0)} MiB, highest under load ${loadMiB.toFixed(0)} MiB; ready ${Math.round(ingest.startMs)} ms after its start`,
    );

    goals.push(
      {
        name: 'ingest >= 10,000 acks/s or >= 2x express + one INSERT',
        met: own.perSecond >= 10_000 || own.perSecond >= 2 * usual.perSecond,
        shown: `${rate(own.perSecond)}, ${(own.perSecond / usual.perSecond).toFixed(2)}x`,
      },
      {
        name: 'ingest >= 85 % of the limit',
        met: own.perSecond >= 0.85 * limit,
        shown: `${((own.perSecond / limit) * 100).toFixed(0)} %`,
      },
      { name: 'p99 <= 20 ms at 4,000/s', met: fast.p99 <= 20, shown: ms(fast.p99) },
      { name: 'p99.9 <= 50 ms at 4,000/s', met: fast.p999 <= 50, shown: ms(fast.p999) },
      { name: 'ingest cold start <= 1.5 s', met: ingest.startMs <= 1_500, shown: `${Math.round(ingest.startMs)} ms` },
      { name: 'ingest RSS idle <= 150 MiB', met: idleMiB <= 150, shown: `${idleMiB.toFixed(0)} MiB` },
      { name: 'ingest RSS under load <= 300 MiB', met: loadMiB <= 300, shown: `${loadMiB.toFixed(0)} MiB` },
    );
    await database.close();
    return goals;
  } finally {
    await Promise.all(running.map((process) => process.stop()));
    await postgres.close();
  }
}
