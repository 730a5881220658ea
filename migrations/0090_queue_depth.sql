-- A job that is for tomorrow is no backlog: every open checkout has one, the look at its end.
create or replace function ops.status_numbers()
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
        count(*) filter (where j.state in ('retry', 'active') or (j.state = 'created' and j.start_after <= now())),
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
