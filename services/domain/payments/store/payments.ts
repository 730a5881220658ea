import { statement, type TenantTx } from '#platform/db/index.ts';
import type { Amounts, PaymentState } from '../state.ts';

export interface PaymentRow extends Amounts {
  readonly id: string;
  readonly order_id: string;
  readonly person_id: string;
  readonly currency: string;
  readonly due: number;
  readonly state: PaymentState;
  readonly paid_attempt_id: string | null;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly paid_at: Date | null;
}

const PAYMENT = `p.id, p.order_id, p.person_id, p.currency, p.due, p.captured, p.refunded, p.disputed, p.lost, p.state,
  p.paid_attempt_id, p.version, p.created_at, p.updated_at, p.paid_at`;

const ensurePaymentSql = statement<PaymentRow>(
  'payments.ensure_payment',
  `insert into app.payments as p (tenant_id, id, order_id, person_id, currency, due, created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, $7)
   on conflict on constraint payments_one_per_order do update set updated_at = p.updated_at
   returning ${PAYMENT}`,
);

/** The order's payment, made on first use. The caller holds the order's lock. */
export function ensurePayment(
  tx: TenantTx,
  row: { orderId: string; personId: string; currency: string; due: number },
): Promise<PaymentRow> {
  const { orderId, personId, currency, due } = row;
  return tx.one(ensurePaymentSql, [tx.tenantId, tx.newId('pay'), orderId, personId, currency, due, tx.now()]);
}

const paymentOfOrderSql = statement<PaymentRow>(
  'payments.select_payment_of_order',
  `select ${PAYMENT} from app.payments p where p.tenant_id = $1 and p.order_id = $2`,
);

export function paymentOfOrder(tx: TenantTx, orderId: string): Promise<PaymentRow | undefined> {
  return tx.maybe(paymentOfOrderSql, [tx.tenantId, orderId]);
}

const updatePaymentSql = statement(
  'payments.update_payment',
  `update app.payments p set state = $4, captured = $5::bigint, refunded = $6, disputed = $7, lost = $8,
     paid_attempt_id = coalesce(p.paid_attempt_id, $9), version = p.version + 1, updated_at = $10,
     paid_at = case when $5::bigint > 0 then coalesce(p.paid_at, $10) end
   where p.tenant_id = $1 and p.id = $2 and p.version = $3`,
);

export async function updatePayment(
  tx: TenantTx,
  row: { id: string; version: number; state: PaymentState; amounts: Amounts; paidAttemptId: string | null },
): Promise<boolean> {
  const { captured, refunded, disputed, lost } = row.amounts;
  const values = [row.id, row.version, row.state, captured, refunded, disputed, lost, row.paidAttemptId];
  return (await tx.run(updatePaymentSql, [tx.tenantId, ...values, tx.now()])) === 1;
}

export interface PaymentListRow extends PaymentRow {
  readonly provider: string | null;
  readonly method_type: string | null;
  readonly method_brand: string | null;
  readonly method_last4: string | null;
  readonly receipt_url: string | null;
}

const LISTED = `${PAYMENT}, a.provider, a.method_type, a.method_brand, a.method_last4, a.receipt_url`;

// The receipt is that of the attempt that paid.
const listPaymentsSql = statement<PaymentListRow>(
  'payments.list_payments',
  `select ${LISTED} from app.payments p
   left join app.payment_attempts a on a.tenant_id = p.tenant_id and a.id = p.paid_attempt_id
   where p.tenant_id = $1 and ($2::text is null or p.id < $2) and ($3::text is null or p.state = $3)
     and ($4::text is null or p.order_id = $4)
   order by p.id desc limit $5`,
);

export function listPayments(
  tx: TenantTx,
  page: {
    before: string | undefined;
    state: PaymentState | undefined;
    orderId: string | undefined;
    limit: number;
  },
): Promise<PaymentListRow[]> {
  return tx.rows(listPaymentsSql, [tx.tenantId, page.before, page.state, page.orderId, page.limit]);
}

const upsertCustomerSql = statement(
  'payments.upsert_provider_customer',
  `insert into app.provider_customers (tenant_id, provider, account, person_id, customer_id, created_at)
   values ($1, $2, $3, $4, $5, $6)
   on conflict (tenant_id, provider, account, person_id) do update set customer_id = excluded.customer_id
     where app.provider_customers.customer_id <> excluded.customer_id`,
);

/** The provider's name for a person; the latest one counts. */
export async function upsertCustomer(
  tx: TenantTx,
  row: { provider: string; account: string; personId: string; customerId: string },
): Promise<void> {
  const { provider, account, personId, customerId } = row;
  await tx.run(upsertCustomerSql, [tx.tenantId, provider, account, personId, customerId, tx.now()]);
}
