/** Which tenant an event belongs to. */
import { statement, type Tx } from '#platform/db/index.ts';
import type { EventState } from '../event.ts';

export type UnroutedRow = {
  id: string;
  provider: string;
  account: string;
  type: string;
  raw: Buffer;
  attempts: number;
};

const lockReceived = statement<UnroutedRow>(
  'webhooks.lock_received',
  `select e.id, e.provider, e.account, e.type, e.raw, e.attempts
   from inbox.events e
   where e.state = 'received' and e.next_attempt_at <= statement_timestamp()
   order by e.next_attempt_at
   limit $1
   for update of e skip locked`,
);

const findTenants = statement<{ provider: string; account: string; object_id: string; tenant_id: string }>(
  'webhooks.find_tenants',
  `select o.provider, o.account, o.object_id, o.tenant_id
   from routing.provider_objects o
   join (select distinct u.provider, u.account, u.object_id
         from unnest($1::text[], $2::text[], $3::text[]) as u (provider, account, object_id)) w
     on o.provider = w.provider and o.account = w.account and o.object_id = w.object_id`,
);

const saveRoutes = statement(
  'webhooks.save_routes',
  `update inbox.events e
   set state = u.state, tenant_id = u.tenant_id, object_ids = string_to_array(u.object_ids, ' '), attempts = u.attempts,
     next_attempt_at = clock_timestamp() + make_interval(secs => u.delay_s), last_error = u.last_error
   from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::double precision[], $7::text[])
     as u (id, state, tenant_id, object_ids, attempts, delay_s, last_error)
   where e.id = u.id`,
);

export type ProviderObject = { provider: string; account: string; objectId: string };
export type Route = {
  id: string;
  state: EventState;
  tenantId: string | null;
  objectIds: readonly string[];
  attempts: number;
  delayMs: number;
  lastError: string | null;
};

export const routing = {
  /** Locks events whose tenant is not known yet, oldest first. */
  lock: (tx: Tx, limit: number) => tx.rows(lockReceived, [limit]),

  async tenantsOf(tx: Tx, objects: readonly ProviderObject[]): Promise<Map<string, string>> {
    if (objects.length === 0) return new Map();
    const rows = await tx.rows(findTenants, [
      objects.map((object) => object.provider),
      objects.map((object) => object.account),
      objects.map((object) => object.objectId),
    ]);
    return new Map(
      rows.map((row) => [
        objectKey({ provider: row.provider, account: row.account, objectId: row.object_id }),
        row.tenant_id,
      ]),
    );
  },

  save: (tx: Tx, routes: readonly Route[]) =>
    tx.run(saveRoutes, [
      routes.map((route) => route.id),
      routes.map((route) => route.state),
      routes.map((route) => route.tenantId),
      routes.map((route) => route.objectIds.join(' ')),
      routes.map((route) => route.attempts),
      routes.map((route) => route.delayMs / 1_000),
      routes.map((route) => route.lastError),
    ]),
};

/** Key of a provider's object in the map that `tenantsOf` returns. */
export function objectKey(object: ProviderObject): string {
  return `${object.provider} ${object.account} ${object.objectId}`;
}

const insertObject = statement(
  'webhooks.insert_provider_object',
  `insert into routing.provider_objects (provider, account, object_id, tenant_id)
   values ($1, $2, $3, $4)
   on conflict do nothing`,
);

const findObject = statement<{ tenant_id: string }>(
  'webhooks.find_provider_object',
  `select o.tenant_id
   from routing.provider_objects o
   where o.provider = $1 and o.account = $2 and o.object_id = $3`,
);

export const objects = {
  /** The tenant that holds the object after this call: the given one, or the one that had it before. */
  async claim(tx: Tx, object: ProviderObject, tenantId: string): Promise<string> {
    const key = [object.provider, object.account, object.objectId];
    const [, row] = await Promise.all([tx.run(insertObject, [...key, tenantId]), tx.one(findObject, key)]);
    return row.tenant_id;
  },
};

const reviveUnmatched = statement(
  'webhooks.revive_unmatched',
  `update inbox.events e
   set state = 'received', attempts = 0, next_attempt_at = clock_timestamp(), last_error = null
   where e.id in (
     select u.id
     from inbox.events u
     where u.state = 'unmatched' and u.received_at > now() - interval '30 days'
       and exists (
         select 1
         from routing.provider_objects o
         where o.provider = u.provider and o.account = u.account and o.object_id = any (u.object_ids))
     order by u.id
     limit 500
     for update of u skip locked)`,
);

/** Events that nobody knew when they came, and whose object has a tenant by now, are routed again. */
export const revive = (tx: Tx): Promise<number> => tx.run(reviveUnmatched);
