import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const BATCH = 256;
const CLIENTS = 2;

function binary(): string {
  const found = ['/usr/lib/postgresql/15/bin/pgbench', '/usr/local/bin/pgbench', '/usr/bin/pgbench'].find(existsSync);
  if (!found) throw new Error('pgbench is missing: apt-get install postgresql-15');
  return found;
}

/**
 * Rows a second that PostgreSQL takes in batches of 256 on two connections, made on the server: no driver, no HTTP (D).
 * The byte appended to the payload makes PostgreSQL compress each anew, as it does what arrives; a copied value would
 * stay as it is.
 * @param bodyTable a table with one row whose `raw` is the payload
 */
export async function batchInsertRate(url: string, bodyTable: string, seconds: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'klar-bench-'));
  const script = join(folder, 'insert.sql');
  await writeFile(
    script,
    `insert into inbox.events (id, provider, account, event_id, type, livemode, raw, received_at, verdict)
     select 'evt_' || gen_random_uuid()::text, 'stripe', '', 'evt_d_' || encode(sha256(random()::text::bytea || n::text::bytea), 'base64'),
       'checkout.session.completed', false, b.raw || '\x20', now(), 'bench'
     from generate_series(1, ${BATCH}) n cross join ${bodyTable} b
     on conflict do nothing;`,
  );
  try {
    const { stdout } = await promisify(execFile)(
      binary(),
      ['-n', '-M', 'prepared', '-c', String(CLIENTS), '-j', '1', '-T', String(seconds), '-f', script, url],
      { timeout: (seconds + 30) * 1_000 },
    );
    const tps = /tps = ([\d.]+)/.exec(stdout)?.[1];
    if (tps === undefined) throw new Error(stdout);
    return Number(tps) * BATCH;
  } finally {
    await rm(folder, { recursive: true });
  }
}
