/** Hours in which no rotation starts on schedule: wall time of a time zone, so that they move with daylight saving. */
export type Blackout = { days: readonly Day[]; fromMin: number; toMin: number; timeZone: string };

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

const formats = new Map<string, Intl.DateTimeFormat>();

/** @throws RangeError for a time zone that nobody knows */
function wallTime(now: Date, timeZone: string): { day: number; minute: number } {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(timeZone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]));
  return {
    day: DAYS.indexOf((parts.weekday ?? '').toLowerCase() as Day),
    minute: Number(parts.hour) * 60 + Number(parts.minute),
  };
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Whether this moment lies in one of them. One that passes midnight belongs to the day on which it begins. */
export function inBlackout(now: Date, windows: readonly Blackout[]): boolean {
  return windows.some(({ days, fromMin, toMin, timeZone }) => {
    const { day, minute } = wallTime(now, timeZone);
    const on = (index: number) => days.includes(DAYS[(index + 7) % 7] as Day);
    if (fromMin < toMin) return on(day) && minute >= fromMin && minute < toMin;
    return (on(day) && minute >= fromMin) || (on(day - 1) && minute < toMin);
  });
}

const QUARTER_MS = 15 * 60_000;

/** Whether a whole week has a quarter of an hour in which a rotation may start. */
export function leavesTime(windows: readonly Blackout[]): boolean {
  const monday = Date.UTC(2026, 0, 5);
  for (let i = 0; i < 7 * 24 * 4; i += 1) {
    if (!inBlackout(new Date(monday + i * QUARTER_MS), windows)) return true;
  }
  return false;
}
