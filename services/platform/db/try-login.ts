import pg from 'pg';
import { sqlState } from './errors.ts';

export type LoginAnswer = { as: 'in' | 'refused' } | { as: 'unknown'; why: string };

/** invalid_password and invalid_authorization_specification: the server heard us, and said no. */
const REFUSED = ['28P01', '28000'];
const TIMEOUT_MS = 5_000;

/**
 * Logs in once and leaves: whether a URL's user and password work. No answer is no refusal: what did not reach the server
 * proves nothing about a password.
 */
export async function tryLogin(url: string): Promise<LoginAnswer> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'klar login check',
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return { as: 'in' };
  } catch (error) {
    const state = sqlState(error);
    if (state !== undefined && REFUSED.includes(state)) return { as: 'refused' };
    return { as: 'unknown', why: state ?? (error as NodeJS.ErrnoException).code ?? (error as Error).name };
  } finally {
    await client.end().catch(() => {});
  }
}
