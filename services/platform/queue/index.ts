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
