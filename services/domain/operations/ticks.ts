/** Ticks: the minutes at which a schedule wants a task to run. Pure; reading a schedule's text is schedule.ts. */
import { fail } from '#platform/errors/index.ts';

export type Schedule = { matches(at: Date): boolean; timeZone: string };

const MINUTE_MS = 60_000;

/** @see parseSchedule in schedule.ts; loaded when needed, as a serving process needs none and the library is big */
export async function readSchedule(text: string, timeZone?: string): Promise<Schedule> {
  return (await import('./schedule.ts')).parseSchedule(text, timeZone);
}

/** The newest ticks with `after` < tick < `before`, at most `limit` of them, oldest first. */
export function ticksBetween(schedule: Schedule, range: { after: Date; before: Date }, limit: number): Date[] {
  const found: Date[] = [];
  const floor = range.after.getTime();
  let at = Math.ceil(range.before.getTime() / MINUTE_MS) * MINUTE_MS - MINUTE_MS;
  for (; at > floor && found.length < limit; at -= MINUTE_MS) {
    const tick = new Date(at);
    if (schedule.matches(tick)) found.unshift(tick);
  }
  return found;
}

/** How old a tick may be that a Job's name says; a Job is never started later, and `backup-20261121` is no tick. */
const OLDEST_TICK_MS = 31 * 24 * 60 * MINUTE_MS;
/** How far the clock of the pod's node may be behind the control plane's. */
export const CLOCK_SKEW_MS = 15 * MINUTE_MS;

/**
 * The tick that a Job of a CronJob was made for: the controller names it `<cronjob>-<minutes since 1970>`.
 * Undefined for every other name: that Job was made by hand.
 */
export function tickOfJob(jobName: string, now: Date): Date | undefined {
  const minutes = /-(\d{8,9})$/.exec(jobName)?.[1];
  if (minutes === undefined) return undefined;
  const tick = new Date(Number(minutes) * MINUTE_MS);
  const age = now.getTime() - tick.getTime();
  return age > OLDEST_TICK_MS || age < -CLOCK_SKEW_MS ? undefined : tick;
}

/** @throws KlarError invalid: a tick is a whole minute, and one in the future would keep the schedule's own run out */
export function parseTick(text: string, now: Date): Date {
  const tick = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (Number.isNaN(tick.getTime()) || !/(Z|[+-]\d\d:?\d\d)$/.test(text)) {
    throw fail.invalid('tick_unreadable', `"${text}" is no time: write it like 2026-05-01T02:30Z.`);
  }
  if (tick.getTime() % MINUTE_MS !== 0) {
    throw fail.invalid(
      'tick_not_a_minute',
      `A tick is a whole minute: ${new Date(Math.floor(tick.getTime() / MINUTE_MS) * MINUTE_MS).toISOString()}.`,
    );
  }
  if (tick.getTime() > now.getTime()) throw fail.invalid('tick_in_future', `${text} has not come yet.`);
  return tick;
}
