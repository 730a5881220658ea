import { findPgTools, openStore, recipientsOf, recordBackup, takeBackup } from '#domain/operations/backups/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { createDb } from '#platform/db/index.ts';
import { armFailpoint } from '#platform/failpoint/index.ts';
import { taskCommand } from '../task-command.ts';
import { age, size } from './backup-text.ts';
import { databaseUrl } from './database-url.ts';
import { directUrl } from './direct-url.ts';
import { opsDb, patiently } from './ops-db.ts';

/** Statements of a backup read whole tables; a dead peer is found by TCP keepalive. */
const LONGEST_STATEMENT_MS = 24 * 3_600_000;

/** `klar backup`: one more backup in BACKUP_URL. */
export const backupCommand = taskCommand({
  task: 'backup',
  notes:
    'Connects as klar_backup_a, past PgBouncer: the login of DATABASE_URL_BACKUP at the address of DATABASE_DIRECT_URL, or\n' +
    'whichever is set, or DATABASE_URL. Stores in BACKUP_URL, encrypted when BACKUP_ENCRYPT_TO is set. A run by hand makes a further backup. docs/backups.md.',
  async work({ settings, env, say, log }, { signal, fenced }) {
    armFailpoint(settings.KLAR_FAILPOINT);
    const url =
      directUrl(settings.DATABASE_DIRECT_URL, settings.DATABASE_URL_BACKUP) ?? databaseUrl(settings, ['DATABASE_URL']);
    const store = await openStore(settings);
    const db = createDb({
      url,
      role: 'klar_backup',
      poolSize: 1,
      appName: 'klar backup',
      log: log(),
      acquireTimeoutMs: 15_000,
      answerTimeoutMs: LONGEST_STATEMENT_MS,
    });
    const ops = opsDb(settings, log());
    try {
      const report = await takeBackup({
        db,
        url,
        store,
        tools: await findPgTools(env.PATH),
        workDir: settings.BACKUP_WORK_DIR,
        jobs: settings.BACKUP_JOBS,
        recipients: recipientsOf(settings.BACKUP_ENCRYPT_TO),
        build: { imageDigest: settings.KLAR_IMAGE_DIGEST, commit: settings.KLAR_COMMIT },
        signal,
        say,
        beforeCommit: () => patiently(() => fenced(), signal),
      });
      await patiently(() => recordBackup(ops, report), signal);
      const snapshotAge = age(systemClock.now().getTime() - report.snapshot_at.getTime());
      return {
        detail: { ...report },
        text: [
          `${report.id}  committed in ${report.store}`,
          `${size(report.bytes)} in ${report.parts} parts${report.encrypted ? ', encrypted' : ''}; ` +
            `${report.tables} tables, ${report.rows} rows; schema ${report.schema_version}`,
          `${report.seconds.toFixed(1)} s; the data is of ${report.snapshot_at.toISOString()}, ${snapshotAge} ago`,
        ],
      };
    } finally {
      await Promise.all([db.close(), ops.close(), store.close()]);
    }
  },
});
