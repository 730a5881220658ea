/** How the system itself does, and what it does unattended. See README.md. */
export { alertFailure, type TaskFailure } from './alert.ts';
export { createOperationsGauges } from './gauges.ts';
export {
  type RunTaskInput,
  runTask,
  type TaskContext,
  type TaskEnd,
  type TaskTiming,
  type TaskWork,
} from './run-task.ts';
export { listTaskRuns, showTaskRun } from './runs.ts';
export { oldBackupRows, oldRestoreProofs, oldTaskRuns } from './store/retention.ts';
export type { HeldRun, TaskRun, TaskRunFilter, TaskStatus } from './store/task-runs.ts';
export { checkTerm, staleTerm } from './store/terms.ts';
export { readStatusNumbers, type StatusNumbers } from './store.ts';
export { TASK_NAMES, TASKS, type Task, type TaskName, taskOf } from './tasks.ts';
export { parseTick, readSchedule, type Schedule, tickOfJob, ticksBetween } from './ticks.ts';
