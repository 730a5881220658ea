import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { send } from '#platform/queue/index.ts';
import { isAddress, isDisplayName } from './address.ts';
import { deliver } from './jobs.ts';
import * as store from './store.ts';
import { render } from './template.ts';
import { TEMPLATES, type TemplateName, type TemplateVariables } from './templates.ts';

/** One message to one address. */
export interface Notification<T extends TemplateName = TemplateName> {
  template: T;
  to: { email: string; name?: string | undefined; personId?: string | undefined };
  /** Names the event in this tenant, e.g. `orders.receipt:ord_...`; asked for again, it is the same message. */
  dedupeKey: string;
  data: TemplateVariables[T];
}

/**
 * Writes the delivery and its queue entry in the caller's transaction: the message goes out if and only if the
 * transaction commits, once per dedupe key. Nothing is sent here.
 *
 * @throws KlarError invalid `invalid_address` for an address or name that cannot stand in a header;
 *   TemplateError (a fault of ours) when `data` does not fill the template
 */
export async function notify<T extends TemplateName>(tx: TenantTx, notification: Notification<T>): Promise<void> {
  const { template, to, dedupeKey, data } = notification;
  if (!isAddress(to.email)) throw fail.invalid('invalid_address', 'This e-mail address cannot be written to.');
  if (to.name !== undefined && !isDisplayName(to.name)) {
    throw fail.invalid('invalid_address', 'This name cannot stand in a message.');
  }
  // Rendered here only to fail here: data that cannot be rendered would otherwise die unseen in the worker.
  render(TEMPLATES[template], data);
  const id = await store.insert(tx, {
    id: tx.newId('dlv'),
    dedupeKey,
    template,
    toEmail: to.email,
    toName: to.name ?? null,
    personId: to.personId ?? null,
    data,
  });
  if (id !== undefined) await send(tx, deliver, { tenant_id: tx.tenantId, delivery_id: id });
}
