/**
 * Ticks of a schedule, as Kubernetes computes them: a minute of UTC is a tick when the wall clock of the zone matches.
 * So a time that a change to summer time leaves out has no tick, and one that the change back repeats has two
 * (the library's own iteration would move the first and merge the second, and a run would look missed that never was due).
 */
import { CronExpressionParser } from 'cron-parser';
import { fail } from '#platform/errors/index.ts';
import type { Schedule } from './ticks.ts';

const MINUTE_MS = 60_000;
/** Every zone's offset changes at a quarter of an hour. */
const BLOCK_MS = 15 * MINUTE_MS;

/** @throws KlarError invalid, for what Kubernetes would not take either, and for `@every`, which has no fixed ticks */
export function parseSchedule(text: string, timeZone = 'Etc/UTC'): Schedule {
  const words = text.trim().split(/\s+/);
  const unreadable = (cause?: unknown) =>
    fail.invalid(
      'schedule_unreadable',
      `"${text}" in ${timeZone} is no schedule: write five fields, "30 2 * * *".`,
      [],
      {
        cause,
      },
    );
  if (words.length !== 5 && !/^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/.test(text.trim()))
    throw unreadable();
  let offsetOf: (ms: number) => number;
  let fields: ReturnType<typeof CronExpressionParser.parse>['fields'];
  try {
    offsetOf = zoneOffset(timeZone);
    fields = CronExpressionParser.parse(
      text
        .trim()
        .replace(/^@annually$/, '@yearly')
        .replace(/^@midnight$/, '@daily'),
    ).fields;
  } catch (error) {
    throw unreadable(error);
  }
  const of = (values: readonly (number | string)[]) => new Set(values.map(Number));
  const [minutes, hours, days, months, weekdays] = [
    of(fields.minute.values),
    of(fields.hour.values),
    of(fields.dayOfMonth.values),
    of(fields.month.values),
    of(fields.dayOfWeek.values.map((day) => Number(day) % 7)),
  ];
  if ([...days, ...weekdays].some(Number.isNaN)) throw unreadable(); // L, W and # are not cron's
  // Vixie's rule: both fields restricted means either of them. A step over everything counts as restricted.
  const either = words.length === 5 && ![words[2], words[4]].some((word) => word === '*' || word === '?');
  return {
    timeZone,
    matches(at) {
      const wall = new Date(at.getTime() + offsetOf(at.getTime()));
      const day = days.has(wall.getUTCDate());
      const weekday = weekdays.has(wall.getUTCDay());
      return (
        minutes.has(wall.getUTCMinutes()) &&
        hours.has(wall.getUTCHours()) &&
        months.has(wall.getUTCMonth() + 1) &&
        (either ? day || weekday : day && weekday)
      );
    },
  };
}

/** Milliseconds that the zone is ahead of UTC at an instant. */
function zoneOffset(timeZone: string): (ms: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  let block = Number.NaN;
  let offset = 0;
  return (ms) => {
    const start = Math.floor(ms / BLOCK_MS) * BLOCK_MS;
    if (start !== block) {
      const part = Object.fromEntries(format.formatToParts(start).map(({ type, value }) => [type, Number(value)]));
      offset = Date.UTC(part.year ?? 0, (part.month ?? 1) - 1, part.day, part.hour, part.minute) - start;
      block = start;
    }
    return offset;
  };
}
