import { statement, type TenantTx, type Tx } from '#platform/db/index.ts';
import type { Permission } from '../permissions.ts';

export interface ApiKeyRow {
  id: string;
  prefix: string;
  name: string;
  scopes: Permission[];
  createdByKind: string;
  createdById: string;
  createdAt: Date;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

const COLUMNS = `id, prefix, name, scopes, created_by_kind as "createdByKind", created_by_id as "createdById",
  created_at as "createdAt", last_used_at as "lastUsedAt", revoked_at as "revokedAt"`;

const routeKey = statement('tenancy.route_api_key', 'insert into routing.api_keys (prefix, tenant_id) values ($1, $2)');

const insertKey = statement<ApiKeyRow>(
  'tenancy.insert_api_key',
  `insert into app.api_keys (tenant_id, id, prefix, name, sealed_hash, scopes, created_by_kind, created_by_id)
   values ($1, $2, $3, $4, $5, $6, $7, $8) returning ${COLUMNS}`,
);

const tenantOfPrefix = statement<{ tenantId: string }>(
  'tenancy.tenant_of_api_key',
  'select tenant_id as "tenantId" from routing.api_keys where prefix = $1',
);

const keyByPrefix = statement<{ id: string; sealedHash: string; scopes: Permission[] }>(
  'tenancy.api_key_by_prefix',
  `select id, sealed_hash as "sealedHash", scopes from app.api_keys
    where tenant_id = $1 and prefix = $2 and revoked_at is null`,
);

const revokeKey = statement<ApiKeyRow>(
  'tenancy.revoke_api_key',
  `update app.api_keys set revoked_at = now() where tenant_id = $1 and id = $2 and revoked_at is null
   returning ${COLUMNS}`,
);

const keyById = statement<ApiKeyRow>(
  'tenancy.api_key_by_id',
  `select ${COLUMNS} from app.api_keys where tenant_id = $1 and id = $2`,
);

const listKeys = statement<ApiKeyRow>(
  'tenancy.list_api_keys',
  `select ${COLUMNS} from app.api_keys where tenant_id = $1 and id > $2 order by id limit $3`,
);

// The condition holds across processes: however many use a key, its row is written once a minute.
const touchKey = statement(
  'tenancy.touch_api_key',
  `update app.api_keys set last_used_at = now()
    where tenant_id = $1 and id = $2 and revoked_at is null
      and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
);

// No lock: a row that somebody holds is seen all the same, and its update waits for them.
const sealedKeys = statement<{ id: string; prefix: string; sealedHash: string }>(
  'tenancy.sealed_api_keys',
  `select id, prefix, sealed_hash as "sealedHash" from app.api_keys
    where tenant_id = $1 and id > $2 and ($3::text is null or not starts_with(sealed_hash, $3)) order by id limit $4`,
);

const resealKey = statement(
  'tenancy.reseal_api_key',
  'update app.api_keys set sealed_hash = $4 where tenant_id = $1 and id = $2 and sealed_hash = $3',
);

export interface NewApiKey {
  id: string;
  prefix: string;
  name: string;
  sealedHash: string;
  scopes: readonly Permission[];
  createdBy: { kind: string; id: string };
}

export async function insert(tx: TenantTx, key: NewApiKey): Promise<ApiKeyRow> {
  const [, row] = await Promise.all([
    tx.run(routeKey, [key.prefix, tx.tenantId]),
    tx.one(insertKey, [
      tx.tenantId,
      key.id,
      key.prefix,
      key.name,
      key.sealedHash,
      key.scopes,
      key.createdBy.kind,
      key.createdBy.id,
    ]),
  ]);
  return row;
}

export const tenantOf = async (tx: Tx, prefix: string) => (await tx.maybe(tenantOfPrefix, [prefix]))?.tenantId;
export const live = (tx: TenantTx, prefix: string) => tx.maybe(keyByPrefix, [tx.tenantId, prefix]);
export const revoke = (tx: TenantTx, id: string) => tx.maybe(revokeKey, [tx.tenantId, id]);
export const byId = (tx: TenantTx, id: string) => tx.maybe(keyById, [tx.tenantId, id]);
export const list = (tx: TenantTx, after: string, limit: number) => tx.rows(listKeys, [tx.tenantId, after, limit]);
export const touch = (tx: TenantTx, id: string) => tx.run(touchKey, [tx.tenantId, id]);
/** A page of keys by id. @param but leaves out those whose hash is sealed under this generation ('v2$') */
export const sealed = (tx: TenantTx, after: string, but: string | null, limit: number) =>
  tx.rows(sealedKeys, [tx.tenantId, after, but, limit]);
export const reseal = (tx: TenantTx, id: string, before: string, sealedHash: string) =>
  tx.run(resealKey, [tx.tenantId, id, before, sealedHash]);

const purgeRevoked = statement<{ found: number; purged: number }>(
  'tenancy.purge_revoked_api_keys',
  `with old as (
     select k.id, k.prefix from app.api_keys k
      where k.tenant_id = $1 and k.revoked_at < now() - make_interval(days => $2) limit $3
   ), gone as (
     delete from app.api_keys k using old where k.tenant_id = $1 and k.id = old.id returning k.prefix
   ), routes as (
     delete from routing.api_keys r using gone where r.prefix = gone.prefix and r.tenant_id = $1
   )
   select (select count(*) from old) as found, (select count(*) from gone) as purged`,
);

const countRevoked = statement<{ count: number }>(
  'tenancy.count_revoked_api_keys',
  `select count(*) as count from app.api_keys k
    where k.tenant_id = $1 and k.revoked_at < now() - make_interval(days => $2)`,
);

/** For the cleanup: keys that were revoked so many days ago, with their routes. */
export const revokedApiKeys = (days: number) => ({
  purge: (tx: TenantTx, limit: number) => tx.one(purgeRevoked, [tx.tenantId, days, limit]),
  count: async (tx: TenantTx) => (await tx.one(countRevoked, [tx.tenantId, days])).count,
});
