const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** More is no plan, and above 24855 d it is no integer of the database: the rotation could never be written down. */
const MAX_S = 3_650 * UNITS.d;

/** Seconds of `90d`, `12h`, `5m`, `30s`; undefined when it is none of these, negative, no whole number or above 3650 d. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d{1,9})([smhd])$/.exec(text);
  if (found === null) return undefined;
  const seconds = Number(found[1]) * UNITS[found[2] as keyof typeof UNITS];
  return seconds <= MAX_S ? seconds : undefined;
}

/** The longest unit that fits, rounded, for people: 90 d, 5 min. */
export function sayDuration(seconds: number): string {
  if (seconds >= 2 * UNITS.d) return `${Math.round(seconds / UNITS.d)} d`;
  if (seconds >= 2 * UNITS.h) return `${Math.round(seconds / UNITS.h)} h`;
  if (seconds >= 2 * UNITS.m) return `${Math.round(seconds / UNITS.m)} min`;
  return `${Math.max(0, Math.round(seconds))} s`;
}
