import type { Actor } from '#domain/audit/index.ts';
import { isUnpaid, lockPayableOrder, lockVisibleOrder, type Order, settleOrder } from '#domain/sales/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { UiMode } from './attempt.ts';
import { drive } from './checkout-service.ts';
import { createContext, type PaymentsDeps } from './deps.ts';
import { refundDuplicate } from './refund-service.ts';
import { resolveAttempt } from './resolve-service.ts';

/** What a browser needs to pay: a page to go to, or a secret to embed one with. */
export interface CheckoutSession {
  readonly sessionId: string;
  readonly url: string | undefined;
  readonly clientSecret: string | undefined;
  readonly expiresAt: Date;
}

/** Who asks, and with which transactions: each is authorized again by the caller's own rules. */
export interface OrderAction {
  tenantId: string;
  orderId: string;
  /** Whose order it must be; undefined for who may act on every order. */
  personId: string | undefined;
  actor: Actor;
  signal?: AbortSignal | undefined;
  withTx<T>(fn: (tx: TenantTx) => Promise<T>): Promise<T>;
}

/** Payments of one process, with its gateway. */
export interface Payments {
  /**
   * A session to pay an order with: the open one when it is shown the same way, otherwise a new one after the earlier
   * one is confirmed closed at the provider. No provider call is made inside a transaction.
   * @throws KlarError not_found; conflict `order_already_paid`, `order_expired`, `already_enrolled`,
   *   `payment_pending`, `payment_under_review`; unprocessable `provider_refused`, `amount_not_payable`; unavailable
   *   `payment_unknown`, `payment_in_progress`, `provider_busy`, `payments_unavailable`
   */
  createCheckout(input: OrderAction & { uiMode: UiMode }): Promise<CheckoutSession>;
  /**
   * Cancels an unpaid order, after its open session is confirmed closed at the provider. Repeating it is harmless.
   * @throws KlarError not_found; conflict `order_already_paid` (also when it was paid meanwhile), and as above
   */
  cancelOrder(input: OrderAction): Promise<Order>;
  /** Handler of `payments.resolve_attempt`. Throws when it must run again. */
  resolveAttempt(
    payload: { tenant_id: string; order_id: string; attempt_id: string },
    options?: { signal?: AbortSignal },
  ): Promise<'done'>;
  /** Handler of `payments.refund_duplicate`. Throws when it must run again. */
  refundDuplicate(
    payload: { tenant_id: string; refund_id: string },
    options?: { signal?: AbortSignal },
  ): Promise<'done'>;
}

export function createPayments(deps: PaymentsDeps): Payments {
  const context = createContext(deps);
  return {
    async createCheckout({ orderId, personId, uiMode, ...rest }) {
      const attempt = await drive(context, {
        ...rest,
        orderId,
        want: uiMode,
        closeReason: 'replaced',
        mayMake: true,
        lock: (tx) => lockPayableOrder(tx, { orderId, personId }),
      });
      if (attempt?.session_id == null || attempt.expires_at === null) throw fail.internal('session_missing');
      return {
        sessionId: attempt.session_id,
        url: attempt.url ?? undefined,
        clientSecret: attempt.client_secret ?? undefined,
        expiresAt: attempt.expires_at,
      };
    },

    async cancelOrder({ orderId, personId, ...rest }) {
      let canceled: Order | undefined;
      await drive(context, {
        ...rest,
        orderId,
        want: 'none',
        closeReason: 'canceled',
        mayMake: false,
        lock: async (tx) => {
          const order = await lockVisibleOrder(tx, { orderId, personId });
          if (!isUnpaid(order.status)) throw fail.conflict('order_already_paid', 'This order has been paid.');
          return order;
        },
        onNothing: async (tx) => {
          canceled = (await settleOrder(tx, { orderId, status: 'expired', canceled: true, actor: rest.actor })).order;
        },
      });
      if (canceled === undefined) throw fail.internal('order_not_canceled');
      return canceled;
    },

    resolveAttempt: (payload, options) => resolveAttempt(context, payload, options?.signal).then(() => 'done' as const),

    refundDuplicate: (payload, options) =>
      refundDuplicate(context, payload, options?.signal).then(() => 'done' as const),
  };
}
