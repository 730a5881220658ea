import { z } from 'zod';
import { listPayments, PAYMENT_STATES, type PaymentListRow } from '#domain/payments/index.ts';
import { getOrder, ITEM_KINDS, listOrders, ORDER_STATUSES, type Order, placeOrder } from '#domain/sales/index.ts';
import { heldBy, type Principal, type Role } from '#domain/tenancy/index.ts';
import { fail } from '#platform/errors/index.ts';
import { listOf, listQuery, queryBool, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { moneyAnswer } from '../money.ts';
import { cursorOf, idParams, pageOf } from '../page.ts';

/** A course of a term, and then some; Stripe's own limit is 100. */
const MAX_LINES = 50;

const kind = z.enum(ITEM_KINDS);
const orderAnswer = z.object({
  id: z.string(),
  status: z.enum(ORDER_STATUSES),
  total: moneyAnswer,
  lines: z.array(
    z.object({
      line_id: z.string(),
      kind,
      id: z.string(),
      title: z.string(),
      quantity: z.int(),
      unit_price: moneyAnswer,
      total: moneyAnswer,
    }),
  ),
  person_id: z.string(),
  created_at: z.iso.datetime(),
  paid_at: z.iso.datetime().nullable(),
  canceled_at: z.iso.datetime().nullable(),
});

/** What a buyer sees of the payment; the school sees all of it in `GET /api/payments`. */
const paymentAnswer = z.object({
  id: z.string(),
  status: z.enum(PAYMENT_STATES),
  refunded: z.int(),
  method: z.object({ type: z.string(), brand: z.string().nullable(), last4: z.string().nullable() }).nullable(),
  receipt_url: z.string().nullable(),
});

const paymentView = (row: PaymentListRow) => ({
  id: row.id,
  status: row.state,
  refunded: row.refunded,
  method: row.method_type === null ? null : { type: row.method_type, brand: row.method_brand, last4: row.method_last4 },
  receipt_url: row.receipt_url,
});

const orderView = (order: Order) => ({
  id: order.id,
  status: order.status,
  total: order.total,
  lines: order.lines.map((line) => ({
    line_id: line.lineId,
    kind: line.kind,
    id: line.id,
    title: line.title,
    quantity: line.quantity,
    unit_price: line.unitPrice,
    total: line.total,
  })),
  person_id: order.personId,
  created_at: order.createdAt.toISOString(),
  paid_at: order.paidAt?.toISOString() ?? null,
  canceled_at: order.canceledAt?.toISOString() ?? null,
});

/** Whose orders a caller may see: everybody's (undefined), or their own. A key has none of its own. */
export function orderOwner(principal: Principal, role: Role | undefined): string | undefined {
  if (heldBy(principal, role).includes('orders.read_all')) return undefined;
  return ownId(principal);
}

const ownId = (principal: Principal) => (principal.kind === 'person' ? principal.personId : 'nobody');

/** Orders: placed by persons, priced and copied at order time. */
export function orderRoutes({ payments, metrics }: ApiDeps): Route[] {
  const placed = metrics.counter('klar_sales_orders_placed_total', 'Orders placed, by whether they cost something', [
    'free',
  ]);
  return [
    route({
      id: 'orders.place',
      method: 'POST',
      path: '/api/orders',
      access: { kind: 'tenant', permission: 'orders.place' },
      rateClass: 'write',
      summary: 'Order courses and services; a total of 0 is paid and handed over at once',
      audit: 'orders.place',
      idempotent: true,
      body: z.object({
        lines: z
          .array(z.strictObject({ kind, id: text({ max: 64 }).optional(), quantity: z.int().min(1).max(1_000_000) }))
          .min(1)
          .max(MAX_LINES),
      }),
      responses: { 201: orderAnswer },
      errors: [
        'kind_not_available',
        'item_not_available',
        'invalid_quantity',
        'duplicate_line',
        'mixed_currencies',
        'amount_too_large',
        'already_enrolled',
        'person_required',
      ],
      handle: async ({ tx, principal, actor, body }) => {
        if (principal.kind !== 'person') throw fail.forbidden('person_required', 'Only a person can place an order.');
        const { personId, email, name } = principal;
        const order = await placeOrder(tx, { buyer: { personId, email, name }, lines: body.lines, actor });
        tx.afterCommit(() => placed.inc({ free: String(order.total.amount === 0) }));
        return { status: 201, body: orderView(order) };
      },
    }),
    route({
      id: 'orders.list',
      method: 'GET',
      path: '/api/orders',
      access: { kind: 'tenant', permission: 'orders.read_own' },
      rateClass: 'read',
      summary: "One's own orders, newest first; all of the school with the permission orders.read_all",
      query: z.object({ ...listQuery, status: z.enum(ORDER_STATUSES).optional(), mine: queryBool().optional() }),
      responses: { 200: listOf(orderAnswer) },
      handle: async ({ tx, principal, role, query }) => {
        const personId = query.mine === true ? ownId(principal) : orderOwner(principal, role);
        const before = cursorOf(query.cursor, 'orders.list');
        const orders = await listOrders(tx, { personId, status: query.status, before, limit: query.limit + 1 });
        const page = { key: (order: Order) => order.id, view: orderView };
        return { status: 200, body: pageOf(orders, query.limit, 'orders.list', page) };
      },
    }),
    route({
      id: 'orders.show',
      method: 'GET',
      path: '/api/orders/:id',
      access: { kind: 'tenant', permission: 'orders.read_own' },
      rateClass: 'read',
      summary: 'One order',
      params: idParams,
      responses: { 200: orderAnswer.extend({ payment: paymentAnswer.nullable() }) },
      handle: async ({ tx, params, principal, role }) => {
        const order = await getOrder(tx, { orderId: params.id, personId: orderOwner(principal, role) });
        const ofOrder = { orderId: order.id, before: undefined, state: undefined, limit: 1 };
        const [payment] = await listPayments(tx, ofOrder);
        return { status: 200, body: { ...orderView(order), payment: payment ? paymentView(payment) : null } };
      },
    }),
    route({
      id: 'orders.cancel',
      method: 'POST',
      path: '/api/orders/:id/cancel',
      access: { kind: 'tenant', permission: 'orders.place' },
      rateClass: 'billing',
      summary: 'Cancel an unpaid order; its payment page is closed at the provider first',
      audit: 'orders.cancel',
      steps: true,
      params: idParams,
      body: z.object({}).optional(),
      responses: { 200: orderAnswer },
      errors: [
        'order_already_paid',
        'payment_pending',
        'payment_under_review',
        'payment_unknown',
        'payment_in_progress',
        'provider_busy',
        'payments_unavailable',
        'provider_refused',
      ],
      handle: async ({ params, principal, role, actor, tenant, signal, withTx }) => {
        const personId = orderOwner(principal, role);
        const order = await payments.cancelOrder({
          tenantId: tenant.id,
          orderId: params.id,
          personId,
          actor,
          signal,
          withTx,
        });
        return { status: 200, body: orderView(order) };
      },
    }),
  ];
}
