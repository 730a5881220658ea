import { z } from 'zod';
import {
  type IncidentRow,
  listIncidents,
  listPayments,
  PAYMENT_STATES,
  type PaymentListRow,
  UI_MODES,
} from '#domain/payments/index.ts';
import { fail } from '#platform/errors/index.ts';
import { listOf, listQuery, queryBool, type Route, text } from '#platform/http/index.ts';
import { type ApiDeps, route } from '../deps.ts';
import { moneyAnswer } from '../money.ts';
import { cursorOf, pageOf } from '../page.ts';
import { orderOwner } from './orders.ts';

const paymentAnswer = z.object({
  id: z.string(),
  order_id: z.string(),
  person_id: z.string(),
  status: z.enum(PAYMENT_STATES),
  amount: moneyAnswer,
  captured: z.int(),
  refunded: z.int(),
  disputed: z.int(),
  lost: z.int(),
  provider: z.string().nullable(),
  method: z
    .object({ type: z.string().nullable(), brand: z.string().nullable(), last4: z.string().nullable() })
    .nullable(),
  receipt_url: z.string().nullable(),
  created_at: z.iso.datetime(),
  paid_at: z.iso.datetime().nullable(),
});

const paymentView = (row: PaymentListRow) => ({
  id: row.id,
  order_id: row.order_id,
  person_id: row.person_id,
  status: row.state,
  amount: { amount: row.due, currency: row.currency },
  captured: row.captured,
  refunded: row.refunded,
  disputed: row.disputed,
  lost: row.lost,
  provider: row.provider,
  method: row.method_type === null ? null : { type: row.method_type, brand: row.method_brand, last4: row.method_last4 },
  receipt_url: row.receipt_url,
  created_at: row.created_at.toISOString(),
  paid_at: row.paid_at?.toISOString() ?? null,
});

const incidentAnswer = z.object({
  id: z.string(),
  kind: z.enum(['mismatch', 'duplicate_money', 'already_had', 'refund_failed']),
  order_id: z.string(),
  payment_id: z.string(),
  attempt_id: z.string(),
  details: z.record(z.string(), z.json()),
  created_at: z.iso.datetime(),
  resolved_at: z.iso.datetime().nullable(),
});

const incidentView = (row: IncidentRow) => ({
  id: row.id,
  kind: row.kind,
  order_id: row.order_id,
  payment_id: row.payment_id,
  attempt_id: row.attempt_id,
  details: row.details as Record<string, z.infer<ReturnType<typeof z.json>>>,
  created_at: row.created_at.toISOString(),
  resolved_at: row.resolved_at?.toISOString() ?? null,
});

/** Paying an order, and what has been paid. */
export function paymentsRoutes({ payments, flags }: ApiDeps): Route[] {
  return [
    route({
      id: 'payments.create_session',
      method: 'POST',
      path: '/api/payments/stripe/create-session',
      access: { kind: 'tenant', permission: 'payments.create_session' },
      rateClass: 'billing',
      summary: 'A Stripe Checkout session for an order: the open one, or a new one after the earlier is closed',
      // The answer holds a secret and is not stored: repeating the call gives the open session again.
      audit: 'payments.create_session',
      steps: true,
      body: z.object({ order_id: text({ max: 64 }), ui_mode: z.enum(UI_MODES).optional() }),
      responses: {
        201: z.object({
          session_id: z.string(),
          url: z.string().optional(),
          client_secret: z.string().optional(),
          expires_at: z.iso.datetime(),
        }),
      },
      errors: [
        'order_already_paid',
        'order_expired',
        'already_enrolled',
        'payment_pending',
        'payment_under_review',
        'provider_refused',
        'amount_not_payable',
        'payment_unknown',
        'payment_in_progress',
        'provider_busy',
        'payments_unavailable',
        'checkout_disabled',
      ],
      handle: async ({ body, principal, role, actor, tenant, signal, withTx }) => {
        const personId = principal.kind === 'person' ? principal.personId : undefined;
        if (!flags.isOn('checkout-enabled', { tenantId: tenant.id, personId })) {
          throw fail.unavailable('checkout_disabled', 'Paying is switched off for the moment; try again later.', 60);
        }
        const session = await payments.createCheckout({
          tenantId: tenant.id,
          orderId: body.order_id,
          uiMode: body.ui_mode ?? 'hosted_page',
          personId: orderOwner(principal, role),
          actor,
          signal,
          withTx,
        });
        const { sessionId, url, clientSecret, expiresAt } = session;
        return {
          status: 201,
          body: { session_id: sessionId, url, client_secret: clientSecret, expires_at: expiresAt.toISOString() },
        };
      },
    }),
    route({
      id: 'payments.list',
      method: 'GET',
      path: '/api/payments',
      access: { kind: 'tenant', permission: 'payments.read' },
      rateClass: 'read',
      summary: 'Payments of the school, newest first',
      query: z.object({
        ...listQuery,
        status: z.enum(PAYMENT_STATES).optional(),
        order_id: text({ max: 64 }).optional(),
      }),
      responses: { 200: listOf(paymentAnswer) },
      handle: async ({ tx, query }) => {
        const { status: state, order_id: orderId, limit } = query;
        const before = cursorOf(query.cursor, 'payments.list');
        const rows = await listPayments(tx, { state, orderId, before, limit: limit + 1 });
        const page = { key: (row: PaymentListRow) => row.id, view: paymentView };
        return { status: 200, body: pageOf(rows, limit, 'payments.list', page) };
      },
    }),
    route({
      id: 'payments.incidents',
      method: 'GET',
      path: '/api/payments/incidents',
      access: { kind: 'tenant', permission: 'payments.read' },
      rateClass: 'read',
      summary: 'What a person has to look at: money that does not fit its order, or came twice',
      query: z.object({ ...listQuery, resolved: queryBool().optional() }),
      responses: { 200: listOf(incidentAnswer) },
      handle: async ({ tx, query }) => {
        const before = cursorOf(query.cursor, 'payments.incidents');
        const rows = await listIncidents(tx, { before, resolved: query.resolved === true, limit: query.limit + 1 });
        const page = { key: (row: IncidentRow) => row.id, view: incidentView };
        return { status: 200, body: pageOf(rows, query.limit, 'payments.incidents', page) };
      },
    }),
  ];
}
