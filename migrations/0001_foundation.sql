-- Schemas, the tenant function and the helper every tenant table uses. Runs as klar_owner, which owns everything.

-- PostgreSQL lets everybody execute a new function unless told otherwise.
alter default privileges revoke execute on functions from public;

create schema if not exists app;
create schema if not exists auth;
create schema if not exists inbox;
create schema if not exists ops;
create schema if not exists routing;
create schema if not exists pgboss;

-- What was applied, to notice a file that was edited afterwards.
create table ops.migration_checksums (
  name text primary key,
  sha256 text not null,
  applied_at timestamptz not null default now()
);

-- The tenant of this transaction. It raises, so that a forgotten tenant is an error and neither "all rows" nor
-- "no rows by luck"; the empty string is what a pooled connection keeps after a local setting ended.
create function app.current_tenant() returns text
language plpgsql stable parallel safe
set search_path = pg_catalog
as $$
declare
  tenant text := current_setting('app.tenant_id', true);
begin
  if tenant is null or tenant = '' then
    raise exception 'no tenant is set in this transaction' using errcode = 'KL001';
  end if;
  return tenant;
end
$$;

-- Makes a table a tenant table. The sub-select is evaluated once per statement, not once per row.
create function app.tenant_table(table_name text) returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
  target regclass := table_name::regclass;
begin
  perform from pg_attribute
    where attrelid = target and attname = 'tenant_id' and atttypid = 'text'::regtype and attnotnull and not attisdropped;
  if not found then
    raise exception '% needs a column tenant_id text not null', table_name;
  end if;
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format(
    'create policy tenant_isolation on %s for all to public'
    ' using (tenant_id = (select app.current_tenant()))'
    ' with check (tenant_id = (select app.current_tenant()))',
    target);
end
$$;

-- What a process asks before it says it is ready. Definer rights, because klar_ingest may read no table at all.
create function ops.schema_version() returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(max(left(name, 4)::integer), 0) from ops.migrations
$$;

grant usage on schema app to klar_api, klar_worker, klar_cleanup, klar_ops;
grant execute on function app.current_tenant() to klar_api, klar_worker, klar_cleanup, klar_ops;
grant usage on schema auth to klar_auth;
grant usage on schema inbox to klar_ingest, klar_worker, klar_cleanup, klar_ops;
grant usage on schema routing to klar_api, klar_worker, klar_cleanup, klar_ops;
grant usage on schema pgboss to klar_api, klar_worker, klar_ops;
grant usage on schema ops to klar_api, klar_auth, klar_ingest, klar_worker, klar_controller, klar_cleanup, klar_ops;
grant execute on function ops.schema_version()
  to klar_api, klar_auth, klar_ingest, klar_worker, klar_controller, klar_cleanup, klar_ops;
