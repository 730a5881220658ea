-- What `klar cleanup` may delete, and nothing else. The rules are data in services/domain/privacy/retention.ts.

-- Set when the payload of an old event was dropped: the row stays, so that a late repetition is still a repetition.
alter table inbox.events add column raw_dropped_at timestamptz;
grant select (raw_dropped_at) on inbox.events to klar_api;

-- The inbox by functions instead of grants: nobody may change `raw`, and a grant could not say "only to nothing, and
-- only when it is old". The floors hold whatever the caller asks: payments are recovered from these events.
create function inbox.drop_payloads(older_than_days integer, most integer)
returns table (found bigint, purged bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if older_than_days < 90 then
    raise exception 'payloads of events are kept 90 days at least' using errcode = 'KL002';
  end if;
  return query
  with old as (
    select e.id from inbox.events e
     where e.raw_dropped_at is null and e.state in ('done', 'ignored', 'unmatched')
       and e.received_at < now() - make_interval(days => older_than_days)
     order by e.received_at limit most
     for update skip locked
  ), dropped as (
    update inbox.events e set raw = ''::bytea, raw_dropped_at = clock_timestamp()
      from old where e.id = old.id returning 1
  )
  select (select count(*) from old), (select count(*) from dropped);
end
$$;

create function inbox.purge_events(older_than_days integer, most integer)
returns table (found bigint, purged bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if older_than_days < 180 then
    raise exception 'events are kept 180 days at least' using errcode = 'KL002';
  end if;
  return query
  with old as (
    select e.id from inbox.events e
     where e.raw_dropped_at is not null and e.state in ('done', 'ignored', 'unmatched')
       and e.received_at < now() - make_interval(days => older_than_days)
     order by e.received_at limit most
     for update skip locked
  ), gone as (
    delete from inbox.events e using old where e.id = old.id returning 1
  )
  select (select count(*) from old), (select count(*) from gone);
end
$$;

create function inbox.count_old_events(older_than_days integer, with_payload boolean) returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*) from inbox.events e
   where (e.raw_dropped_at is null) = with_payload and e.state in ('done', 'ignored', 'unmatched')
     and e.received_at < now() - make_interval(days => older_than_days)
$$;
grant execute on function inbox.drop_payloads(integer, integer), inbox.purge_events(integer, integer),
  inbox.count_old_events(integer, boolean) to klar_cleanup;

-- Schema auth stays klar_auth's alone. These reach only rows that are over by their own time.
create function ops.purge_auth(what text, most integer)
returns table (found bigint, purged bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone bigint;
begin
  case what
    when 'sessions' then
      delete from auth.sessions s where s.id in (
        select o.id from auth.sessions o where o.expires_at < now() limit most for update skip locked);
    when 'revoked_sessions' then
      delete from auth.revoked_sessions s where s.session_id in (
        select o.session_id from auth.revoked_sessions o where o.until < now() - interval '1 minute'
        limit most for update skip locked);
    when 'verifications' then
      delete from auth.verifications v where v.id in (
        select o.id from auth.verifications o where o.expires_at < now() limit most for update skip locked);
    when 'spent_codes' then
      delete from auth.spent_codes c where (c.person_id, c.code_hash) in (
        select o.person_id, o.code_hash from auth.spent_codes o where o.expires_at < now()
        limit most for update skip locked);
    when 'throttles' then
      delete from auth.throttles t where t.key in (
        select o.key from auth.throttles o
         where o.last_failure_at < now() - interval '2 days' and o.locked_until < now()
        limit most for update skip locked);
  end case; -- anything else is an error
  get diagnostics gone = row_count;
  return query select gone, gone;
end
$$;

create function ops.count_expired_auth(what text) returns bigint
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  case what
    when 'sessions' then return (select count(*) from auth.sessions o where o.expires_at < now());
    when 'revoked_sessions' then
      return (select count(*) from auth.revoked_sessions o where o.until < now() - interval '1 minute');
    when 'verifications' then return (select count(*) from auth.verifications o where o.expires_at < now());
    when 'spent_codes' then return (select count(*) from auth.spent_codes o where o.expires_at < now());
    when 'throttles' then
      return (select count(*) from auth.throttles o
               where o.last_failure_at < now() - interval '2 days' and o.locked_until < now());
  end case;
end
$$;
grant execute on function ops.purge_auth(text, integer), ops.count_expired_auth(text) to klar_cleanup;

-- Tenant tables: row level security limits each transaction to one school; only the columns that the rules read.
grant select (tenant_id, id, token_hash, expires_at), delete on app.invitations to klar_cleanup;
grant select (token_hash, tenant_id), delete on routing.invitations to klar_cleanup;
grant select (tenant_id, id, prefix, revoked_at), delete on app.api_keys to klar_cleanup;
grant select (prefix, tenant_id), delete on routing.api_keys to klar_cleanup;
grant select (tenant_id, id, state, updated_at, to_email), update (to_email, to_name, data, last_error)
  on app.notification_deliveries to klar_cleanup;

grant select (worker_id, beat_at), delete on ops.worker_heartbeats to klar_cleanup;
grant select (id, task, status, finished_at), delete on ops.task_runs to klar_cleanup;
grant select (id, pruned_at), delete on ops.backups to klar_cleanup;
grant select (id, finished_at, ok), delete on ops.restore_proofs to klar_cleanup;
