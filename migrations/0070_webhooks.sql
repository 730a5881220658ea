-- The inbox: what providers sent, kept raw, and its own queue. See services/domain/webhooks/README.md.

create table inbox.events (
  id text not null,
  provider text not null,
  account text not null default '',
  event_id text not null,
  type text not null,
  livemode boolean,
  raw bytea not null,
  received_at timestamptz not null,
  -- Which generation of the signing secret verified it. A replay trusts this and never checks the age again.
  verdict text not null,
  state text not null default 'received',
  tenant_id text,
  object_ids text[] not null default '{}',
  run integer not null default 1,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  lease_token text,
  lease_until timestamptz,
  last_error text,
  last_failed_at timestamptz,
  handled_at timestamptz,
  replayed_at timestamptz,
  constraint events_pkey primary key (id),
  constraint events_provider_key unique (provider, account, event_id),
  constraint events_state_check
    check (state in ('received', 'ready', 'leased', 'done', 'ignored', 'unmatched', 'dead')),
  constraint events_lease_check
    check ((state = 'leased') = (lease_token is not null) and (state = 'leased') = (lease_until is not null)),
  constraint events_tenant_check check (state not in ('ready', 'leased', 'done') or tenant_id is not null)
);

-- The queue reads only these partial indexes: they hold what is waiting, not what ever was.
create index events_received on inbox.events (next_attempt_at) where state = 'received';
create index events_ready on inbox.events (tenant_id, next_attempt_at) where state = 'ready';
create index events_leased on inbox.events (lease_until) where state = 'leased';
create index events_stopped on inbox.events (state, id) where state in ('ignored', 'unmatched', 'dead');
create index events_failed on inbox.events (last_failed_at) where last_failed_at is not null;

comment on table inbox.events is
  'Verified webhook events, raw. Not a tenant table: the tenant is found after the event is stored.';

-- Webhook endpoints as the providers hold them: what the secret rotation and the go-live check compare with settings.
create table inbox.endpoints (
  provider text not null,
  account text not null default '',
  endpoint_id text not null,
  url text not null,
  livemode boolean not null,
  api_version text,
  enabled_events text[] not null default '{}',
  secret_generation text,
  created_at timestamptz not null default now(),
  checked_at timestamptz,
  constraint endpoints_pkey primary key (provider, account, endpoint_id)
);

-- Which tenant owns a provider's object. Grants nothing by itself; holds no personal data; no RLS, as it is read
-- before a tenant is known.
create table routing.provider_objects (
  provider text not null,
  account text not null default '',
  object_id text not null,
  tenant_id text not null,
  created_at timestamptz not null default now(),
  constraint provider_objects_pkey primary key (provider, account, object_id)
);

create table ops.worker_heartbeats (
  worker_id text not null,
  started_at timestamptz not null,
  beat_at timestamptz not null default now(),
  constraint worker_heartbeats_pkey primary key (worker_id)
);

-- Ingest can add an event and nothing else: not read one, not choose a state.
grant usage on schema inbox to klar_ingest, klar_worker, klar_api, klar_ops;
grant insert (id, provider, account, event_id, type, livemode, raw, received_at, verdict) on inbox.events to klar_ingest;
grant select on inbox.events to klar_worker, klar_ops;
grant update (state, tenant_id, object_ids, attempts, next_attempt_at, lease_token, lease_until, last_error,
  last_failed_at, handled_at) on inbox.events to klar_worker;
-- Administrators list and replay; the api never reads a payload, which holds personal data of every tenant.
grant select (id, provider, account, event_id, type, livemode, received_at, verdict, state, tenant_id, object_ids, run,
  attempts, next_attempt_at, lease_until, last_error, last_failed_at, handled_at, replayed_at) on inbox.events to klar_api;
grant update (state, run, attempts, next_attempt_at, last_error, replayed_at) on inbox.events to klar_api, klar_ops;

grant usage on schema routing to klar_api, klar_worker, klar_ops;
grant select, insert on routing.provider_objects to klar_api, klar_worker;

grant usage on schema ops to klar_api, klar_worker, klar_ops;
grant select, insert, update, delete on ops.worker_heartbeats to klar_worker;
grant select on ops.worker_heartbeats to klar_ops;

-- The numbers of GET /api/ops/metrics, so that the api needs no right on the queue or the heartbeats.
create function ops.status_numbers()
returns table (
  worker_heartbeat_age_s double precision,
  webhook_failures_1h bigint,
  jobs_failed_1h bigint,
  queue_depth bigint,
  dead_letters bigint,
  inbox_depth bigint,
  inbox_oldest_ready_s double precision
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  boss_failed bigint := 0;
  boss_waiting bigint := 0;
  boss_dead bigint := 0;
begin
  -- The queue's schema is made by a step of its own, after this migration.
  if to_regclass('pgboss.job') is not null then
    execute $q$
      select
        count(*) filter (where j.state = 'failed' and j.completed_on > now() - interval '1 hour'),
        count(*) filter (where j.state in ('created', 'retry', 'active')),
        count(*) filter (where j.state = 'failed')
      from pgboss.job j
      where j.state in ('created', 'retry', 'active', 'failed')
    $q$ into boss_failed, boss_waiting, boss_dead;
  end if;
  return query
  select
    (select extract(epoch from clock_timestamp() - max(h.beat_at))::double precision from ops.worker_heartbeats h),
    (select count(*) from inbox.events e where e.last_failed_at > now() - interval '1 hour'),
    boss_failed,
    w.depth + boss_waiting,
    (select count(*) from inbox.events e where e.state = 'dead') + boss_dead,
    w.depth,
    w.oldest
  from (
    select
      count(*) as depth,
      coalesce(extract(epoch from clock_timestamp() - min(e.next_attempt_at) filter (where e.next_attempt_at <= clock_timestamp())), 0)::double precision as oldest
    from (
      select e1.next_attempt_at from inbox.events e1 where e1.state = 'received'
      union all
      select e2.next_attempt_at from inbox.events e2 where e2.state = 'ready'
      union all
      select e3.lease_until from inbox.events e3 where e3.state = 'leased'
    ) e
  ) w;
end
$$;
revoke all on function ops.status_numbers() from public;
grant execute on function ops.status_numbers() to klar_api, klar_worker, klar_ops;
