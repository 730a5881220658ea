import { type Actor, type AuditAction, append } from '#domain/audit/index.ts';
import { grantEnrollment, revokeEnrollment } from '#domain/learning/index.ts';
import { isAddress, isDisplayName, notify } from '#domain/notifications/index.ts';
import { schoolName } from '#domain/tenancy/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { formatMoney } from './money.ts';
import { isUnpaid, mayFollow, type OrderStatus } from './order.ts';
import { plainLine, receiptLines, receiptTime } from './receipt.ts';
import { type Order, orderOf } from './record.ts';
import * as store from './store.ts';

const ACTION = {
  pending: 'orders.reopen',
  paid: 'orders.pay',
  failed: 'orders.fail',
  expired: 'orders.expire',
  refunded: 'orders.refund',
  partially_refunded: 'orders.refund',
  disputed: 'orders.dispute',
} as const satisfies Record<OrderStatus, AuditAction>;

interface Settlement {
  order: store.OrderRow;
  lines: readonly store.LineRow[];
  status: OrderStatus;
  actor: Actor;
  canceled?: boolean | undefined;
}

/** The one place that changes an order's status. The caller holds the order's lock, or has just inserted it. */
export async function settle(
  tx: TenantTx,
  { order, lines, status, actor, canceled = false }: Settlement,
): Promise<{ order: Order; changed: boolean; alreadyHad: readonly string[] }> {
  if (order.status === status && !(canceled && order.canceled_at === null)) {
    return { order: orderOf(order, lines), changed: false, alreadyHad: [] };
  }
  if (!mayFollow(order.status, status)) {
    throw fail.internal('order_transition', undefined, {
      cause: new Error(`${order.status} -> ${status}: ${order.id}`),
    });
  }
  const paid = !isUnpaid(status);
  const row = await store.updateOrder(tx, { id: order.id, version: order.version, status, paid, canceled });
  if (row === undefined) throw fail.conflict('order_changed', 'The order was changed meanwhile. Try again.');
  await append(tx, {
    action: canceled ? 'orders.cancel' : ACTION[status],
    actor,
    object: { type: 'order', id: order.id },
    details: { from: order.status, to: status },
  });
  const settled = orderOf(row, lines);
  // Part of the money kept is the whole thing kept: only a full refund takes it back.
  if (status === 'paid' || status === 'partially_refunded') {
    const alreadyHad = await fulfil(tx, settled, actor);
    await sendReceipt(tx, settled);
    return { order: settled, changed: true, alreadyHad };
  }
  if (status === 'refunded') await takeBack(tx, settled, actor);
  return { order: settled, changed: true, alreadyHad: [] };
}

async function fulfil(tx: TenantTx, order: Order, actor: Actor): Promise<string[]> {
  const fulfilled = new Set((await store.selectFulfilments(tx, order.id)).map((row) => row.order_line_id));
  const alreadyHad: string[] = [];
  for (const line of order.lines) {
    const given = await give(tx, order, line, actor);
    if (fulfilled.has(line.lineId)) continue;
    const { lineId, kind } = line;
    if (await store.insertFulfilment(tx, { orderId: order.id, lineId, kind, ...given })) {
      if (given.outcome === 'already_had') alreadyHad.push(lineId);
      await append(tx, {
        action: 'orders.fulfil',
        actor,
        object: { type: 'order_line', id: lineId },
        details: { order_id: order.id, kind, item_id: line.id, outcome: given.outcome },
      });
    }
  }
  return alreadyHad;
}

async function give(
  tx: TenantTx,
  order: Order,
  line: Order['lines'][number],
  actor: Actor,
): Promise<{ objectId: string | null; outcome: 'granted' | 'already_had' }> {
  // A booked service has no object of its own: the fulfilment row is the booking.
  if (line.kind !== 'course') return { objectId: null, outcome: 'granted' };
  const source = { kind: 'order', id: order.id } as const;
  const { enrollment, outcome } = await grantEnrollment(tx, {
    courseId: line.id,
    personId: order.personId,
    source,
    actor,
  });
  return { objectId: enrollment.id, outcome: outcome === 'already_had' ? 'already_had' : 'granted' };
}

async function takeBack(tx: TenantTx, order: Order, actor: Actor): Promise<void> {
  const source = { kind: 'order', id: order.id } as const;
  const { personId } = order;
  for (const { kind, id: courseId } of order.lines) {
    if (kind !== 'course' || !(await revokeEnrollment(tx, { courseId, personId, source, actor }))) continue;
    // Bought twice, and this purchase was given back: the other one holds.
    const other = await store.otherPaidOrder(tx, { orderId: order.id, personId, kind, itemId: courseId });
    if (other !== undefined) {
      await grantEnrollment(tx, { courseId, personId, source: { kind: 'order', id: other }, actor });
    }
  }
}

async function sendReceipt(tx: TenantTx, order: Order): Promise<void> {
  const { email, name } = order.buyer;
  // An address that no mail can carry must not undo the payment.
  if (!isAddress(email)) return;
  const shown = plainLine(name);
  await notify(tx, {
    template: 'orders.receipt',
    to: { email, ...(isDisplayName(shown) ? { name: shown } : {}), personId: order.personId },
    dedupeKey: `orders.receipt:${order.id}`,
    data: {
      name: shown === '' ? plainLine(email) : shown,
      school: plainLine(await schoolName(tx)),
      order_id: order.id,
      paid_at: receiptTime(order.paidAt ?? tx.now()),
      lines: receiptLines(order.lines),
      total: formatMoney(order.total),
    },
  });
}
