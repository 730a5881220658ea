import { setTimeout as pause } from 'node:timers/promises';
import { type Actor, append } from '#domain/audit/index.ts';
import { type Order, plainLine } from '#domain/sales/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import { send } from '#platform/queue/index.ts';
import type { CloseReason, UiMode } from './attempt.ts';
import { callProvider } from './call-service.ts';
import type { Context } from './deps.ts';
import type { SessionRequest } from './gateway.ts';
import { resolveAttemptQueue } from './jobs.ts';
import { planCheckout } from './plan.ts';
import { recompute } from './settle-service.ts';
import { isOpen } from './state.ts';
import { type AttemptRow, attemptsOfOrder, insertAttempt, leaseAttempt } from './store/attempts.ts';
import { ensurePayment } from './store/payments.ts';

/** Longer than a provider call with its retry can take; after that the caller is taken for dead. */
const LEASE_S = 30;
/** A caller waits so long for another one's provider call. */
const WAIT_MS = 5_000;
const WAIT_STEP_MS = 60;
/** Close, make, call, and the same again when a webhook comes between. */
const MAX_ROUNDS = 8;
/** When nobody came back to a lost answer by then, the worker does. */
const RESOLVE_AFTER_MS = 2 * 60 * 1000;

/** Prefilled only when every provider takes it: an address they refuse would make the order unpayable. */
const WIDELY_ACCEPTED = /^[a-z0-9._%+-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,24}$/i;

export interface DriveInput {
  tenantId: string;
  orderId: string;
  /** What the caller wants to end with: a session in that mode, or none. */
  want: UiMode | 'none';
  /** Why a session is closed that stands in the way. */
  closeReason: CloseReason;
  /** Whether an attempt may be made; a resolver only ends what is there. */
  mayMake: boolean;
  /** The one attempt that is meant: another that was made meanwhile is a page that somebody is looking at. */
  only?: string | undefined;
  actor: Actor;
  signal?: AbortSignal | undefined;
  /** A transaction of the caller's, authorized again each time. */
  withTx<T>(fn: (tx: TenantTx) => Promise<T>): Promise<T>;
  /** Locks the order and refuses what the caller may not do with it. */
  lock(tx: TenantTx): Promise<Order>;
  /** Runs in the transaction that found no open attempt, when none is wanted. */
  onNothing?(tx: TenantTx, order: Order): Promise<void>;
}

type Next =
  | { step: 'end'; attempt: AttemptRow | undefined }
  | { step: 'wait' }
  | { step: 'call' | 'look_up' | 'close'; attempt: AttemptRow; token: string; now: Date };

/**
 * Moves an order's open attempt towards what is wanted, one step at a time: look under the order's lock, call the
 * provider with no transaction open, write down what it said, look again.
 * @returns the attempt whose session can be handed out; undefined when none is wanted and none is left
 * @throws KlarError conflict `payment_pending`, `payment_under_review`; unavailable `payment_in_progress`,
 *   `payment_unknown`, `provider_busy`, `payments_unavailable`; unprocessable `provider_refused`
 */
export async function drive(context: Context, input: DriveInput): Promise<AttemptRow | undefined> {
  const deadline = performance.now() + (context.waitMs ?? WAIT_MS);
  for (let round = 0; round < MAX_ROUNDS; ) {
    const next = await input.withTx((tx) => look(context, tx, input));
    if (next.step === 'end') return next.attempt;
    if (next.step === 'wait') {
      if (performance.now() > deadline) break;
      await pause(WAIT_STEP_MS, undefined, { signal: input.signal });
      continue;
    }
    await callProvider(context, { ...next, tenantId: input.tenantId, actor: input.actor, signal: input.signal });
    round += 1;
  }
  context.count.session('in_progress');
  throw fail.unavailable('payment_in_progress', 'Another request is preparing this payment. Try again.', 1);
}

async function look(context: Context, tx: TenantTx, input: DriveInput): Promise<Next> {
  const order = await input.lock(tx);
  const open = (await attemptsOfOrder(tx, order.id)).find((attempt) => isOpen(attempt.state));
  if (input.only !== undefined && open?.id !== input.only) return { step: 'end', attempt: undefined };
  const step = planCheckout(open, input.want, tx.now());
  if (step === 'held') {
    throw fail.conflict(
      'payment_under_review',
      'A payment of this order is under review. The school will get in touch.',
    );
  }
  if (step === 'pending') {
    throw fail.conflict('payment_pending', 'A payment of this order is on its way.');
  }
  if (open === undefined) {
    if (step === 'make' && input.mayMake) return make(context, tx, { ...input, order, uiMode: input.want as UiMode });
    if (step === 'nothing') await input.onNothing?.(tx, order);
    return { step: 'end', attempt: undefined };
  }
  if (step === 'hand_out') return { step: 'end', attempt: open };
  if (step === 'wait') return { step };
  const token = randomToken(12);
  const closing = step === 'close';
  const attempt = await leaseAttempt(tx, {
    id: open.id,
    token,
    leaseS: LEASE_S,
    state: closing ? 'expiring' : null,
    closeReason: closing ? (open.close_reason ?? input.closeReason) : null,
  });
  if (attempt === undefined) return { step: 'wait' };
  if (closing) await scheduleResolve(tx, attempt);
  return { step: closing ? 'close' : step === 'look_up' ? 'look_up' : 'call', attempt, token, now: tx.now() };
}

async function make(
  context: Context,
  tx: TenantTx,
  input: { order: Order; uiMode: UiMode; actor: Actor },
): Promise<Next> {
  const { order, uiMode, actor } = input;
  const { amount: due, currency } = order.total;
  const payment = await ensurePayment(tx, { orderId: order.id, personId: order.personId, currency, due });
  const id = tx.newId('att');
  const token = randomToken(12);
  const request = sessionRequest(context, { order, attemptId: id, uiMode });
  const { provider, account, livemode } = context.gateway;
  const row = { id, payment, provider, account, livemode, request, leaseToken: token, leaseS: LEASE_S };
  const attempt = await insertAttempt(tx, row);
  await append(tx, {
    action: 'payments.attempt',
    actor,
    object: { type: 'payment_attempt', id },
    details: { order_id: order.id, provider, ui_mode: uiMode, amount: due, currency },
  });
  await recompute(context, tx, { payment, order, actor });
  await scheduleResolve(tx, attempt);
  return { step: 'call', attempt, token, now: tx.now() };
}

/** In the same commit as the attempt: whoever dies after it, the worker finds it. */
async function scheduleResolve(tx: TenantTx, attempt: AttemptRow): Promise<void> {
  const payload = { tenant_id: tx.tenantId, order_id: attempt.order_id, attempt_id: attempt.id };
  await send(tx, resolveAttemptQueue, payload, { startAfter: new Date(tx.now().getTime() + RESOLVE_AFTER_MS) });
}

function sessionRequest(context: Context, input: { order: Order; attemptId: string; uiMode: UiMode }): SessionRequest {
  const { order, attemptId, uiMode } = input;
  const { email } = order.buyer;
  const base = context.publicBaseUrl;
  return {
    orderId: order.id,
    attemptId,
    amount: order.total.amount,
    currency: order.total.currency,
    uiMode,
    lines: order.lines.map(({ kind, title, unitPrice, quantity }) => {
      // Providers refuse a nameless line, and a title may consist of what cannot be shown.
      return { title: plainLine(title) || kind, unitAmount: unitPrice.amount, quantity };
    }),
    ...(WIDELY_ACCEPTED.test(email) ? { email } : {}),
    successUrl: `${base}/checkout/return?order_id=${order.id}&session_id={CHECKOUT_SESSION_ID}`,
    cancelUrl: `${base}/checkout/cancel?order_id=${order.id}`,
  };
}
