import type { Money } from './money.ts';
import type { ItemKind, OrderStatus } from './order.ts';
import type { LineRow, OrderRow } from './store.ts';

/** An order as the module hands it out. Amounts are minor units of `total.currency`. */
export interface Order {
  readonly id: string;
  readonly personId: string;
  readonly buyer: { readonly email: string; readonly name: string };
  readonly status: OrderStatus;
  readonly total: Money;
  readonly lines: readonly OrderLine[];
  readonly version: number;
  /** Of the request that placed it: what follows from it, days later too, is logged and audited under this id. */
  readonly requestId: string | undefined;
  readonly createdAt: Date;
  readonly paidAt: Date | null;
  readonly canceledAt: Date | null;
}

export interface OrderLine {
  readonly lineId: string;
  readonly kind: ItemKind;
  /** Id of the course or service. */
  readonly id: string;
  readonly title: string;
  readonly quantity: number;
  readonly unitPrice: Money;
  readonly total: Money;
}

/** Row and lines as the module's own shape. */
export function orderOf(row: OrderRow, lines: readonly LineRow[]): Order {
  const { currency } = row;
  return {
    id: row.id,
    personId: row.person_id,
    buyer: { email: row.buyer_email, name: row.buyer_name },
    status: row.status,
    total: { amount: row.total_amount, currency },
    lines: lines.map((line) => ({
      lineId: line.id,
      kind: line.kind,
      id: line.item_id,
      title: line.title,
      quantity: line.quantity,
      unitPrice: { amount: line.unit_amount, currency },
      total: { amount: line.amount, currency },
    })),
    version: row.version,
    requestId: row.request_id ?? undefined,
    createdAt: row.created_at,
    paidAt: row.paid_at,
    canceledAt: row.canceled_at,
  };
}
