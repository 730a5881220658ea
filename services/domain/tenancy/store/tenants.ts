import { statement, type TenantTx, type Tx } from '#platform/db/index.ts';
import type { BillingState } from '../principal.ts';

export interface TenantRow {
  tenantId: string;
  slug: string;
  name: string;
  openRegistration: boolean;
  billingState: BillingState;
  blocked: boolean;
  blockedReason: string | null;
  blockedAt: Date | null;
  createdAt: Date;
}

export interface TenantListRow {
  tenantId: string;
  slug: string;
  billingState: BillingState;
  blocked: boolean;
  createdAt: Date;
}

const COLUMNS = `tenant_id as "tenantId", slug, name, open_registration as "openRegistration",
  billing_state as "billingState", blocked, blocked_reason as "blockedReason", blocked_at as "blockedAt",
  created_at as "createdAt"`;

// DO NOTHING instead of a unique violation: a taken slug is an answer, not an error of the transaction.
const claimSlugStatement = statement(
  'tenancy.claim_slug',
  'insert into routing.tenants (slug, tenant_id) values ($1, $2) on conflict (slug) do nothing',
);

const insertTenant = statement<TenantRow>(
  'tenancy.insert_tenant',
  `insert into app.tenants (tenant_id, slug, name) values ($1, $2, $3) returning ${COLUMNS}`,
);

const readTenant = statement<TenantRow>(
  'tenancy.read_tenant',
  `select ${COLUMNS} from app.tenants where tenant_id = $1`,
);

const updateTenant = statement<TenantRow>(
  'tenancy.update_tenant',
  `update app.tenants
      set name = coalesce($2, name), open_registration = coalesce($3, open_registration), updated_at = now()
    where tenant_id = $1 returning ${COLUMNS}`,
);

// The routing copy serves the platform's list; one statement writes both, so that they cannot differ.
const setBlocked = statement<TenantRow>(
  'tenancy.set_blocked',
  `with copied as (update routing.tenants set blocked = $2 where tenant_id = $1)
   update app.tenants
      set blocked = $2, blocked_reason = case when $2 then $3 end,
          blocked_at = case when $2 then coalesce(blocked_at, now()) end, updated_at = now()
    where tenant_id = $1 returning ${COLUMNS}`,
);

const setBillingState = statement<TenantRow>(
  'tenancy.set_billing_state',
  `with copied as (update routing.tenants set billing_state = $2 where tenant_id = $1)
   update app.tenants set billing_state = $2, updated_at = now() where tenant_id = $1 returning ${COLUMNS}`,
);

const tenantOfSlug = statement<{ tenantId: string }>(
  'tenancy.tenant_of_slug',
  'select tenant_id as "tenantId" from routing.tenants where slug = $1',
);

const listTenants = statement<TenantListRow>(
  'tenancy.list_tenants',
  `select tenant_id as "tenantId", slug, billing_state as "billingState", blocked, created_at as "createdAt"
     from routing.tenants
    where tenant_id > $1 and tenant_id <> $2
      and ($3::text is null or billing_state = $3) and ($4::boolean is null or blocked = $4)
      and ($5::text is null or starts_with(slug, $5))
    order by tenant_id limit $6`,
);

/** False when the slug is taken. */
export const claimSlug = async (tx: TenantTx, slug: string) =>
  (await tx.run(claimSlugStatement, [slug, tx.tenantId])) === 1;
export const insert = (tx: TenantTx, slug: string, name: string) => tx.one(insertTenant, [tx.tenantId, slug, name]);
export const read = (tx: TenantTx) => tx.maybe(readTenant, [tx.tenantId]);
export const update = (tx: TenantTx, change: { name?: string; openRegistration?: boolean }) =>
  tx.one(updateTenant, [tx.tenantId, change.name ?? null, change.openRegistration ?? null]);
export const block = (tx: TenantTx, blocked: boolean, reason: string) =>
  tx.maybe(setBlocked, [tx.tenantId, blocked, reason]);
export const setBilling = (tx: TenantTx, state: BillingState) => tx.maybe(setBillingState, [tx.tenantId, state]);
export const idOfSlug = async (tx: Tx, slug: string) => (await tx.maybe(tenantOfSlug, [slug]))?.tenantId;

export interface TenantFilter {
  after: string;
  billingState?: BillingState | undefined;
  blocked?: boolean | undefined;
  slugPrefix?: string | undefined;
  limit: number;
}
/** Every school but `except` (the platform's own), oldest first. */
export const list = (tx: Tx, except: string, filter: TenantFilter) =>
  tx.rows(listTenants, [
    filter.after,
    except,
    filter.billingState ?? null,
    filter.blocked ?? null,
    filter.slugPrefix ?? null,
    filter.limit,
  ]);

const tenantIds = statement<{ tenantId: string }>(
  'tenancy.tenant_ids',
  'select tenant_id as "tenantId" from routing.tenants where tenant_id > $1 order by tenant_id limit $2',
);

/** Ids of all tenants, the platform's own among them, page by page: what batch commands enter one by one. */
export const tenantIdsAfter = async (tx: Tx, after: string, limit: number): Promise<string[]> =>
  (await tx.rows(tenantIds, [after, limit])).map((row) => row.tenantId);

const tenantAt = statement<{ tenantId: string }>(
  'tenancy.tenant_at',
  `select tenant_id as "tenantId" from routing.tenants order by tenant_id
   offset (select floor(count(*) * $1::double precision) from routing.tenants) limit 1`,
);

/** The tenant at that fraction, in [0, 1), of the list; ids rise with time, so a random id would be past all of them. */
export const tenantIdAt = async (tx: Tx, fraction: number): Promise<string> =>
  (await tx.maybe(tenantAt, [fraction]))?.tenantId ?? '';
