-- Audit rows wait here, in the transaction of what they describe, until the sequencer chains them.
-- Run-time roles may insert and nothing else: a process that is taken over cannot read, change or
-- remove what it has done.

create table app.audit_pending (
  tenant_id text not null,
  id text not null,
  action text not null,
  actor_kind text not null check (actor_kind in ('person', 'api_key', 'platform', 'system')),
  actor_id text not null,
  object_type text not null,
  object_id text not null,
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object' and octet_length(details::text) <= 16384),
  request_id text,
  -- What platform administrators did inside a tenant can be listed apart.
  platform boolean not null generated always as (actor_kind = 'platform') stored,
  -- clock_timestamp(), not now(): now() is the same for every row of a transaction.
  created_at timestamptz not null default clock_timestamp(),
  -- Order of insertion is not order of commit: the sequencer takes only rows whose transaction is older
  -- than every running one, and needs both columns for it.
  xact xid8 not null default pg_current_xact_id(),
  seq bigint generated always as identity,
  primary key (tenant_id, id)
  -- No foreign key to app.tenants: every append would lock the same tenant row, and the log outlives it.
);

select app.tenant_table('app.audit_pending');

create index audit_pending_order on app.audit_pending (tenant_id, seq);

-- Column by column: created_at, xact and seq cannot be forged because nobody may write them.
grant insert (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id)
  on app.audit_pending to klar_api, klar_worker, klar_ops, klar_cleanup;
