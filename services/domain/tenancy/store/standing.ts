import { statement, type TenantTx } from '#platform/db/index.ts';
import type { Standing } from '../access.ts';

const personStanding = statement<Standing>(
  'tenancy.person_standing',
  `select t.tenant_id as "tenantId", t.slug, t.name, t.billing_state as "billingState", t.blocked,
          m.role, null::text[] as scopes
     from app.tenants t
     left join app.memberships m on m.tenant_id = t.tenant_id and m.person_id = $2
    where t.tenant_id = $1`,
);

const keyStanding = statement<Standing>(
  'tenancy.key_standing',
  `select t.tenant_id as "tenantId", t.slug, t.name, t.billing_state as "billingState", t.blocked,
          null::text as role, k.scopes
     from app.tenants t
     left join app.api_keys k on k.tenant_id = t.tenant_id and k.id = $2 and k.revoked_at is null
    where t.tenant_id = $1`,
);

export const ofPerson = (tx: TenantTx, personId: string) => tx.maybe(personStanding, [tx.tenantId, personId]);
export const ofKey = (tx: TenantTx, keyId: string) => tx.maybe(keyStanding, [tx.tenantId, keyId]);
