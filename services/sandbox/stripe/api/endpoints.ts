import { accounts } from './account.ts';
import { charges } from './charges.ts';
import { checkoutSessions } from './checkout-sessions.ts';
import { customers } from './customers.ts';
import type { Endpoint } from './endpoint.ts';
import { events } from './events.ts';
import { disputes, paymentMethods } from './methods-and-disputes.ts';
import { paymentIntents } from './payment-intents.ts';
import { refunds } from './refunds.ts';
import { webhookEndpoints } from './webhook-endpoints.ts';

/** Every operation of the API that the sandbox plays. */
export const ENDPOINTS: readonly Endpoint[] = [
  ...checkoutSessions,
  ...paymentIntents,
  ...charges,
  ...refunds,
  ...customers,
  ...events,
  ...accounts,
  ...webhookEndpoints,
  ...paymentMethods,
  ...disputes,
];
