import pg from 'pg';
import { connectClient } from './client.ts';
import { sqlState } from './errors.ts';

/**
 * Makes a database if it is not there. UTF8 and the C collation, so that an index sorts the same on every system
 * library; from template0, as template1 may hold what others put there.
 */
export async function ensureDatabase(superuserUrl: string, name: string): Promise<{ made: boolean; version: string }> {
  const client = await connectClient(superuserUrl, 'klar setup');
  try {
    const { rows } = await client.query(
      `select current_setting('server_version') as version, exists (select from pg_database where datname = $1) as found`,
      [name],
    );
    const { version, found } = rows[0] as { version: string; found: boolean };
    if (found) return { made: false, version };
    await client
      .query(`create database ${pg.escapeIdentifier(name)} encoding 'UTF8' locale 'C' template template0`)
      .catch((error) => {
        if (sqlState(error) !== '42P04') throw error; // another start was quicker
      });
    return { made: true, version };
  } finally {
    await client.end();
  }
}
