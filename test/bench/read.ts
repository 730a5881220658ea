/** What row level security costs: the same reads of one tenant through the data layer, with it and without. */
import pg from 'pg';
import { createDb, type Db } from '#platform/db/index.ts';
import { openTestDatabase, prepareDatabase, startOwnPostgres, type TestDatabase } from '../support/database.ts';
import { cpuMsOf, median } from './proc.ts';
import {
  type Course,
  courseId,
  fill,
  makeCopyTable,
  parametersOf,
  type Read,
  type Size,
  STATEMENTS,
  tenantId,
} from './read-tables.ts';
import type { Goal, Report } from './report.ts';

const CONNECTIONS = 4;
/** Reads under way at once: every connection has one, and one waits for it. */
const CALLERS = 8;
const GOAL = 0.6;

type Parameters = ReturnType<typeof parametersOf>;
type Reader = (read: Read, parameters: Parameters) => Promise<Course[]>;
type Slice = { perSecond: number; clientUs: number; serverUs: number; rows: number; sum: number };

const VARIANTS = {
  'row level security': 'withTenantTx, table with the policy',
  'without it': 'withTx, copy without a policy: the goal is measured against this',
  'tenant set, no policy': 'withTenantTx, copy without a policy: what the policy alone costs',
  'bare driver': 'pg, one statement and no transaction: what the transaction costs',
} as const;
type Variant = keyof typeof VARIANTS;

function readers(db: Db, pool: pg.Pool): Record<Variant, Reader> {
  const { policy, copy } = STATEMENTS;
  return {
    'row level security': (read, values) => db.withTenantTx(values[0], (tx) => tx.rows(policy[read], values)),
    'without it': (read, values) => db.withTx((tx) => tx.rows(copy[read], values)),
    'tenant set, no policy': (read, values) => db.withTenantTx(values[0], (tx) => tx.rows(copy[read], values)),
    'bare driver': async (read, values) =>
      (await pool.query<Course>({ name: copy[read].preparedName, text: copy[read].text, values })).rows,
  };
}

/** Runs all of `work` by CALLERS callers. The sum of the ids says later whether two variants read the same rows. */
async function slice(reader: Reader, read: Read, work: Parameters[], backends: () => number[]): Promise<Slice> {
  let next = 0;
  let rows = 0;
  let sum = 0;
  const server = () => backends().reduce((total, pid) => total + cpuMsOf(pid), 0);
  const serverBefore = server();
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const caller = async () => {
    for (let parameters = work[next++]; parameters !== undefined; parameters = work[next++]) {
      for (const course of await reader(read, parameters)) {
        rows += 1;
        sum += Number.parseInt(course.id.slice(-10), 16) % 1_000_003;
      }
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const seconds = (performance.now() - began) / 1_000;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    perSecond: work.length / seconds,
    clientUs: (cpu.user + cpu.system) / work.length,
    serverUs: ((server() - serverBefore) * 1_000) / work.length,
    rows,
    sum,
  };
}

/** Two reads that must not see another tenant's rows, and one that must: the policy was on while it was measured. */
async function policyHolds(db: Db): Promise<boolean> {
  const others: Parameters = [tenantId(2), courseId(2, 1)];
  const [own, crossed, copied] = await Promise.all([
    db.withTenantTx(tenantId(2), (tx) => tx.rows(STATEMENTS.policy.row, others)),
    db.withTenantTx(tenantId(1), (tx) => tx.rows(STATEMENTS.policy.row, others)),
    db.withTenantTx(tenantId(1), (tx) => tx.rows(STATEMENTS.copy.row, others)),
  ]);
  const unset = await db.withTx((tx) => tx.rows(STATEMENTS.policy.row, others)).catch(() => 'refused');
  return own.length === 1 && crossed.length === 0 && copied.length === 1 && unset === 'refused';
}

async function measure(
  input: { database: TestDatabase; report: Report; size: Size; rounds: number; reads: number },
  goals: Goal[],
): Promise<void> {
  const { database, report, size, rounds, reads } = input;
  const total = (size.tenants * size.coursesEach).toLocaleString('en-US');
  await fill(database, size);
  const db = createDb({ url: database.url('klar_api'), role: 'klar_api', poolSize: CONNECTIONS, appName: 'bench' });
  const pool = new pg.Pool({
    connectionString: database.url('klar_api'),
    max: CONNECTIONS,
    application_name: 'bench',
    idleTimeoutMillis: 0, // while the others run, none of its connections may go
    ...{ pipeline: true },
  });
  try {
    goals.push({ name: `${total} rows: the policy holds`, met: await policyHolds(db), shown: '', endCheck: true });
    const all = Object.entries(readers(db, pool)) as [Variant, Reader][];
    for (const read of ['row', 'page'] as const) {
      const workOf = () =>
        Array.from({ length: reads }, () =>
          parametersOf(read, 1 + Math.floor(Math.random() * size.tenants), size, Math.random()),
        );
      for (const [, reader] of all) await slice(reader, read, workOf(), () => []);
      const backends = await database.asSuperuser<{ pid: number }>(
        `select pid from pg_stat_activity where application_name = 'bench'`,
      );
      const slices: Record<string, Slice[]> = {};
      let agree = true;
      for (let round = 0; round < rounds; round += 1) {
        // Each round does the same reads in every way, one after the other: what else runs here slows all of them.
        const work = workOf();
        const order = round % 2 === 0 ? all : all.toReversed();
        const sums = new Set<string>();
        for (const [name, reader] of order) {
          const done = await slice(reader, read, work, () => backends.map(({ pid }) => pid));
          slices[name] = [...(slices[name] ?? []), done];
          sums.add(`${done.rows}:${done.sum}`);
        }
        agree &&= sums.size === 1;
      }
      const of = (variant: Variant, field: keyof Slice) => median((slices[variant] ?? []).map((done) => done[field]));
      /** Median over the rounds of the ratio within a round. */
      const ratio = (variant: Variant, by: (done: Slice) => number) =>
        median((slices[variant] ?? []).map((done, i) => by(slices['row level security']?.[i] as Slice) / by(done)));
      report.line(
        `\n${total} rows, ${size.tenants} tenants, ${read === 'row' ? 'one row by its key' : 'a page of 20'}:`,
      );
      for (const [variant] of all) {
        const throughput = ratio(variant, (done) => done.perSecond);
        const cpu = ratio(variant, (done) => 1 / (done.clientUs + done.serverUs));
        report.line(
          `  ${variant.padEnd(22)} ${Math.round(of(variant, 'perSecond')).toLocaleString('en-US').padStart(7)}/s   CPU a read: ` +
            `${of(variant, 'clientUs').toFixed(0).padStart(4)} us client + ${of(variant, 'serverUs').toFixed(0).padStart(4)} us server` +
            (variant === 'row level security'
              ? ''
              : `   RLS has ${percent(throughput)} of it (by CPU ${percent(cpu)})`),
        );
      }
      const reached = ratio('without it', (done) => done.perSecond);
      goals.push(
        {
          name: `${total} rows, ${read}: with RLS >= ${percent(GOAL)} of the reads without`,
          met: reached >= GOAL,
          shown: percent(reached),
        },
        {
          name: `${total} rows, ${read}: all four read the same rows`,
          met: agree,
          shown: `${of('row level security', 'rows')} a round`,
          endCheck: true,
        },
      );
    }
  } finally {
    await db.close();
    await pool.end();
  }
}

const percent = (share: number) => `${Math.round(share * 100)} %`;

export async function benchRead(report: Report, short: boolean): Promise<Goal[]> {
  const goals: Goal[] = [];
  const postgres = await startOwnPostgres({ settings: { shared_buffers: '512MB', max_wal_size: '4GB' } });
  try {
    await prepareDatabase(postgres.superuserUrl);
    const database = openTestDatabase(postgres.superuserUrl);
    await makeCopyTable(database);
    report.line(`${CONNECTIONS} connections, ${CALLERS} callers in one process, named prepared statements:`);
    for (const [name, what] of Object.entries(VARIANTS)) report.line(`  ${name.padEnd(22)} ${what}`);
    const sizes: Size[] = [
      { tenants: 200, coursesEach: 50 },
      short ? { tenants: 1_000, coursesEach: 200 } : { tenants: 2_000, coursesEach: 500 },
    ];
    for (const size of sizes) {
      await measure({ database, report, size, rounds: short ? 4 : 10, reads: short ? 1_500 : 4_000 }, goals);
    }
    await database.close();
  } finally {
    await postgres.close();
  }
  return goals;
}
