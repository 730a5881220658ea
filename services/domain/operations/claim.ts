import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { HeldRun, TaskRun } from './store/task-runs.ts';
import * as store from './store/task-runs.ts';

export type Claim = { kind: 'claimed' | 'already' | 'elsewhere'; run: TaskRun };

export type ClaimInput = {
  db: Db;
  log: Logger;
  task: string;
  tick: Date | null;
  byHand?: boolean;
  /** Of its row; null when it settles nothing. */
  settles: string | null;
  runner: string;
  timing: { leaseMs: number; pollMs: number };
  /** By performance.now(). */
  deadline: number;
  signal: AbortSignal;
};

/** What one look at the tick's row means. Pure. */
export function decideClaim(row: HeldRun | undefined): 'insert' | 'retake' | 'wait' | 'already' {
  if (row === undefined) return 'insert';
  if (row.status === 'succeeded') return 'already';
  return row.alive ? 'wait' : 'retake';
}

/**
 * Takes the tick's row for this runner, or waits for the end of the run that has it. A failed tick is taken again by
 * who comes later, but not by who waited for it: fifty waiters must not become fifty attempts.
 */
export async function claimRun(input: ClaimInput): Promise<Claim> {
  const { log, task, tick } = input;
  let waitedFor: HeldRun | undefined;
  // A lease that ended while nobody could renew it says nothing: who holds it has as long as a lease to come back.
  let noTakeoverUntil = 0;
  for (;;) {
    input.signal.throwIfAborted();
    if (performance.now() > input.deadline) {
      throw fail.timeout(
        'task_not_begun',
        `Another run (${waitedFor?.id ?? 'unknown'}) or the database kept it waiting.`,
      );
    }
    let seen: { row: HeldRun | undefined; run: TaskRun | undefined };
    try {
      seen = await input.db.withTx((tx) => look(tx, input, waitedFor, performance.now() >= noTakeoverUntil));
    } catch (error) {
      // A claim whose commit is unknown is found at the next look: the row then names this runner.
      if (!(error instanceof KlarError) || !error.retryable) throw error;
      log.warn('the task could not be begun yet, trying again', { task, error });
      noTakeoverUntil = performance.now() + input.timing.leaseMs;
      await pause(input.timing.pollMs, input.signal);
      continue;
    }
    if (seen.run !== undefined) return { kind: 'claimed', run: seen.run };
    const { row } = seen;
    if (row?.status === 'succeeded') return { kind: waitedFor === undefined ? 'already' : 'elsewhere', run: row };
    if (row !== undefined && row.status !== 'running') {
      throw fail.conflict(
        'task_failed_elsewhere',
        `The run of this tick (${row.id}) failed in another process: ${row.error ?? row.status}`,
      );
    }
    if (row !== undefined && waitedFor === undefined)
      log.info('another process runs this tick; waiting for its end', { task, tick, run: row.id });
    waitedFor = row ?? waitedFor;
    await pause(input.timing.pollMs, input.signal);
  }
}

type Tx = Parameters<typeof store.lock>[0];

async function look(tx: Tx, input: ClaimInput, waitedFor: HeldRun | undefined, mayTakeOver: boolean) {
  const { task, tick, runner, settles: schedule } = input;
  const byHand = input.byHand ?? tick === null;
  const { leaseMs } = input.timing;
  const row = tick === null ? undefined : await store.lock(tx, task, tick);
  const mine = row?.runner === runner && row.status === 'running';
  const decision = decideClaim(row);
  let run: TaskRun | undefined = mine ? row : undefined;
  if (!mine && decision === 'insert')
    run = await store.insert(tx, { id: tx.newId('run'), task, tick, byHand, runner, leaseMs, schedule });
  // The end of a run that we waited for is our answer, unless it just stopped living.
  const ended = waitedFor !== undefined && row?.status !== 'running';
  const takeable = row?.status !== 'running' || mayTakeOver;
  if (!mine && decision === 'retake' && row !== undefined && !ended && takeable) {
    const detail = {
      retry_of: { status: row.status === 'running' ? 'lease ended' : row.status, error: row.error, runner: row.runner },
    };
    run = await store.retake(tx, { id: row.id, runner, byHand, leaseMs, detail, schedule });
  }
  if (run !== undefined) await store.abandon(tx, task, run.id, leaseMs);
  return { row, run };
}

/** Ends early when the signal aborts. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal }).catch(() => {});
