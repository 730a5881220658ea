import { deliver } from '#domain/notifications/index.ts';
import { refundDuplicateQueue, resolveAttemptQueue } from '#domain/payments/index.ts';
import type { AnyQueueDef } from '#platform/queue/index.ts';

/** Every queue of the system: `klar migrate` makes them. A module adds the ones of its `jobs.ts`. */
export const allQueues: readonly AnyQueueDef[] = [deliver, resolveAttemptQueue, refundDuplicateQueue];
