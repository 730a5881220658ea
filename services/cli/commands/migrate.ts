import path from 'node:path';
import { ensureRoles, MigrationError, migrate } from '#platform/db/setup.ts';
import { queueMigration } from '#platform/queue/index.ts';
import { type Command, EXIT } from '../command.ts';
import { allQueues } from '../queues.ts';
import { databaseUrl } from './database-url.ts';
import { directUrl } from './direct-url.ts';

/** The folder that comes with this build. */
export const MIGRATIONS_DIR = path.resolve(import.meta.dirname, '../../../migrations');

/** SQL migrations, then the queue's schema, the queues and their grants: all a database needs after its roles. */
export async function migrateDatabase(input: {
  url: string;
  log?: (line: string) => void;
}): Promise<{ applied: string[] }> {
  return migrate({ ...input, dir: MIGRATIONS_DIR, after: [queueMigration(allQueues)] });
}

/** `klar migrate`: twice changes nothing, two at once wait for each other, both exit 0. */
export const migrateCommand: Command = {
  notes:
    'Connects as klar_migrator_a with DATABASE_URL_MIGRATOR or DATABASE_URL, past PgBouncer: where DATABASE_DIRECT_URL is, if set. ' +
    'Migrations only add: the previous release keeps working on the new schema. With DATABASE_URL_SUPERUSER it also does ' +
    'afterwards what `klar roles ensure` can only do once the schema is there: functions that need another owner.',
  async run({ settings, answer, say, json }) {
    try {
      const given = settings();
      const { applied } = await migrateDatabase({
        url:
          directUrl(given.DATABASE_DIRECT_URL, given.DATABASE_URL_MIGRATOR) ??
          databaseUrl(given, ['DATABASE_URL_MIGRATOR', 'DATABASE_URL']),
        log: say,
      });
      const { changes } = given.DATABASE_URL_SUPERUSER
        ? await ensureRoles({ superuserUrl: databaseUrl(given, ['DATABASE_URL_SUPERUSER']), log: say })
        : { changes: [] };
      if (json || applied.length + changes.length === 0)
        answer({ applied, roles: changes }, 'The schema is up to date.');
      return EXIT.ok;
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      answer({ error: error.message }, error.message);
      return EXIT.failed;
    }
  },
};
