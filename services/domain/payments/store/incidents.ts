import { statement, type TenantTx } from '#platform/db/index.ts';

/** Kinds of facts a person has to look at. */
export const INCIDENT_KINDS = ['mismatch', 'duplicate_money', 'already_had', 'refund_failed'] as const;
export type IncidentKind = (typeof INCIDENT_KINDS)[number];

export interface IncidentRow {
  readonly id: string;
  readonly kind: IncidentKind;
  readonly order_id: string;
  readonly payment_id: string;
  readonly attempt_id: string;
  readonly details: Record<string, unknown>;
  readonly created_at: Date;
  readonly resolved_at: Date | null;
}

const insertSql = statement<{ id: string }>(
  'payments.insert_incident',
  `insert into app.payment_incidents
     (tenant_id, id, kind, dedupe_key, order_id, payment_id, attempt_id, details, created_at)
   values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)
   on conflict on constraint payment_incidents_once do nothing returning id`,
);

/** @returns whether it is new: a fact is one incident, however often its events are replayed */
export async function insertIncident(
  tx: TenantTx,
  row: {
    kind: IncidentKind;
    dedupeKey: string;
    orderId: string;
    paymentId: string;
    attemptId: string;
    details: Record<string, unknown>;
  },
): Promise<boolean> {
  const { kind, dedupeKey, orderId, paymentId, attemptId, details } = row;
  const values = [kind, dedupeKey, orderId, paymentId, attemptId, JSON.stringify(details), tx.now()];
  return (await tx.maybe(insertSql, [tx.tenantId, tx.newId('inc'), ...values])) !== undefined;
}

const listSql = statement<IncidentRow>(
  'payments.list_incidents',
  `select i.id, i.kind, i.order_id, i.payment_id, i.attempt_id, i.details, i.created_at, i.resolved_at
   from app.payment_incidents i
   where i.tenant_id = $1 and ($2::text is null or i.id < $2) and ($3 or i.resolved_at is null)
   order by i.id desc limit $4`,
);

export function listIncidents(
  tx: TenantTx,
  page: { before: string | undefined; resolved: boolean; limit: number },
): Promise<IncidentRow[]> {
  return tx.rows(listSql, [tx.tenantId, page.before, page.resolved, page.limit]);
}
