import { z } from 'zod';
import { randomToken } from '#platform/crypto/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { defineQueue, type JobOutcome, send } from '#platform/queue/index.ts';
import { backoffSeconds, LEASE_SECONDS, messageId, outcomeOfFailure, type SendOutcome, settle } from './delivery.ts';
import type { Mailer } from './gateway.ts';
import * as store from './store.ts';
import { render, TemplateError } from './template.ts';
import { templateNamed } from './templates.ts';

/**
 * Sends one delivery. Waits between attempts are the delivery's own (a new job with a start time, in the commit that
 * records the failure), so the queue's retries cover only what the delivery cannot: a crash, a database that is away.
 */
export const deliver = defineQueue('notifications.deliver', {
  schema: z.strictObject({ tenant_id: z.string(), delivery_id: z.string() }),
  // Longer than one attempt may take (see smtp.ts), so that a slow mail server is not mistaken for a hung handler.
  expireInS: 110,
});

export type DeliverPayload = z.infer<typeof deliver.schema>;

interface DeliverDeps {
  /** As klar_worker. */
  db: Db;
  mailer: Mailer;
  log: Logger;
  metrics: Metrics;
  /** 0..1, for the jitter of the waits. */
  random?: () => number;
}

/**
 * The handler of {@link deliver}: claim (commit), send (no transaction open), record (commit).
 *
 * At least once, by choice: a crash between the server's acceptance and the second commit sends the message again
 * after the lease, under the same Message-ID. The other choice would lose a verification mail for good.
 */
export function createDeliverHandler({ db, mailer, log, metrics, random = Math.random }: DeliverDeps) {
  const outcomes = metrics.counter(
    'klar_notifications_deliveries_total',
    'Attempts to send a message, by template and outcome (sent, failed: will be tried again, dead: gave up).',
    ['template', 'outcome'],
  );

  async function attempt(delivery: store.ClaimedDelivery, signal: AbortSignal): Promise<SendOutcome> {
    const template = templateNamed(delivery.template);
    if (template === undefined) return { kind: 'failed', error: 'unknown template in this release' };
    try {
      const message = render(template, delivery.data);
      const to = { address: delivery.toEmail, name: delivery.toName ?? '' };
      await mailer.send({ messageId: messageId(delivery.id, mailer.from), to, ...message }, signal);
      return { kind: 'sent' };
    } catch (error) {
      if (error instanceof TemplateError) return { kind: 'dead', error: error.message };
      return outcomeOfFailure(error);
    }
  }

  return async function handle(payload: DeliverPayload, { signal }: { signal: AbortSignal }): Promise<JobOutcome> {
    const { tenant_id: tenantId, delivery_id: id } = payload;
    const lease = randomToken(12);
    const delivery = await db.withTenantTx(tenantId, async (tx) => {
      const claimed = await store.claim(tx, id, lease, LEASE_SECONDS);
      if (claimed === undefined) {
        // Another attempt holds it, perhaps one that died: come back when its lease is over.
        const held = await store.leaseEnd(tx, id);
        if (held !== undefined) await send(tx, deliver, payload, { startAfter: new Date(held.getTime() + 1000) });
      }
      return claimed;
    });
    if (delivery === undefined) return 'done';

    const outcome = settle(await attempt(delivery, signal), delivery.attempts);
    const recorded = await db.withTenantTx(tenantId, async (tx) => {
      const secret = templateNamed(delivery.template)?.secret ?? [];
      if (outcome.kind === 'sent') return store.sent(tx, id, lease, messageId(id, mailer.from), secret);
      if (outcome.kind === 'dead') return store.dead(tx, id, lease, outcome.error, secret);
      const failed = await store.failed(tx, id, lease, outcome.error);
      const wait = backoffSeconds(delivery.attempts, random());
      if (failed) await send(tx, deliver, payload, { startAfter: new Date(tx.now().getTime() + wait * 1000) });
      return failed;
    });
    outcomes.inc({ template: delivery.template, outcome: outcome.kind });
    const fields = { delivery_id: id, template: delivery.template, attempt: delivery.attempts };
    if (!recorded) log.warn('a delivery was settled by another attempt', fields);
    else if (outcome.kind === 'sent') log.info('message sent', fields);
    else if (outcome.kind === 'failed')
      log.warn('message not sent, will be tried again', { ...fields, reason: outcome.error });
    // Anybody can register an address that no server takes: that must not call for a person.
    else log[outcome.address ? 'warn' : 'error']('message given up', { ...fields, reason: outcome.error });
    // Also in the queue's dead letters, where operators and alerts look.
    return recorded && outcome.kind === 'dead' ? { dead: outcome.error, logged: true } : 'done';
  };
}
