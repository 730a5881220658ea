import { type Db, sqlState } from '#platform/db/index.ts';
import { fail, KlarError } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { pause } from './claim.ts';
import * as store from './store/task-runs.ts';

/**
 * The lowest `ops.schema_version()` with which a run can be recorded. A CronJob of a new release may fire before its
 * migrations are through (`migrations.mode=job`, or by hand), and SQL that fails says nothing of that.
 */
export const TASK_SCHEMA = 103;

/** Neither the function nor its schema is there, or nobody was given it yet: before the first migration. */
const UNMIGRATED = /^(42883|3F000|42501)$/;

/**
 * Waits for the database and looks whether its schema is new enough.
 * @param deadline by performance.now()
 * @throws `schema_too_old`, which another try mends once the migrations are through
 */
export async function needTaskSchema(input: {
  db: Db;
  log: Logger;
  task: string;
  pollMs: number;
  deadline: number;
  signal: AbortSignal;
}): Promise<void> {
  for (;;) {
    try {
      const { version, enough } = await input.db
        .withTx((tx) => store.schemaOf(tx, TASK_SCHEMA))
        .catch((error) => {
          if (UNMIGRATED.test(sqlState(error) ?? '')) return { version: 0, enough: false };
          throw error;
        });
      if (enough) return;
      throw fail.conflict(
        'schema_too_old',
        `The database is at migration ${version}, and ${input.task} needs ${TASK_SCHEMA}: run klar migrate, or wait until ` +
          'the migrations of this release are through. Nothing was done or recorded; the same run can be tried again.',
      );
    } catch (error) {
      // As for a claim: a database that is away is waited for.
      if (!(error instanceof KlarError) || !error.retryable || performance.now() > input.deadline) throw error;
      input.log.warn('the task could not be begun yet, trying again', { task: input.task, error });
      await pause(input.pollMs, input.signal);
      input.signal.throwIfAborted();
    }
  }
}
