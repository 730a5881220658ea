/** The one table: queue or event type -> handler. What is not here is not handled. */
import { createDeliverHandler, createSmtpMailer, deliver } from '#domain/notifications/index.ts';
import {
  createPayments,
  createStripeGateway,
  refundDuplicateQueue,
  resolveAttemptQueue,
  stripeEventHandlers,
} from '#domain/payments/index.ts';
import type { EventHandler } from '#domain/webhooks/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { JobHandler, QueueDef } from '#platform/queue/index.ts';

export type WorkerDeps = { settings: Settings; db: Db; clock: Clock; log: Logger; metrics: Metrics };

/** A queue with its handler; `concurrency` is per process. */
export type QueueHandler = { register(work: Work): void };
type Work = <P>(queue: QueueDef<P>, handler: JobHandler<P>, options?: { concurrency?: number }) => void;

export type Handlers = { events: readonly EventHandler[]; queues: readonly QueueHandler[] };

const on = <P>(queue: QueueDef<P>, handler: JobHandler<P>, concurrency: number): QueueHandler => ({
  register: (work) => work(queue, handler, { concurrency }),
});

export function workerHandlers(deps: WorkerDeps): Handlers {
  const { settings, db, log, metrics } = deps;
  const mailer = createSmtpMailer({
    // Without a mail server a delivery fails and is tried again: no mail is lost to a missing setting.
    url: () => settings.SMTP_URL?.current() ?? 'smtp://localhost:25',
    from: settings.SMTP_FROM,
  });
  const sendDelivery = createDeliverHandler({ db, mailer, log, metrics });
  const paymentsDeps = {
    db,
    log,
    metrics,
    publicBaseUrl: settings.PUBLIC_BASE_URL,
    gateway: createStripeGateway({
      secretKey: () => settings.STRIPE_SECRET_KEY?.current(),
      apiBase: settings.STRIPE_API_BASE,
      livemode: settings.BILLING_MODE === 'production',
      metrics,
    }),
  };
  const payments = createPayments(paymentsDeps);
  return {
    events: [...stripeEventHandlers(paymentsDeps)],
    queues: [
      on(deliver, sendDelivery, 4),
      on(resolveAttemptQueue, payments.resolveAttempt, 2),
      on(refundDuplicateQueue, payments.refundDuplicate, 1),
    ],
  };
}
