import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createDb } from '#platform/db/index.ts';
import { ensureRoles, exportSchema, type SchemaSnapshot } from '#platform/db/setup.ts';
import { startEmbeddedPostgres } from '../services/all-in-one/embedded-postgres.ts';
import { migrateDatabase } from '../services/cli/commands/migrate.ts';

let made: Promise<SchemaSnapshot> | undefined;

/** The schema that migrations/ make, from an empty PostgreSQL that lives for a few seconds. */
export function schemaSnapshot(): Promise<SchemaSnapshot> {
  made ??= make();
  return made;
}

async function make(): Promise<SchemaSnapshot> {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-schema-'));
  await chmod(folder, 0o755); // the server may run as another user
  const server = await startEmbeddedPostgres({ dataDir: path.join(folder, 'pg'), settings: { fsync: 'off' } });
  try {
    const url = server.superuserUrl;
    await ensureRoles({ superuserUrl: url });
    await migrateDatabase({ url });
    // Again, as an installation ends up: two functions are handed to the role that may run them.
    await ensureRoles({ superuserUrl: url });
    const db = createDb({ url, role: 'klar_ops', poolSize: 1 });
    try {
      return await exportSchema(db);
    } finally {
      await db.close();
    }
  } finally {
    await server.stop('immediate');
    await rm(folder, { recursive: true, force: true });
  }
}
