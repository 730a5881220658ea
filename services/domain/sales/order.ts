import { fail } from '#platform/errors/index.ts';
import { addMoney, type Money, money, timesMoney } from './money.ts';

/** What an order line can be of. Kinds without a module behind them are refused at order time. */
export const ITEM_KINDS = ['course', 'service', 'seminar', 'credits'] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

/** Kinds that can be ordered, and how many of one: a person takes a course once. */
const ORDERABLE: Partial<Record<ItemKind, { maxQuantity: number }>> = {
  course: { maxQuantity: 1 },
  service: { maxQuantity: 100 },
};

export const ORDER_STATUSES = [
  'pending',
  'paid',
  'failed',
  'expired',
  'refunded',
  'partially_refunded',
  'disputed',
] as const;
/** `expired` is also what a canceled order becomes (`canceled_at` tells them apart). */
export type OrderStatus = (typeof ORDER_STATUSES)[number];

const UNPAID = ['pending', 'failed', 'expired'] as const;
const SETTLED = ['paid', 'refunded', 'partially_refunded', 'disputed'] as const;

/** Which status may follow which. Late money leads from every unpaid status to a settled one; nothing leads back. */
export const ORDER_TRANSITIONS = {
  pending: ['failed', 'expired', ...SETTLED],
  failed: ['pending', 'expired', ...SETTLED],
  expired: ['pending', 'failed', ...SETTLED],
  paid: ['refunded', 'partially_refunded', 'disputed'],
  refunded: ['paid', 'partially_refunded', 'disputed'],
  partially_refunded: ['paid', 'refunded', 'disputed'],
  disputed: ['paid', 'refunded', 'partially_refunded'],
} as const satisfies Record<OrderStatus, readonly OrderStatus[]>;

export function mayFollow(from: OrderStatus, to: OrderStatus): boolean {
  return from === to || (ORDER_TRANSITIONS[from] as readonly OrderStatus[]).includes(to);
}

/** Nobody has paid yet. */
export function isUnpaid(status: OrderStatus): boolean {
  return (UNPAID as readonly OrderStatus[]).includes(status);
}

/** A line as a client asks for it. `id` names the course, service or seminar; credits have none. */
export interface LineRequest {
  readonly kind: ItemKind;
  readonly id?: string;
  readonly quantity: number;
}

/** What is for sale under an id, as read in the order's transaction. */
export interface Offer {
  readonly kind: ItemKind;
  readonly id: string;
  readonly title: string;
  readonly priceId: string;
  readonly unit: Money;
}

export interface PricedLine {
  readonly kind: ItemKind;
  readonly itemId: string;
  readonly title: string;
  readonly priceId: string;
  readonly quantity: number;
  readonly unit: Money;
  readonly total: Money;
}

/**
 * Refuses what cannot be ordered whatever is for sale, before anything is read.
 * @throws KlarError unprocessable `kind_not_available`, `invalid_quantity`, `duplicate_line`
 */
export function checkLines(lines: readonly LineRequest[]): { kind: ItemKind; id: string; quantity: number }[] {
  const seen = new Set<string>();
  return lines.map(({ kind, id, quantity }, index) => {
    const rule = ORDERABLE[kind];
    if (rule === undefined) throw refusal('kind_not_available', `Orders of kind ${kind} are not available.`, index);
    if (id === undefined) throw refusal('item_not_available', 'What this line orders is not for sale.', index);
    if (!Number.isSafeInteger(quantity) || quantity < 1 || quantity > rule.maxQuantity) {
      throw refusal('invalid_quantity', `A line of kind ${kind} has a quantity of 1 to ${rule.maxQuantity}.`, index);
    }
    if (seen.has(`${kind} ${id}`)) throw refusal('duplicate_line', 'An item may be on one line only.', index);
    seen.add(`${kind} ${id}`);
    return { kind, id, quantity };
  });
}

/**
 * Prices an order: the total is the sum of its lines, in the one currency they share.
 * @throws KlarError unprocessable `item_not_available` (unknown, draft, without a price, of another tenant: one answer),
 * `mixed_currencies`, `amount_too_large`
 */
export function priceOrder(
  lines: readonly { kind: ItemKind; id: string; quantity: number }[],
  offers: readonly Offer[],
): { lines: PricedLine[]; total: Money } {
  const byKey = new Map(offers.map((offer) => [`${offer.kind} ${offer.id}`, offer]));
  const priced = lines.map(({ kind, id, quantity }, index): PricedLine => {
    const offer = byKey.get(`${kind} ${id}`);
    if (offer === undefined) throw refusal('item_not_available', 'What this line orders is not for sale.', index);
    return {
      kind,
      itemId: id,
      title: offer.title,
      priceId: offer.priceId,
      quantity,
      unit: offer.unit,
      total: timesMoney(offer.unit, quantity),
    };
  });
  const [first, ...rest] = priced;
  if (first === undefined) throw fail.invalid('empty_order', 'An order has at least one line.');
  return { lines: priced, total: rest.reduce((sum, line) => addMoney(sum, line.total), money0(first.total)) };
}

const money0 = (m: Money) => money(m.amount, m.currency);

function refusal(code: string, detail: string, line: number) {
  return fail.unprocessable(code, detail, [{ path: `lines.${line}`, message: detail }]);
}
