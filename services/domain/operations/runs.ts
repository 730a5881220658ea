import type { Db } from '#platform/db/index.ts';
import type { HeldRun, TaskRun, TaskRunFilter } from './store/task-runs.ts';
import * as store from './store/task-runs.ts';

/** Runs, newest first. `before`: the id of the last one of the page before. */
export function listTaskRuns(
  db: Db,
  filter: TaskRunFilter,
  page: { before: string | null; limit: number },
): Promise<TaskRun[]> {
  return db.withTx((tx) => store.list(tx, filter, page), { readOnly: true });
}

export function showTaskRun(db: Db, id: string): Promise<HeldRun | undefined> {
  return db.withTx((tx) => store.read(tx, id), { readOnly: true });
}
