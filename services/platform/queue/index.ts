export {
  type AnyQueueDef,
  declaredQueues,
  defineQueue,
  type QueueDef,
  type QueueOptions,
  queueByName,
} from './define.ts';
export { QUEUE_SCHEMA, queueMigration } from './migrate-queues.ts';
export { type SendOptions, send } from './send.ts';
export { type QueueStats, queueStats, recordQueueStats } from './stats.ts';
export {
  createQueueWorker,
  type JobContext,
  type JobHandler,
  type JobOutcome,
  type QueueWorker,
  type QueueWorkerInput,
} from './worker.ts';
