import { createInterface } from 'node:readline';
import { openStore, type Restored, type RestorePlan, restoreBackup } from '#domain/operations/backups/index.ts';
import type { Settings } from '#platform/config/index.ts';
import { newestMigration } from '#platform/db/setup.ts';
import { type Command, EXIT } from '../command.ts';
import { databaseUrl } from './database-url.ts';
import { MIGRATIONS_DIR } from './migrate.ts';
import { checkLines, duration, restoreFailed } from './restore-report.ts';

const TARGETS = ['DATABASE_URL_SUPERUSER', 'DATABASE_DIRECT_URL', 'RESTORE_VERIFY_DATABASE_URL'] as const;

/** `klar restore`: the real one. */
export const restoreCommand: Command = {
  options: {
    backup: { type: 'string', value: 'id', description: 'Which one; default: the newest that is committed' },
    into: {
      type: 'string',
      choices: TARGETS,
      description: 'The setting whose URL names the database; default: DATABASE_URL_SUPERUSER',
    },
    'dry-run': { type: 'boolean', description: 'Check everything that can be checked without writing to the database' },
    again: { type: 'boolean', description: 'Drop what an interrupted restore left half done, and begin anew' },
    yes: { type: 'boolean', description: 'Do not ask for the name of the database' },
  },
  notes:
    'Into an empty database only, or one that is not there yet, as a superuser, past PgBouncer. Until it has ended and was\n' +
    'checked nobody but superusers can connect, so no process serves half of the data. Killed, it is begun again with --again.\n' +
    'Restoring runs what the dump says: restore only what you backed up. The drill is docs/disaster-recovery.md.',
  async run({ options, settings, answer, say, json, signal }) {
    const set = settings();
    const url = databaseUrl(set, [(options.into as (typeof TARGETS)[number] | undefined) ?? 'DATABASE_URL_SUPERUSER']);
    try {
      const store = await openStore(set);
      const restored = await restoreBackup({
        store,
        backup: options.backup as string | undefined,
        url,
        identity: set.BACKUP_IDENTITY?.current(),
        jobs: set.BACKUP_JOBS,
        workDir: set.BACKUP_WORK_DIR,
        newestMigration: await newestMigration(MIGRATIONS_DIR),
        dryRun: options['dry-run'] === true,
        again: options.again === true,
        confirm: async (plan) => {
          for (const line of planLines(plan)) say(line);
          if (options.yes === true) return true;
          // Under --json stdout is for the answer alone.
          return !json && (await typed(plan.database, say, signal));
        },
        signal,
        now: () => new Date(),
        say,
      }).finally(() => store.close());
      answer(summary(restored), told(restored, set));
      return EXIT.ok;
    } catch (error) {
      throw restoreFailed(error);
    }
  },
};

/** Whether the next line on stdin is the name of the database. @throws why it was told to stop, before it asked too */
async function typed(database: string, say: (line: string) => void, signal: AbortSignal): Promise<boolean> {
  say(`Type the name of the database (${database}) to restore into it:`);
  const lines = createInterface({ input: process.stdin, signal });
  try {
    for await (const line of lines) return line.trim() === database;
    signal.throwIfAborted();
    return false;
  } finally {
    // A terminal stays open, and would keep the process.
    lines.close();
  }
}

function planLines(plan: RestorePlan): string[] {
  return [
    `Backup ${plan.backup}: data of ${plan.dataOf}, schema version ${plan.schemaVersion}, ${plan.bytes} bytes`,
    `into   ${plan.database} on ${plan.server}`,
    ...plan.steps.map((step, index) => `  ${index + 1}. ${step}`),
  ];
}

function summary(restored: Restored): Record<string, unknown> {
  const { plan, dryRun, checks, steps, rtoSeconds, rpoSeconds, migrate } = restored;
  return {
    dry_run: dryRun,
    backup_id: plan.backup,
    data_of: plan.dataOf,
    database: plan.database,
    plan: plan.steps,
    checks,
    steps,
    rto_seconds: rtoSeconds,
    rpo_seconds: rpoSeconds,
    migrate,
  };
}

function told(restored: Restored, settings: Settings): string[] {
  const { plan } = restored;
  if (restored.dryRun) {
    return [
      ...planLines(plan),
      `The backup is whole and can be read, ${plan.database} is fit for it. Nothing was changed.`,
    ];
  }
  return [
    ...checkLines(restored.checks),
    `RTO ${duration(restored.rtoSeconds)}: from the store to a database that was checked`,
    `RPO ${duration(restored.rpoSeconds)}: what came after ${plan.dataOf} is not in it`,
    '',
    'Next:',
    '  klar roles ensure               the passwords of the logins, which no backup holds',
    ...(restored.migrate ? ['  klar migrate                    the schema of this release'] : []),
    '  klar schema check               the database against this release',
    '  klar backup                     the first backup of the new database',
    `  start the processes, then ask ${settings.STRIPE_API_BASE === undefined ? 'Stripe' : 'the provider'} for the events since ${plan.dataOf}:`,
    '    stripe events resend <evt_...>  one that is in the database already has no second effect',
    '  docs/disaster-recovery.md says what else happened after that moment, and how to find it',
  ];
}
