import { UsageError } from '../command.ts';

const AGE_S: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** The value of an option that is a time or an age, e.g. `--since 24h`. @throws UsageError for anything else */
export function timeOption(name: string, value: unknown): Date | undefined {
  if (value === undefined) return undefined;
  const age = /^(\d{1,6})([smhd])$/.exec(String(value));
  const at = age
    ? new Date(Date.now() - Number(age[1]) * (AGE_S[age[2] ?? 's'] ?? 1) * 1_000)
    : /^\d{4}-\d\d-\d\d/.test(String(value))
      ? new Date(String(value))
      : new Date(Number.NaN);
  if (Number.isNaN(at.getTime())) {
    throw new UsageError(`--${name} cannot be "${value}".`, 'Write 2026-05-01T10:00:00Z, or an age like 90m, 24h, 7d.');
  }
  return at;
}
