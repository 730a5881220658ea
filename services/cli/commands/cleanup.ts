import { type CleanupResult, chooseRules, cleanUp } from '#domain/privacy/index.ts';
import { createDb } from '#platform/db/index.ts';
import { UsageError } from '../command.ts';
import { taskCommand } from '../task-command.ts';
import { databaseUrl } from './database-url.ts';

/** Ten minutes below the hour that the task may take. */
const MAX_SECONDS = 3_000;

/** `klar cleanup`: deletes what the retention rules say is over; `--dry-run` says what that is. */
export const cleanup = taskCommand({
  task: 'cleanup',
  options: {
    'dry-run': { type: 'boolean', description: 'Only say what would go; leaves no run' },
    table: { type: 'string', value: 'schema.name', multiple: true, description: 'Only this table' },
    'max-seconds': {
      type: 'string',
      value: 'n',
      description: `Begin nothing after so long and say what is left (default ${MAX_SECONDS})`,
    },
  },
  notes:
    'Works as klar_cleanup with DATABASE_URL_CLEANUP or DATABASE_URL, in small transactions with rests between them;\n' +
    'it may be ended at any time and run beside itself. The rules: services/domain/privacy/retention.ts.',
  unrecorded: ({ options }) => options['dry-run'] === true,
  check({ options }) {
    seconds(options['max-seconds']);
    chooseRules(options.table as string[] | undefined);
  },
  async work(input, context) {
    const { options, settings } = input;
    const maxSeconds = seconds(options['max-seconds']);
    const tables = options.table as string[] | undefined;
    const log = input.log();
    const db = createDb({
      url: databaseUrl(settings, ['DATABASE_URL_CLEANUP', 'DATABASE_URL']),
      role: 'klar_cleanup',
      poolSize: 1,
      prepared: settings.DB_PREPARED === 'on',
      appName: 'klar cleanup',
      log,
    });
    try {
      const result = await cleanUp({
        db,
        log,
        signal: context.signal,
        dryRun: options['dry-run'] === true,
        tables,
        maxSeconds,
        progress: input.say,
      });
      return { detail: result, text: told(result) };
    } finally {
      await db.close();
    }
  },
});

function seconds(value: unknown): number {
  if (value === undefined) return MAX_SECONDS;
  if (!/^\d{1,6}$/.test(String(value)) || Number(value) < 1) {
    throw new UsageError(`--max-seconds cannot be "${value}".`, 'It is a whole number from 1.');
  }
  return Number(value);
}

function told(result: CleanupResult): string[] {
  const width = Math.max(...result.tables.map(({ table }) => table.length));
  const rows = result.tables.map(
    ({ table, rule, rows, left, at_least }) =>
      `${String(rows).padStart(9)}  ${table.padEnd(width)}  ${rule}` +
      (left > 0 || at_least ? `  (${at_least ? 'at least ' : ''}${left} left)` : ''),
  );
  const total = result.tables.reduce((sum, { rows }) => sum + rows, 0);
  const where = `${result.tenants} schools, ${result.seconds} s`;
  if (result.dry_run) return [...rows, `${total} rows would go (${where}).`];
  return [
    ...rows,
    `${total} rows gone (${where}).`,
    ...(result.complete ? [] : ['The time was over before everything was done: the next run goes on.']),
  ];
}
