import { type Check, failureText, restoreFailure } from '#domain/operations/backups/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { columns } from '../help.ts';

/** One line a check. */
export function checkLines(checks: readonly Check[]): string[] {
  return columns(
    checks.map(({ name, ok, detail, code }) => [`${ok ? 'ok ' : 'RED'} ${name}`, ok ? detail : `${detail} (${code})`]),
  );
}

/** `95 s` as 1 min 35 s; below a minute with a tenth. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3_600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  const parts = [days > 0 ? `${days} d` : '', hours > 0 ? `${hours} h` : '', minutes > 0 ? `${minutes} min` : ''];
  return [...parts, days > 0 ? '' : `${whole % 60} s`].filter((part) => part !== '').join(' ');
}

/** An error with what to do about it, and with the exit code of its kind; others pass unchanged. */
export function restoreFailed(error: unknown, members?: Record<string, unknown>): unknown {
  const failure = restoreFailure(error);
  if (failure === undefined || error instanceof ToldFailure) return error;
  return new ToldFailure(failure, members);
}

class ToldFailure extends KlarError {
  readonly exitCode: number;
  constructor(failure: NonNullable<ReturnType<typeof restoreFailure>>, members: Record<string, unknown> | undefined) {
    super('unprocessable', failure.code, failureText(failure), { cause: failure, ...(members ? { members } : {}) });
    this.exitCode = failure.exitCode;
  }
}
