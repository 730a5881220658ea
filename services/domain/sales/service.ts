import { type Actor, append } from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Money } from './money.ts';
import type { Service, ServiceStatus } from './offering.ts';
import type { ItemKind } from './order.ts';
import * as store from './store.ts';

/** A bookable service; `draft` unless said. Its price is set with {@link setPrice}. */
export async function createService(
  tx: TenantTx,
  input: {
    title: string;
    description?: string | undefined;
    durationMinutes: number;
    status?: ServiceStatus | undefined;
    actor: Actor;
  },
): Promise<Service> {
  const { title, description = '', durationMinutes, status = 'draft', actor } = input;
  const service = await store.insertService(tx, { title, description, durationMinutes, status, createdBy: actor.id });
  const object = { type: 'service', id: service.id };
  await append(tx, { action: 'services.create', actor, object, details: { status } });
  return service;
}

/** Absent fields stay. @throws KlarError not_found */
export async function updateService(
  tx: TenantTx,
  input: {
    id: string;
    title?: string | undefined;
    description?: string | undefined;
    durationMinutes?: number | undefined;
    status?: ServiceStatus | undefined;
    actor: Actor;
  },
): Promise<Service> {
  const { id, actor, ...patch } = input;
  const service = await store.updateService(tx, id, patch);
  if (service === undefined) throw fail.notFound();
  const changed = Object.keys(patch).filter((key) => patch[key as keyof typeof patch] !== undefined);
  const object = { type: 'service', id };
  await append(tx, { action: 'services.update', actor, object, details: { changed, status: service.status } });
  return service;
}

/** @throws KlarError not_found; a draft is not found by who may not write services */
export async function getService(tx: TenantTx, input: { id: string; staff: boolean }): Promise<Service> {
  const [service] = await store.selectServices(tx, [input.id]);
  if (service === undefined || (service.status === 'draft' && !input.staff)) throw fail.notFound();
  return service;
}

/** Newest first. Drafts only for staff. */
export function listServices(
  tx: TenantTx,
  page: { staff: boolean; before: string | undefined; limit: number },
): Promise<Service[]> {
  return store.listServices(tx, { drafts: page.staff, before: page.before, limit: page.limit });
}

/**
 * Sets what one of an item costs from now on; null takes it off sale. Orders placed before keep their price.
 * The caller holds a lock on the item (an UPDATE or INSERT of it), so that two new prices do not meet.
 */
export async function setPrice(
  tx: TenantTx,
  input: { kind: ItemKind; itemId: string; price: Money | null; actor: Actor },
): Promise<void> {
  const { kind, itemId, price, actor } = input;
  await store.replacePrice(tx, { kind, itemId, price });
  const details = { amount: price?.amount ?? null, currency: price?.currency ?? null };
  await append(tx, { action: 'prices.set', actor, object: { type: kind, id: itemId }, details });
}

/** Active prices by item id; items without one are absent. */
export async function pricesOf(
  tx: TenantTx,
  kind: ItemKind,
  itemIds: readonly string[],
): Promise<ReadonlyMap<string, Money>> {
  if (itemIds.length === 0) return new Map();
  const rows = await store.activePrices(tx, kind, itemIds);
  return new Map(rows.map((row) => [row.item_id, { amount: row.amount, currency: row.currency }]));
}
