import { statement, type Tx } from '#platform/db/index.ts';

/** How the system does, in numbers that name no tenant. Ages in seconds. */
export interface StatusNumbers {
  /** Null until a worker has ever run. */
  worker_heartbeat_age_s: number | null;
  webhook_failures_1h: number;
  jobs_failed_1h: number;
  /** Events and jobs that wait. */
  queue_depth: number;
  dead_letters: number;
  inbox_depth: number;
  /** Null when nothing waits. */
  inbox_oldest_ready_s: number | null;
  /** Runs of unattended tasks that failed. */
  task_failures_24h: number;
  /** Of the task whose last success is the longest ago; null until a schedule ran one. */
  oldest_task_success_age_s: number | null;
}

const NUMBERS = statement<StatusNumbers>(
  'operations.status_numbers',
  `select s.worker_heartbeat_age_s, s.webhook_failures_1h, s.jobs_failed_1h, s.queue_depth, s.dead_letters,
          s.inbox_depth, s.inbox_oldest_ready_s, t.task_failures_24h, t.oldest_task_success_age_s
     from ops.status_numbers() s, ops.task_numbers() t`,
);

/** By a SECURITY DEFINER function: the api may read neither the inbox nor the queue. */
export function readStatusNumbers(tx: Tx): Promise<StatusNumbers> {
  return tx.one(NUMBERS);
}
