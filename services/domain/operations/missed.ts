import type { Db, Tx } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import * as store from './store/task-runs.ts';
import { type TaskName, taskOf } from './tasks.ts';
import { readSchedule, type Schedule, ticksBetween } from './ticks.ts';

/** How much is recorded as missed: two months hold one tick of every schedule here, a hundred ticks are days of hours. */
const LOOK_BACK_MS = 62 * 24 * 60 * 60_000;
const MOST_TICKS = 100;

export type Settled = {
  missed: Date[];
  due: Date[];
  /** The schedule by which the ticks before this one are settled; null when they are not. */
  settles: string | null;
};

/**
 * Ticks before this one at which the task did not do its work. By its policy they are recorded as missed, or returned
 * as due, which settles them once they are done.
 */
export async function settleMissed(input: {
  db: Db;
  log: Logger;
  task: TaskName;
  tick: Date;
  schedule: { cron: string; timeZone: string };
}): Promise<Settled> {
  const { db, log, task, tick } = input;
  const { cron, timeZone } = input.schedule;
  const settles = `${cron} ${timeZone}`;
  try {
    const schedule = await readSchedule(cron, timeZone);
    if (taskOf(task).missed === 'catch_up') {
      const due = await db.withTx((tx) => dueTicks(tx, task, tick, schedule));
      return { missed: [], due, settles };
    }
    const missed = await db.withTx((tx) => recordMissed(tx, task, tick, schedule, settles));
    if (missed.length > 0) log.warn('ticks were missed', { task, ticks: missed.length, first: missed[0] });
    return { missed, due: [], settles };
  } catch (error) {
    // Who cannot say what was missed still does what is due now; but never skips over what has to be caught up.
    if (taskOf(task).missed === 'catch_up' || !(error instanceof KlarError)) throw error;
    log.warn('missed ticks are not known', { task, error });
    return { missed: [], due: [], settles: null };
  }
}

/**
 * Since the last run of the same schedule. When that run came by another one nobody knows when it was changed: ticks of
 * the new one that lie before the change were never due.
 */
async function recordMissed(tx: Tx, task: TaskName, tick: Date, schedule: Schedule, settles: string): Promise<Date[]> {
  const last = await store.settled(tx, task, tick);
  if (last?.schedule !== settles) return [];
  const after = new Date(Math.max(last.scheduled_for.getTime(), tick.getTime() - LOOK_BACK_MS));
  const expected = ticksBetween(schedule, { after, before: tick }, MOST_TICKS);
  return expected.length === 0 ? [] : store.missed(tx, task, expected, settles);
}

/**
 * Since the last success, before which everything was done, however long ago that is. What a run has no time for is due
 * at the next one. Ticks of this schedule, and runs by another one that came to no end: after a change that may be a run
 * too many, which finds nothing to do, and not one too few.
 */
async function dueTicks(tx: Tx, task: TaskName, tick: Date, schedule: Schedule): Promise<Date[]> {
  const { done, first } = await store.caughtUp(tx, task, tick);
  if (first === null) return [];
  const range = { after: done ?? new Date(first.getTime() - 1), before: tick };
  const rows = await store.ticks(tx, task, range);
  const due = new Set(ticksBetween(schedule, range, Number.POSITIVE_INFINITY).map(Number));
  for (const row of rows) if (row.schedule !== null) due.add(Number(row.scheduled_for));
  for (const row of rows) if (row.status === 'succeeded') due.delete(Number(row.scheduled_for));
  return [...due].sort((a, b) => a - b).map((at) => new Date(at));
}
