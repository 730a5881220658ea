import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '#platform/clock/index.ts';
import type { Db, Tx } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { type Claim, claimRun, pause } from './claim.ts';
import { settleMissed } from './missed.ts';
import { persist } from './persist.ts';
import type { RunId, TaskRun } from './store/task-runs.ts';
import * as store from './store/task-runs.ts';
import { errorText } from './task-error.ts';
import { needTaskSchema } from './task-schema.ts';
import { type TaskName, taskOf } from './tasks.ts';
import { CLOCK_SKEW_MS } from './ticks.ts';

/** What a task gets while it runs. */
export type TaskContext = {
  runId: string;
  /** The time that this run is for; null for a run of its own, by hand. */
  tick: Date | null;
  /** Aborts when the process is told to stop, the deadline is over, or another process took the run over. */
  signal: AbortSignal;
  /**
   * Throws unless the run is still ours. In the transaction of an effect (of any role that may execute
   * ops.holds_task_run) it also keeps a takeover waiting until that transaction is over; without one it is a look.
   */
  fenced(tx?: Tx): Promise<void>;
};

export type TaskTiming = {
  /** How long after its last sign of life a run may be taken over. */
  leaseMs: number;
  renewMs: number;
  /** How often a process looks at the run of another one that it waits for. */
  pollMs: number;
  /** How long the work may take to stop once its signal aborts; after that the end is written without it. */
  graceMs: number;
  /** How long the end is tried to be written after a SIGTERM: within the 30 s that Kubernetes gives, with the grace. */
  lastWordMs: number;
  /** From the task table unless a test says otherwise. */
  deadlineMs?: number;
};

const TIMING: TaskTiming = { leaseMs: 30_000, renewMs: 10_000, pollMs: 1_000, graceMs: 10_000, lastWordMs: 15_000 };

export type RunTaskInput = {
  /** As klar_ops. */
  db: Db;
  log: Logger;
  clock: Clock;
  task: TaskName;
  tick: Date | null;
  /** A person started it. Default: when there is no tick. */
  byHand?: boolean;
  signal: AbortSignal;
  /** The schedule that the tick belongs to, to see what was missed before it. */
  schedule?: { cron: string; timeZone: string } | undefined;
  /** Takes secrets out of what is stored. */
  redact?: (value: unknown) => unknown;
  /** Told of each attempt that failed; what it throws is logged only. */
  onFailure?: (run: TaskRun) => Promise<void>;
  timing?: Partial<TaskTiming>;
};

export type TaskEnd = {
  /** `ran`: here and now. `already`: the tick had its effect before. `elsewhere`: another process made it while we waited. */
  outcome: 'ran' | 'already' | 'elsewhere';
  run: TaskRun;
  /** Ticks before this one at which nothing ran: recorded as missed, or done now, by the task's policy. */
  missed: Date[];
  caughtUp: Date[];
};

/** What the run's row keeps beside its times: JSON, at most 64 kB. */
export type TaskWork = (context: TaskContext) => Promise<Record<string, unknown> | undefined>;

/**
 * Runs `work` as the one run of its tick, however many processes try: one claims the row, keeps it by a lease while it
 * works and writes the end; the others wait for that end. When it dies, the next one takes over after the lease.
 * @throws what `work` threw, after the failure is recorded; `task_failed_elsewhere` when the process waited for failed;
 * `schema_too_old` when nothing was begun
 */
export async function runTask(input: RunTaskInput, work: TaskWork): Promise<TaskEnd> {
  const { tick } = input;
  if (tick !== null && tick.getTime() > input.clock.now().getTime() + CLOCK_SKEW_MS) {
    throw fail.invalid(
      'tick_in_future',
      `${tick.toISOString()} has not come yet: its row would keep the schedule's run out.`,
    );
  }
  const { pollMs, deadlineMs = taskOf(input.task).deadlineS * 1_000 } = { ...TIMING, ...input.timing };
  await needTaskSchema({ ...input, pollMs, deadline: performance.now() + deadlineMs });
  let missed: Date[] = [];
  let settles: string | null = null;
  const caughtUp: Date[] = [];
  if (tick !== null && input.schedule !== undefined && input.byHand !== true) {
    const before = await settleMissed({ ...input, tick, schedule: input.schedule });
    ({ missed, settles } = before);
    for (const at of before.due) {
      // A failure here ends the command: later periods of money must not be done before earlier ones.
      await runOne({ ...input, tick: at, settles }, work);
      caughtUp.push(at);
    }
  }
  return { ...(await runOne({ ...input, settles }, work)), missed, caughtUp };
}

type OneRun = RunTaskInput & { settles: string | null };

async function runOne(input: OneRun, work: TaskWork): Promise<Pick<TaskEnd, 'outcome' | 'run'>> {
  const { db, log, task, tick } = input;
  const timing: TaskTiming = { ...TIMING, ...input.timing };
  const deadlineMs = timing.deadlineMs ?? taskOf(task).deadlineS * 1_000;
  const runner = `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`;
  const deadline = performance.now() + deadlineMs;
  const claim: Claim = await claimRun({ ...input, runner, timing, deadline });
  if (claim.kind !== 'claimed') return { outcome: claim.kind, run: claim.run };

  const id: RunId = { id: claim.run.id, runner };
  const ending = new AbortController();
  const stop = (reason: unknown) => ending.abort(reason);
  const onSignal = () => stop(input.signal.reason);
  input.signal.addEventListener('abort', onSignal, { once: true });
  if (input.signal.aborted) onSignal();
  const timer = setTimeout(
    () =>
      stop(fail.timeout('task_deadline', `It took longer than the ${deadlineMs / 1_000} s that this task may take.`)),
    deadlineMs,
  );
  const lease = keepLease({ db, log, id, timing, lost: () => stop(lostRun()) });
  const { signal } = ending;
  const context: TaskContext = {
    runId: id.id,
    tick,
    signal,
    fenced: async (tx) => {
      const held = tx === undefined ? await db.withTx((own) => store.holds(own, id)) : await store.holds(tx, id);
      if (!held) throw lostRun();
    },
  };
  log.info('task runs', { task, run: id.id, tick, attempt: claim.run.attempt });

  let detail: Record<string, unknown> = {};
  let failure: { error: unknown } | undefined;
  try {
    detail = (await untilStuck(work(context), signal, timing.graceMs)) ?? {};
  } catch (error) {
    failure = { error };
  } finally {
    clearTimeout(timer);
    input.signal.removeEventListener('abort', onSignal);
    // Not awaited: a renewal that hangs must not use up the time in which the end is written.
    lease.stop();
  }

  // The reason for the abort says more than what the work made of it ("aborted").
  const reason = failure !== undefined && signal.aborted ? signal.reason : failure?.error;
  if (isLostRun(reason)) throw reason;
  const end = {
    status: failure === undefined ? ('succeeded' as const) : ('failed' as const),
    detail: failure === undefined ? detail : detailOf(reason),
    error: failure === undefined ? null : errorText(reason, input.redact),
  };
  const until = input.signal.aborted
    ? performance.now() + timing.lastWordMs
    : Math.max(deadline, performance.now() + timing.lastWordMs);
  const run = await persist({ db, log, id, end, until, signal: input.signal, lastWordMs: timing.lastWordMs });
  if (failure === undefined) {
    log.info('task succeeded', { task, run: id.id });
    return { outcome: 'ran', run };
  }
  log.error('task failed', { task, run: id.id, error: reason });
  await input.onFailure?.(run).catch((error) => log.warn('the alert was not delivered', { task, error }));
  throw reason;
}

const lostRun = () =>
  fail.conflict('task_run_lost', 'Another process has taken this run over; what is left of it is done there.');
const isLostRun = (error: unknown) => (error as { code?: unknown } | null)?.code === 'task_run_lost';

/** What a failure found out before it failed: `fail.*(code, detail, { members })`. */
const detailOf = (error: unknown): Record<string, unknown> =>
  error instanceof KlarError ? (error.extra.members ?? {}) : {};

/** Says every so often that this process lives. Missing the database is no reason to stop: nobody else has it either. */
function keepLease(input: { db: Db; log: Logger; id: RunId; timing: TaskTiming; lost: () => void }) {
  const { db, id, timing } = input;
  const stopped = new AbortController();
  const loop = async () => {
    let wait = timing.renewMs;
    while (!stopped.signal.aborted) {
      await pause(wait, stopped.signal);
      if (stopped.signal.aborted) return;
      try {
        if (!(await db.withTx((tx) => store.extend(tx, id, timing.leaseMs), { statementTimeoutMs: 5_000 })))
          return input.lost();
        wait = timing.renewMs;
      } catch (error) {
        input.log.warn('the lease could not be renewed, trying again', { run: id.id, error });
        wait = Math.min(timing.renewMs, 1_000);
      }
    }
  };
  void loop();
  return { stop: () => stopped.abort() };
}

/** What `work` comes to; work that does not stop within the grace after its signal is left behind. */
async function untilStuck<T>(work: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = () => {};
  const stuck = new Promise<never>((_, reject) => {
    onAbort = () => {
      timer = setTimeout(() => reject(new Error('the work did not stop when it was told to')), graceMs);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  work.catch(() => {}); // left behind, it may still fail
  try {
    return await Promise.race([work, stuck]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
