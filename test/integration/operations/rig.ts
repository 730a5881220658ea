import { runTask, type TaskContext, type TaskEnd, type TaskName, type TaskTiming } from '#domain/operations/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { type KlarProcess, startProcess } from '../../support/process.ts';
import { until as untilSoon } from '../../support/until.ts';

const silent = createLogger({ process: 'test', level: 'silent' });

/** Patient: these tests wait for leases and for processes, on a machine that does other things too. */
export const until: typeof untilSoon = (condition, options) => untilSoon(condition, { timeoutMs: 30_000, ...options });

/** Times short enough for a test, in the proportions of the real ones. */
export const FAST: TaskTiming = { leaseMs: 2_500, renewMs: 400, pollMs: 100, graceMs: 600, lastWordMs: 5_000 };

export interface RunRow extends Record<string, unknown> {
  id: string;
  task: string;
  scheduled_for: Date | null;
  status: string;
  by_hand: boolean;
  attempt: number;
  started_at: Date;
  finished_at: Date | null;
  runner: string | null;
  detail: Record<string, unknown>;
  error: string | null;
}

export interface TaskRig {
  database: TestDatabase;
  /** Runs a task in this process. */
  run(
    work: (context: TaskContext) => Promise<Record<string, unknown> | undefined>,
    options?: {
      db?: Db;
      task?: TaskName;
      tick?: Date | null;
      byHand?: boolean;
      signal?: AbortSignal;
      cron?: string;
      timing?: Partial<TaskTiming>;
      redact?: (value: unknown) => unknown;
      onFailure?: (run: { id: string; error: string | null }) => Promise<void>;
    },
  ): Promise<TaskEnd>;
  /** Runs the probe in a process of its own. */
  start(args: string[], env?: Record<string, string>, timing?: Partial<TaskTiming>): KlarProcess;
  rows(): Promise<RunRow[]>;
  effects(): Promise<{ run: string; pid: number }[]>;
  reset(): Promise<void>;
}

export async function taskRig(): Promise<TaskRig> {
  const database = await createTestDatabase();
  await database.asSuperuser(
    'create table public.effects (run text, pid integer, at timestamptz default clock_timestamp())',
  );
  await database.asSuperuser('grant usage on schema public to klar_ops');
  await database.asSuperuser('grant insert, select on public.effects to klar_ops');
  const shared = database.db('klar_ops', { poolSize: 10 });
  return {
    database,
    run: (work, options = {}) =>
      runTask(
        {
          db: options.db ?? shared,
          log: silent,
          clock: systemClock,
          task: options.task ?? 'cleanup',
          tick: options.tick ?? null,
          signal: options.signal ?? new AbortController().signal,
          schedule: options.cron === undefined ? undefined : { cron: options.cron, timeZone: 'Etc/UTC' },
          timing: { ...FAST, ...options.timing },
          ...(options.byHand === undefined ? {} : { byHand: options.byHand }),
          ...(options.redact === undefined ? {} : { redact: options.redact }),
          ...(options.onFailure === undefined ? {} : { onFailure: options.onFailure }),
        },
        work,
      ),
    start: (args, env = {}, timing = {}) =>
      startProcess(
        'test/integration/operations/task-process.ts',
        {
          KLAR_PROFILE: 'test',
          KLAR_DATA_DIR: '/nonexistent',
          DATABASE_URL_OPS: database.url('klar_ops'),
          TIMING: JSON.stringify({ ...FAST, ...timing }),
          ...env,
        },
        args,
      ),
    rows: () => database.asSuperuser<RunRow>('select * from ops.task_runs order by started_at, id'),
    effects: () =>
      database.asSuperuser<{ run: string; pid: number }>('select run, pid from public.effects order by at'),
    reset: async () => {
      await database.asSuperuser('delete from ops.task_runs');
      await database.asSuperuser('delete from public.effects');
    },
  };
}
