import { sqlState } from '#platform/db/index.ts';
import { KlarError } from '#platform/errors/index.ts';

const LONGEST = 1_000;

/**
 * What the row of a failed run says. A message of the database's is not taken over, as it may quote a row; everything
 * else goes through the redactor.
 */
export function errorText(error: unknown, redact: (value: unknown) => unknown = (value) => value): string {
  const said = String(redact(plain(error)));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: PostgreSQL takes no zero byte in a text
  return said.replaceAll(/\u0000/g, '').slice(0, LONGEST) || 'unknown error';
}

function plain(error: unknown): string {
  if (error instanceof KlarError) return `${error.code}: ${error.detail}`;
  const state = sqlState(error);
  if (state !== undefined) {
    const { statement } = error as { statement?: unknown };
    return `database error ${state}${typeof statement === 'string' ? ` in ${statement}` : ''}`;
  }
  if (error instanceof Error) return /^SIG[A-Z]+$/.test(error.message) ? `ended by ${error.message}` : error.message;
  return String(error);
}
