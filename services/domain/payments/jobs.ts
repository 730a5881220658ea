import { z } from 'zod';
import { defineQueue } from '#platform/queue/index.ts';

/** Ends what a lost answer, a crash or late money left open at the provider: repeats, looks up, or closes an attempt. */
export const resolveAttemptQueue = defineQueue('payments.resolve_attempt', {
  schema: z.object({ tenant_id: z.string(), order_id: z.string(), attempt_id: z.string() }),
  // Stripe forgets a key after 24 h, and then the attempt is looked up: the retries must reach beyond that.
  retryLimit: 40,
  retryDelayS: 30,
  retryDelayMaxS: 3_600,
});

/** Gives back money that arrived a second time for an order. */
export const refundDuplicateQueue = defineQueue('payments.refund_duplicate', {
  schema: z.object({ tenant_id: z.string(), refund_id: z.string() }),
  retryLimit: 40,
  retryDelayS: 30,
  retryDelayMaxS: 3_600,
});
