import { statement, type TenantTx } from '#platform/db/index.ts';

export interface RefundRow {
  readonly id: string;
  readonly payment_id: string;
  readonly attempt_id: string;
  readonly order_id: string;
  readonly amount: number;
  readonly currency: string;
  readonly reason: 'duplicate' | 'requested';
  readonly state: 'created' | 'unknown' | 'pending' | 'succeeded' | 'failed';
  readonly provider_refund_id: string | null;
  readonly version: number;
  readonly created_at: Date;
}

const REFUND = `r.id, r.payment_id, r.attempt_id, r.order_id, r.amount, r.currency, r.reason, r.state,
  r.provider_refund_id, r.version, r.created_at`;

const insertDuplicateSql = statement<RefundRow>(
  'payments.insert_duplicate_refund',
  `insert into app.refunds as r (tenant_id, id, payment_id, attempt_id, order_id, amount, currency, reason, state,
     created_at, updated_at)
   values ($1, $2, $3, $4, $5, $6, $7, 'duplicate', 'created', $8, $8)
   on conflict (tenant_id, attempt_id) where reason = 'duplicate' do nothing returning ${REFUND}`,
);

/** @returns undefined when this attempt's money is being given back already */
export function insertDuplicateRefund(
  tx: TenantTx,
  row: { paymentId: string; attemptId: string; orderId: string; amount: number; currency: string },
): Promise<RefundRow | undefined> {
  const { paymentId, attemptId, orderId, amount, currency } = row;
  const values = [tx.newId('ref'), paymentId, attemptId, orderId, amount, currency, tx.now()];
  return tx.maybe(insertDuplicateSql, [tx.tenantId, ...values]);
}

const selectSql = statement<RefundRow>(
  'payments.select_refund',
  `select ${REFUND} from app.refunds r where r.tenant_id = $1 and r.id = $2`,
);

export function selectRefund(tx: TenantTx, id: string): Promise<RefundRow | undefined> {
  return tx.maybe(selectSql, [tx.tenantId, id]);
}

const selectDuplicateSql = statement<RefundRow>(
  'payments.select_duplicate_refund',
  `select ${REFUND} from app.refunds r where r.tenant_id = $1 and r.attempt_id = $2 and r.reason = 'duplicate'`,
);

/** The refund of an attempt whose money came a second time. */
export function duplicateRefundOf(tx: TenantTx, attemptId: string): Promise<RefundRow | undefined> {
  return tx.maybe(selectDuplicateSql, [tx.tenantId, attemptId]);
}

const updateSql = statement<RefundRow>(
  'payments.update_refund',
  `update app.refunds as r set state = $4, provider_refund_id = coalesce($5, r.provider_refund_id), last_error = $6,
     version = r.version + 1, updated_at = $7
   where r.tenant_id = $1 and r.id = $2 and r.version = $3 returning ${REFUND}`,
);

/** @returns undefined when the version moved on */
export function updateRefund(
  tx: TenantTx,
  row: {
    id: string;
    version: number;
    state: RefundRow['state'];
    providerRefundId: string | undefined;
    lastError: string | undefined;
  },
): Promise<RefundRow | undefined> {
  const { id, version, state, providerRefundId, lastError } = row;
  return tx.maybe(updateSql, [tx.tenantId, id, version, state, providerRefundId, lastError, tx.now()]);
}
