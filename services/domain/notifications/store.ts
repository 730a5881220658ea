import { statement, type TenantTx } from '#platform/db/index.ts';

export interface NewDelivery {
  id: string;
  dedupeKey: string;
  template: string;
  toEmail: string;
  toName: string | null;
  personId: string | null;
  data: object;
}

/** A delivery as the worker holds it during one attempt. */
export interface ClaimedDelivery {
  id: string;
  template: string;
  toEmail: string;
  toName: string | null;
  data: Record<string, string | number>;
  attempts: number;
}

const insertDelivery = statement<{ id: string }>(
  'notifications.insert_delivery',
  `insert into app.notification_deliveries (tenant_id, id, dedupe_key, template, to_email, to_name, person_id, data)
   values ($1, $2, $3, $4, $5, $6, $7, $8)
   on conflict (tenant_id, dedupe_key) do nothing
   returning id`,
);

// Leases by the database's time: two workers' clocks may differ by more than a lease.
const claimDelivery = statement<ClaimedDelivery>(
  'notifications.claim_delivery',
  `update app.notification_deliveries
      set state = 'sending', lease = $3, lease_until = clock_timestamp() + make_interval(secs => $4),
          attempts = attempts + 1, updated_at = clock_timestamp()
    where tenant_id = $1 and id = $2
      and (state in ('queued', 'failed') or (state = 'sending' and lease_until < clock_timestamp()))
   returning id, template, to_email as "toEmail", to_name as "toName", data, attempts`,
);

const readLease = statement<{ leaseUntil: Date }>(
  'notifications.read_lease',
  `select lease_until as "leaseUntil" from app.notification_deliveries
    where tenant_id = $1 and id = $2 and state = 'sending'`,
);

const settleSent = statement(
  'notifications.settle_sent',
  `update app.notification_deliveries
      set state = 'sent', sent_at = clock_timestamp(), updated_at = clock_timestamp(), message_id = $4,
          lease = null, lease_until = null, last_error = null, data = data - $5::text[]
    where tenant_id = $1 and id = $2 and state = 'sending' and lease = $3`,
);

const settleFailed = statement(
  'notifications.settle_failed',
  `update app.notification_deliveries
      set state = 'failed', updated_at = clock_timestamp(), lease = null, lease_until = null, last_error = $4
    where tenant_id = $1 and id = $2 and state = 'sending' and lease = $3`,
);

const settleDead = statement(
  'notifications.settle_dead',
  `update app.notification_deliveries
      set state = 'dead', updated_at = clock_timestamp(), lease = null, lease_until = null, last_error = $4,
          data = data - $5::text[]
    where tenant_id = $1 and id = $2 and state = 'sending' and lease = $3`,
);

/** The id, or undefined when a delivery with this dedupe key exists. */
export async function insert(tx: TenantTx, row: NewDelivery): Promise<string | undefined> {
  const values = [tx.tenantId, row.id, row.dedupeKey, row.template, row.toEmail, row.toName, row.personId, row.data];
  return (await tx.maybe(insertDelivery, values))?.id;
}

/** The row, held by `lease`; undefined when it is settled or held by another attempt. */
export const claim = (tx: TenantTx, id: string, lease: string, seconds: number) =>
  tx.maybe(claimDelivery, [tx.tenantId, id, lease, seconds]);

/** When the attempt that holds the row must be over; undefined when none does. */
export const leaseEnd = async (tx: TenantTx, id: string) => (await tx.maybe(readLease, [tx.tenantId, id]))?.leaseUntil;

/** Each answers whether the lease still held; if not, another attempt owns the outcome. */
export const sent = async (tx: TenantTx, id: string, lease: string, messageId: string, secret: readonly string[]) =>
  (await tx.run(settleSent, [tx.tenantId, id, lease, messageId, secret])) === 1;
export const failed = async (tx: TenantTx, id: string, lease: string, error: string) =>
  (await tx.run(settleFailed, [tx.tenantId, id, lease, error])) === 1;
export const dead = async (tx: TenantTx, id: string, lease: string, error: string, secret: readonly string[]) =>
  (await tx.run(settleDead, [tx.tenantId, id, lease, error, secret])) === 1;

/** Stands where an address was; no mail can go there (RFC 2606). */
const NOBODY = 'erased@invalid';

const emptyOld = statement<{ found: number; purged: number }>(
  'notifications.empty_old_deliveries',
  `with old as (
     select d.id from app.notification_deliveries d
      where d.tenant_id = $1 and d.state in ('sent', 'dead') and d.to_email <> '${NOBODY}'
        and d.updated_at < now() - make_interval(days => $2) limit $3
   ), emptied as (
     update app.notification_deliveries d set to_email = '${NOBODY}', to_name = null, data = '{}', last_error = null
       from old where d.tenant_id = $1 and d.id = old.id and d.to_email <> '${NOBODY}' returning 1
   )
   select (select count(*) from old) as found, (select count(*) from emptied) as purged`,
);

const countOld = statement<{ count: number }>(
  'notifications.count_old_deliveries',
  `select count(*) as count from app.notification_deliveries d
    where d.tenant_id = $1 and d.state in ('sent', 'dead') and d.to_email <> '${NOBODY}'
      and d.updated_at < now() - make_interval(days => $2)`,
);

/** For the cleanup: settled so many days ago. The row stays, as its dedupe key keeps the same mail from going out again. */
export const oldDeliveries = (days: number) => ({
  purge: (tx: TenantTx, limit: number) => tx.one(emptyOld, [tx.tenantId, days, limit]),
  count: async (tx: TenantTx) => (await tx.one(countOld, [tx.tenantId, days])).count,
});
