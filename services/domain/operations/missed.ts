import type { Db } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import * as store from './store/task-runs.ts';
import { type TaskName, taskOf } from './tasks.ts';
import { readSchedule, ticksBetween } from './ticks.ts';

/** How far a look back goes: two months hold one tick of every schedule here, a hundred ticks are a week of hours. */
const LOOK_BACK_MS = 62 * 24 * 60 * 60_000;
const MOST_TICKS = 100;

/**
 * Ticks between the first one ever recorded and this one at which the task did not do its work. By its policy they are
 * recorded as missed, or returned as due.
 */
export async function settleMissed(input: {
  db: Db;
  log: Logger;
  task: TaskName;
  tick: Date;
  schedule: { cron: string; timeZone: string };
}): Promise<{ missed: Date[]; due: Date[] }> {
  const { db, log, task, tick } = input;
  try {
    const schedule = await readSchedule(input.schedule.cron, input.schedule.timeZone);
    return await db.withTx(async (tx) => {
      const first = await store.first(tx, task);
      if (first === null || first >= tick) return { missed: [], due: [] };
      const from = new Date(Math.max(first.getTime(), tick.getTime() - LOOK_BACK_MS));
      const expected = ticksBetween(schedule, { after: new Date(from.getTime() - 1), before: tick }, MOST_TICKS);
      const rows = new Map(
        (await store.ticks(tx, task, { from, before: tick })).map((row) => [row.scheduled_for.getTime(), row.status]),
      );
      if (taskOf(task).missed === 'catch_up') {
        return { missed: [], due: expected.filter((at) => rows.get(at.getTime()) !== 'succeeded') };
      }
      const absent = expected.filter((at) => !rows.has(at.getTime()));
      const missed = absent.length === 0 ? [] : await store.missed(tx, task, absent);
      if (missed.length > 0) log.warn('ticks were missed', { task, ticks: missed.length, first: missed[0] });
      return { missed, due: [] };
    });
  } catch (error) {
    // Who cannot say what was missed still does what is due now; but never skips over what has to be caught up.
    if (taskOf(task).missed === 'catch_up' || !(error instanceof KlarError)) throw error;
    log.warn('missed ticks are not known', { task, error });
    return { missed: [], due: [] };
  }
}
