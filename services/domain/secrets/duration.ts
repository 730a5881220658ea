const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Seconds of `90d`, `12h`, `5m`, `30s`; undefined when it is none of these, negative or no whole number. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d{1,6})([smhd])$/.exec(text);
  if (found === null) return undefined;
  return Number(found[1]) * UNITS[found[2] as keyof typeof UNITS];
}

/** The longest unit that fits, rounded, for people: 90 d, 5 min. */
export function sayDuration(seconds: number): string {
  if (seconds >= 2 * UNITS.d) return `${Math.round(seconds / UNITS.d)} d`;
  if (seconds >= 2 * UNITS.h) return `${Math.round(seconds / UNITS.h)} h`;
  if (seconds >= 2 * UNITS.m) return `${Math.round(seconds / UNITS.m)} min`;
  return `${Math.max(0, Math.round(seconds))} s`;
}
