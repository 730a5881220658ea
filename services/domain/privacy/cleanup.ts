import type { Db } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { createRunner, type Work } from './cleanup-runner.ts';
import { RETENTION, type Rule } from './retention.ts';

export type CleanupInput = {
  /** As klar_cleanup. */
  db: Db;
  log: Logger;
  signal: AbortSignal;
  /** Only count. */
  dryRun: boolean;
  /** Only these tables; absent: all. */
  tables?: readonly string[] | undefined;
  /** Begins no batch after so long; what is left is counted and said. */
  maxSeconds: number;
  /** Told now and then. */
  progress?: (line: string) => void;
  /** In [0, 1): where among the schools it begins. */
  random?: () => number;
  batchSize?: number;
  /** Rest after each batch; at least as long as the batch took, so that half of the time belongs to traffic. */
  pauseMs?: number;
};

export type CleanedTable = {
  table: string;
  rule: string;
  /** Rows deleted or emptied; with `dryRun` those that would be. */
  rows: number;
  /** Rows that the time did not reach; `at_least` when not every school could be counted. */
  left: number;
  at_least: boolean;
  /** What stopped a batch of this rule, at most a few, without values of rows. */
  errors: string[];
};

export type CleanupResult = {
  dry_run: boolean;
  /** Nothing that is over was left behind. */
  complete: boolean;
  seconds: number;
  tenants: number;
  tables: CleanedTable[];
};

/** @throws KlarError invalid `unknown_table` */
export function chooseRules(tables: readonly string[] | undefined): { table: string; rule: Rule }[] {
  const all = Object.entries(RETENTION).flatMap(([table, retention]) =>
    'rules' in retention ? retention.rules.map((rule) => ({ table, rule })) : [],
  );
  for (const table of tables ?? []) {
    const retention = RETENTION[table];
    if (retention === undefined || 'keep' in retention) {
      const why = retention === undefined ? 'There is no such table.' : `Nothing of it goes by age: ${retention.keep}.`;
      throw fail.invalid(
        'unknown_table',
        `${table}: ${why} There is: ${[...new Set(all.map((row) => row.table))].join(', ')}`,
      );
    }
  }
  return tables === undefined ? all : all.filter(({ table }) => tables.includes(table));
}

/**
 * Deletes what is over, in small transactions with rests between them, and stops when its time is over. A rule that
 * fails does not keep the others from their work.
 * @throws KlarError `cleanup_failed` with the result as members, when a rule met an error; the signal's reason
 */
export async function cleanUp(input: CleanupInput): Promise<CleanupResult> {
  const begun = performance.now();
  const end = begun + input.maxSeconds * 1_000;
  const works: Work[] = chooseRules(input.tables).map(({ table, rule }) => ({
    rule,
    done: { table, rule: rule.says, rows: 0, left: 0, at_least: false, errors: [] },
    unfinished: false,
  }));
  const run = createRunner(input, works);
  const system = works.filter(({ rule }) => rule.scope === 'system');
  const tenantWorks = works.filter(({ rule }) => rule.scope === 'tenant');
  // Whatever there is more of, the other half of the time is for the rest.
  const half = tenantWorks.length === 0 ? end : begun + (end - begun) / 2;
  for (const [at, work] of system.entries()) {
    // An equal part of what is left of the half, so that one flooded table does not starve the ones behind it.
    const share = performance.now() + (half - performance.now()) / (system.length - at);
    await run.system(work, share);
  }
  const tenants = tenantWorks.length === 0 ? 0 : await run.tenants(tenantWorks, end);
  for (const work of system.filter(({ unfinished }) => unfinished)) await run.system(work, end);
  await run.countLeft(works.filter(({ unfinished }) => unfinished));

  const tables = works.map(({ done }) => done);
  const result: CleanupResult = {
    dry_run: input.dryRun,
    complete: works.every(({ unfinished, done }) => !unfinished && done.errors.length === 0),
    seconds: Math.round((performance.now() - begun) / 100) / 10,
    tenants,
    tables,
  };
  if (tables.some(({ errors }) => errors.length > 0)) {
    const failed = tables.filter(({ errors }) => errors.length > 0);
    throw fail.internal(
      'cleanup_failed',
      failed.map(({ table, errors }) => `${table}: ${errors.join('; ')}`).join(' | '),
      { members: result },
    );
  }
  return result;
}
