import { statement, type TenantTx } from '#platform/db/index.ts';
import type { CloseReason, UiMode } from '../attempt.ts';
import type { Observation, SessionRequest } from '../gateway.ts';
import type { Amounts, AttemptState } from '../state.ts';
import type { PaymentRow } from './payments.ts';

export interface AttemptRow extends Amounts {
  readonly id: string;
  readonly payment_id: string;
  readonly order_id: string;
  readonly provider: 'stripe';
  readonly account: string;
  readonly livemode: boolean;
  readonly ui_mode: UiMode;
  readonly state: AttemptState;
  readonly close_reason: CloseReason | null;
  readonly amount: number;
  readonly currency: string;
  readonly request: SessionRequest;
  readonly session_id: string | null;
  readonly payment_intent_id: string | null;
  readonly url: string | null;
  readonly client_secret: string | null;
  readonly expires_at: Date | null;
  readonly duplicate: boolean;
  readonly method_type: string | null;
  readonly method_brand: string | null;
  readonly method_last4: string | null;
  readonly receipt_url: string | null;
  readonly last_error: string | null;
  readonly version: number;
  readonly created_at: Date;
  /** By database time: somebody is calling the provider about it. */
  readonly leased: boolean;
}

const ATTEMPT = `a.id, a.payment_id, a.order_id, a.provider, a.account, a.livemode, a.ui_mode, a.state, a.close_reason,
  a.amount, a.currency, a.request, a.session_id, a.payment_intent_id, a.url, a.client_secret, a.expires_at, a.captured,
  a.refunded, a.disputed, a.lost, a.duplicate, a.method_type, a.method_brand, a.method_last4, a.receipt_url,
  a.last_error, a.version, a.created_at, coalesce(a.lease_until > clock_timestamp(), false) as leased`;

const insertAttemptSql = statement<AttemptRow>(
  'payments.insert_attempt',
  `insert into app.payment_attempts as a (tenant_id, id, payment_id, order_id, provider, account, livemode, ui_mode,
     state, amount, currency, request, lease_token, lease_until, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8, 'created', $9, $10, $11::jsonb, $12,
     clock_timestamp() + make_interval(secs => $13), $14, $14)
   returning ${ATTEMPT}`,
);

export function insertAttempt(
  tx: TenantTx,
  row: {
    id: string;
    payment: PaymentRow;
    provider: string;
    account: string;
    livemode: boolean;
    request: SessionRequest;
    leaseToken: string;
    leaseS: number;
  },
): Promise<AttemptRow> {
  const { id, payment, provider, account, livemode, request, leaseToken, leaseS } = row;
  const what = [provider, account, livemode, request.uiMode, payment.due, payment.currency, JSON.stringify(request)];
  const values = [tx.tenantId, id, payment.id, payment.order_id, ...what, leaseToken, leaseS, tx.now()];
  return tx.one(insertAttemptSql, values);
}

const insertStraySql = statement<AttemptRow>(
  'payments.insert_stray_attempt',
  `insert into app.payment_attempts as a (tenant_id, id, payment_id, order_id, provider, account, livemode, ui_mode,
     state, amount, currency, request, payment_intent_id, captured, duplicate, created_at, updated_at)
   select o.tenant_id, $3, o.payment_id, o.order_id, o.provider, o.account, o.livemode, o.ui_mode, 'paid', o.amount,
     o.currency, o.request, $4, $5, true, $6, $6
   from app.payment_attempts o where o.tenant_id = $1 and o.id = $2
   returning ${ATTEMPT}`,
);

/** Money that came through another attempt's session, as an attempt of its own. */
export function insertStray(
  tx: TenantTx,
  row: { attempt: AttemptRow; paymentIntentId: string; captured: number },
): Promise<AttemptRow> {
  const { attempt, paymentIntentId, captured } = row;
  const values = [attempt.id, tx.newId('att'), paymentIntentId, captured, tx.now()];
  return tx.one(insertStraySql, [tx.tenantId, ...values]);
}

const attemptsSql = statement<AttemptRow>(
  'payments.select_attempts_of_order',
  `select ${ATTEMPT} from app.payment_attempts a where a.tenant_id = $1 and a.order_id = $2 order by a.id`,
);

/** Oldest first. */
export function attemptsOfOrder(tx: TenantTx, orderId: string): Promise<AttemptRow[]> {
  return tx.rows(attemptsSql, [tx.tenantId, orderId]);
}

const attemptSql = statement<AttemptRow>(
  'payments.select_attempt',
  `select ${ATTEMPT} from app.payment_attempts a where a.tenant_id = $1 and a.id = $2`,
);

export function selectAttempt(tx: TenantTx, id: string): Promise<AttemptRow | undefined> {
  return tx.maybe(attemptSql, [tx.tenantId, id]);
}

const attemptBySessionSql = statement<AttemptRow>(
  'payments.select_attempt_by_session',
  `select ${ATTEMPT} from app.payment_attempts a
   where a.tenant_id = $1 and a.provider = $2 and a.account = $3 and a.session_id = $4`,
);
const attemptByIntentSql = statement<AttemptRow>(
  'payments.select_attempt_by_payment_intent',
  `select ${ATTEMPT} from app.payment_attempts a
   where a.tenant_id = $1 and a.provider = $2 and a.account = $3 and a.payment_intent_id = $4`,
);

export function attemptByObject(
  tx: TenantTx,
  object: { provider: string; account: string; sessionId?: string | undefined; paymentIntentId?: string | undefined },
): Promise<AttemptRow | undefined> {
  const { provider, account, sessionId, paymentIntentId } = object;
  if (sessionId !== undefined) return tx.maybe(attemptBySessionSql, [tx.tenantId, provider, account, sessionId]);
  return tx.maybe(attemptByIntentSql, [tx.tenantId, provider, account, paymentIntentId ?? null]);
}

const leaseSql = statement<AttemptRow>(
  'payments.lease_attempt',
  `update app.payment_attempts as a set lease_token = $3, lease_until = clock_timestamp() + make_interval(secs => $4),
     state = coalesce($5::text, a.state), close_reason = coalesce($6::text, a.close_reason),
     version = case when $5::text is null and $6::text is null then a.version else a.version + 1 end, updated_at = $7
   where a.tenant_id = $1 and a.id = $2 and (a.lease_until is null or a.lease_until <= clock_timestamp())
   returning ${ATTEMPT}`,
);

/** Takes the right to call the provider about an attempt. @returns undefined when somebody else has it */
export function leaseAttempt(
  tx: TenantTx,
  row: { id: string; token: string; leaseS: number; state: AttemptState | null; closeReason: CloseReason | null },
): Promise<AttemptRow | undefined> {
  const { id, token, leaseS, state, closeReason } = row;
  return tx.maybe(leaseSql, [tx.tenantId, id, token, leaseS, state, closeReason, tx.now()]);
}

const wantClosedSql = statement<AttemptRow>(
  'payments.want_attempt_closed',
  `update app.payment_attempts as a set close_reason = coalesce(a.close_reason, $3),
     state = case when a.state = 'open' then 'expiring' else a.state end, version = a.version + 1, updated_at = $4
   where a.tenant_id = $1 and a.id = $2 returning ${ATTEMPT}`,
);

/** Marks an open attempt to be closed at the provider; whoever drives it next does so. */
export function wantClosed(tx: TenantTx, id: string, reason: CloseReason): Promise<AttemptRow | undefined> {
  return tx.maybe(wantClosedSql, [tx.tenantId, id, reason, tx.now()]);
}

const failCallSql = statement(
  'payments.note_failed_call',
  `update app.payment_attempts a set state = $4, close_reason = coalesce($5, a.close_reason), last_error = $6,
     lease_token = null, lease_until = null, version = a.version + 1, updated_at = $7
   where a.tenant_id = $1 and a.id = $2 and a.lease_token = $3`,
);

/** Ends a lease whose call failed. @returns false when the lease was lost meanwhile */
export async function noteFailedCall(
  tx: TenantTx,
  row: { id: string; token: string; state: AttemptState; closeReason: CloseReason | null; lastError: string },
): Promise<boolean> {
  const { id, token, state, closeReason, lastError } = row;
  return (await tx.run(failCallSql, [tx.tenantId, id, token, state, closeReason, lastError, tx.now()])) === 1;
}

const takeSql = statement(
  'payments.take_observation',
  `update app.payment_attempts a set state = $4, close_reason = $5, captured = $6, refunded = $7, duplicate = $8,
     session_id = $9, payment_intent_id = coalesce($10, a.payment_intent_id), charge_id = coalesce($11, a.charge_id),
     url = $12, client_secret = $13, expires_at = $14, method_type = coalesce($15, a.method_type),
     method_brand = coalesce($16, a.method_brand), method_last4 = coalesce($17, a.method_last4),
     receipt_url = coalesce($18, a.receipt_url), last_error = coalesce($19, a.last_error),
     lease_token = null, lease_until = null, version = a.version + 1, updated_at = $20
   where a.tenant_id = $1 and a.id = $2 and a.version = $3`,
);

/** Writes what was seen, over the version that was read. @returns false when the version moved on */
export async function takeObservation(
  tx: TenantTx,
  row: {
    id: string;
    version: number;
    state: AttemptState;
    closeReason: CloseReason | null;
    captured: number;
    refunded: number;
    duplicate: boolean;
    seen: Observation;
  },
): Promise<boolean> {
  const { id, version, state, closeReason, captured, refunded, duplicate, seen } = row;
  // What opens a page is of no use after it has closed, and the secret should not outlive it.
  const usable = state === 'open';
  const values = [
    ...[id, version, state, closeReason, captured, refunded, duplicate],
    ...[seen.sessionId === '' ? null : seen.sessionId, seen.paymentIntentId, seen.chargeId],
    ...[usable ? seen.url : null, usable ? seen.clientSecret : null, seen.expiresAt],
    ...[seen.methodType, seen.methodBrand, seen.methodLast4, seen.receiptUrl, seen.lastError],
  ];
  return (await tx.run(takeSql, [tx.tenantId, ...values, tx.now()])) === 1;
}
