import { statement, type TenantTx } from '#platform/db/index.ts';

/** A row of app.idempotency_keys as its readers need it. */
export interface KeyRow {
  request_hash: Buffer;
  state: 'in_progress' | 'done';
  owner_token: string;
  response_status: number | null;
  response_headers: Record<string, string> | null;
  response_body: string | null;
}

/** Names one key: (tenant, principal, operation, key). */
export interface KeyId {
  tenantId: string;
  principal: string;
  operation: string;
  key: string;
}

const idValues = (id: KeyId) => [id.tenantId, id.principal, id.operation, id.key];

// One statement claims a new key, one whose time is over, and one whose owner died; times by the database's clock.
const CLAIM = statement(
  'http.claim_idempotency_key',
  `insert into app.idempotency_keys as k
     (tenant_id, principal, operation, key, request_hash, state, owner_token, lease_until, expires_at)
   values ($1, $2, $3, $4, $5, 'in_progress', $6, now() + $7::int * interval '1 ms', now() + interval '72 hours')
   on conflict (tenant_id, principal, operation, key) do update
     set request_hash = excluded.request_hash, state = 'in_progress', owner_token = excluded.owner_token,
         lease_until = excluded.lease_until, response_status = null, response_headers = null, response_body = null,
         created_at = now(), expires_at = excluded.expires_at
   where k.expires_at <= now()
      or (k.state = 'in_progress' and k.lease_until <= now() and k.request_hash = excluded.request_hash)`,
);

/** Inserts the key as ours, or takes it over where that is allowed. Says nothing: read the row afterwards. */
export function claimKey(tx: TenantTx, id: KeyId, hash: Buffer, owner: string, leaseMs: number): Promise<number> {
  return tx.run(CLAIM, [...idValues(id), hash, owner, leaseMs]);
}

const READ = statement<KeyRow>(
  'http.read_idempotency_key',
  `select k.request_hash, k.state, k.owner_token, k.response_status, k.response_headers, k.response_body
     from app.idempotency_keys k
    where k.tenant_id = $1 and k.principal = $2 and k.operation = $3 and k.key = $4`,
);

export function readKey(tx: TenantTx, id: KeyId): Promise<KeyRow | undefined> {
  return tx.maybe(READ, idValues(id));
}

const FENCE = statement(
  'http.fence_idempotency_key',
  `update app.idempotency_keys set lease_until = now() + $6::int * interval '1 ms'
    where tenant_id = $1 and principal = $2 and operation = $3 and key = $4 and owner_token = $5 and state = 'in_progress'`,
);

/** Extends our lease; 0 when it is not ours any more. */
export function fenceKey(tx: TenantTx, id: KeyId, owner: string, leaseMs: number): Promise<number> {
  return tx.run(FENCE, [...idValues(id), owner, leaseMs]);
}

const COMPLETE = statement(
  'http.complete_idempotency_key',
  `update app.idempotency_keys
      set state = 'done', lease_until = null, response_status = $6, response_headers = $7::jsonb, response_body = $8
    where tenant_id = $1 and principal = $2 and operation = $3 and key = $4 and owner_token = $5 and state = 'in_progress'`,
);

/** Stores the answer; 0 when the key is not ours any more. */
export function completeKey(
  tx: TenantTx,
  id: KeyId,
  owner: string,
  answer: { status: number; headers: Record<string, string>; body: string | null },
): Promise<number> {
  return tx.run(COMPLETE, [...idValues(id), owner, answer.status, JSON.stringify(answer.headers), answer.body]);
}

const RELEASE = statement(
  'http.release_idempotency_key',
  `delete from app.idempotency_keys
    where tenant_id = $1 and principal = $2 and operation = $3 and key = $4 and owner_token = $5 and state = 'in_progress'`,
);

/** Lets the next request with this key begin anew. */
export function releaseKey(tx: TenantTx, id: KeyId, owner: string): Promise<number> {
  return tx.run(RELEASE, [...idValues(id), owner]);
}

const PURGE = statement<{ found: number; purged: number }>(
  'http.purge_idempotency_keys',
  `with old as (
     select k.principal, k.operation, k.key from app.idempotency_keys k
      where k.tenant_id = $1 and k.expires_at <= now() limit $2
   ), gone as (
     delete from app.idempotency_keys k using old
      where k.tenant_id = $1 and k.principal = old.principal and k.operation = old.operation and k.key = old.key
     returning 1
   )
   select (select count(*) from old) as found, (select count(*) from gone) as purged`,
);

const COUNT_EXPIRED = statement<{ count: number }>(
  'http.count_expired_idempotency_keys',
  'select count(*) as count from app.idempotency_keys k where k.tenant_id = $1 and k.expires_at <= now()',
);

/** For the cleanup task: this tenant's keys whose 72 h are over, at most `limit` of them. */
export const expiredIdempotencyKeys = {
  purge: (tx: TenantTx, limit: number) => tx.one(PURGE, [tx.tenantId, limit]),
  count: async (tx: TenantTx): Promise<number> => (await tx.one(COUNT_EXPIRED, [tx.tenantId])).count,
};
