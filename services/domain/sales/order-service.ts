import { type Actor, append } from '#domain/audit/index.ts';
import { coursesForSale, enrolledCourses } from '#domain/learning/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { currentRequestId } from '#platform/log/index.ts';
import type { Fulfilment } from './fulfilment.ts';
import { checkLines, type ItemKind, type LineRequest, type Offer, type OrderStatus, priceOrder } from './order.ts';
import { type Order, orderOf } from './record.ts';
import { settle } from './settlement.ts';
import * as store from './store.ts';

/** Who buys, as the access token says: kept with the order, the receipt goes there. */
export interface Buyer {
  readonly personId: string;
  readonly email: string;
  readonly name: string;
}

/**
 * Places an order: prices are read and copied in this transaction. A total of 0 is paid and fulfilled at once.
 * @throws KlarError unprocessable `kind_not_available`, `item_not_available` (unknown, draft, unpriced or another
 *   tenant's: one answer), `invalid_quantity`, `duplicate_line`, `mixed_currencies`, `amount_too_large`;
 *   conflict `already_enrolled`
 */
export async function placeOrder(
  tx: TenantTx,
  input: { buyer: Buyer; lines: readonly LineRequest[]; actor: Actor },
): Promise<Order> {
  const { buyer, actor } = input;
  const requested = checkLines(input.lines);
  const { lines, total } = priceOrder(requested, await offersFor(tx, requested));
  const courses = lines.filter((line) => line.kind === 'course').map((line) => line.itemId);
  await refuseEnrolled(tx, buyer.personId, courses);

  const { personId, email, name } = buyer;
  const row = await store.insertOrder(tx, { personId, email, name, total, requestId: currentRequestId() });
  const lineRows = await store.insertLines(tx, row.id, lines);
  await append(tx, {
    action: 'orders.place',
    actor,
    object: { type: 'order', id: row.id },
    details: { total: total.amount, currency: total.currency, lines: lines.length },
  });
  const order = orderOf(row, lineRows);
  if (total.amount > 0) return order;
  return (await settle(tx, { order: row, lines: lineRows, status: 'paid', actor })).order;
}

async function offersFor(tx: TenantTx, lines: readonly { kind: ItemKind; id: string }[]): Promise<Offer[]> {
  const idsOf = (kind: ItemKind) => lines.filter((line) => line.kind === kind).map((line) => line.id);
  const [courses, services] = [idsOf('course'), idsOf('service')];
  const [published, offered, coursePrices, servicePrices] = await Promise.all([
    coursesForSale(tx, courses),
    store.selectServices(tx, services),
    store.activePrices(tx, 'course', courses),
    store.activePrices(tx, 'service', services),
  ]);
  const titles = new Map<string, string>();
  for (const course of published) titles.set(course.id, course.title);
  for (const service of offered) if (service.status === 'published') titles.set(service.id, service.title);
  return [...coursePrices, ...servicePrices].flatMap((price) => {
    const title = titles.get(price.item_id);
    if (title === undefined) return [];
    const unit = { amount: price.amount, currency: price.currency };
    return [{ kind: price.item_kind, id: price.item_id, title, priceId: price.id, unit }];
  });
}

async function refuseEnrolled(tx: TenantTx, personId: string, courseIds: readonly string[]): Promise<void> {
  if ((await enrolledCourses(tx, personId, courseIds)).length > 0) {
    throw fail.conflict('already_enrolled', 'You are enrolled in a course of this order already.');
  }
}

/**
 * Locks an order that is about to be paid and checks that it can be.
 * @param input.personId whose order it must be; undefined for who may act on all
 * @throws KlarError not_found; conflict `order_already_paid`, `order_expired`, `already_enrolled`
 */
export async function lockPayableOrder(
  tx: TenantTx,
  input: { orderId: string; personId: string | undefined },
): Promise<Order> {
  const order = await lockVisibleOrder(tx, input);
  if (order.status === 'expired') {
    throw fail.conflict('order_expired', 'This order has expired or was canceled. Place a new one.');
  }
  if (order.status !== 'pending' && order.status !== 'failed') {
    throw fail.conflict('order_already_paid', 'This order has been paid.');
  }
  const courses = order.lines.filter((line) => line.kind === 'course').map((line) => line.id);
  await refuseEnrolled(tx, order.personId, courses);
  return order;
}

/** Locks an order. @throws KlarError not_found, also when it is another person's and `personId` is given */
export async function lockVisibleOrder(
  tx: TenantTx,
  input: { orderId: string; personId: string | undefined },
): Promise<Order> {
  const [row, lines] = await Promise.all([store.lockOrder(tx, input.orderId), store.selectLines(tx, [input.orderId])]);
  if (row === undefined || !isTheirs(row, input.personId)) throw fail.notFound();
  return orderOf(row, lines);
}

/** @throws KlarError not_found, also when it is another person's and `personId` is given */
export async function getOrder(tx: TenantTx, input: { orderId: string; personId: string | undefined }): Promise<Order> {
  const [row, lines] = await Promise.all([
    store.selectOrder(tx, input.orderId),
    store.selectLines(tx, [input.orderId]),
  ]);
  if (row === undefined || !isTheirs(row, input.personId)) throw fail.notFound();
  return orderOf(row, lines);
}

/** Newest first. @param page.personId whose orders; undefined for all of the tenant */
export async function listOrders(
  tx: TenantTx,
  page: {
    personId: string | undefined;
    status?: OrderStatus | undefined;
    before: string | undefined;
    limit: number;
  },
): Promise<Order[]> {
  const rows = await store.listOrders(tx, { ...page, status: page.status });
  const lines =
    rows.length === 0
      ? []
      : await store.selectLines(
          tx,
          rows.map((row) => row.id),
        );
  return rows.map((row) =>
    orderOf(
      row,
      lines.filter((line) => line.order_id === row.id),
    ),
  );
}

/** What was handed over for an order. */
export function fulfilmentsOf(tx: TenantTx, orderId: string): Promise<Fulfilment[]> {
  return store.selectFulfilments(tx, orderId);
}

/**
 * Takes over what the money says about an order: the caller (payments) has computed `status` from the amounts.
 * Becoming paid fulfils every line once and writes the receipt; becoming refunded takes enrollments back.
 * @returns the order, whether it changed, and the lines whose buyer had the thing already
 * @throws KlarError internal `order_transition` for a step the table does not know: a fault of ours
 */
export async function settleOrder(
  tx: TenantTx,
  input: { orderId: string; status: OrderStatus; actor: Actor; canceled?: boolean | undefined },
): Promise<{ order: Order; changed: boolean; alreadyHad: readonly string[] }> {
  const [row, lines] = await Promise.all([store.lockOrder(tx, input.orderId), store.selectLines(tx, [input.orderId])]);
  if (row === undefined) throw fail.internal('order_missing');
  return settle(tx, { ...input, order: row, lines });
}

const isTheirs = (row: store.OrderRow, personId: string | undefined) =>
  personId === undefined || row.person_id === personId;
