-- What ran unattended, and what proves that the data could come back. See services/domain/operations/README.md.

create table ops.task_runs (
  id text primary key check (id like 'run\_%'),
  task text not null check (task ~ '^[a-z][a-z0-9-]{0,62}$'),
  -- The tick: the minute that the schedule names. Null for a run by hand, which is a run of its own.
  scheduled_for timestamptz,
  status text not null check (status in ('running', 'succeeded', 'failed', 'missed')),
  by_hand boolean not null,
  -- How often this row was begun: a retry of a failed tick, and a takeover from a pod that died, count here.
  attempt integer not null default 1 check (attempt >= 0),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  -- By database time: two pods' clocks may differ by more than a lease.
  lease_until timestamptz,
  -- Who holds the row. Another value here means that the run was taken over and may write nothing any more.
  runner text,
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object' and octet_length(detail::text) <= 65536),
  error text check (length(error) <= 1000),
  check ((status = 'running') = (finished_at is null)),
  check ((status = 'running') = (lease_until is not null)),
  check (status <> 'running' or runner is not null),
  check (by_hand or scheduled_for is not null)
);
-- One effect a tick: whoever inserts first has it.
create unique index task_runs_tick on ops.task_runs (task, scheduled_for) where scheduled_for is not null;
create index task_runs_by_task on ops.task_runs (task, started_at);
create index task_runs_running on ops.task_runs (task) where status = 'running';
create index task_runs_ended on ops.task_runs (finished_at) where finished_at is not null;

-- What `klar backup` committed to its store. The store is the truth; this is what the metrics can see of it.
create table ops.backups (
  id text primary key,
  store text not null,
  started_at timestamptz not null,
  snapshot_at timestamptz not null,
  committed_at timestamptz not null,
  bytes bigint not null check (bytes >= 0),
  schema_version integer not null,
  encrypted boolean not null,
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object'),
  pruned_at timestamptz
);
create index backups_by_time on ops.backups (committed_at);

-- No foreign key to ops.backups: a proof may be about a backup that another installation made.
create table ops.restore_proofs (
  id text primary key check (id like 'prf\_%'),
  backup_id text not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  ok boolean not null,
  rto_seconds double precision check (rto_seconds >= 0),
  rpo_seconds double precision check (rpo_seconds >= 0),
  checks jsonb not null default '[]'
);
create index restore_proofs_by_time on ops.restore_proofs (finished_at);

grant select, insert, update on ops.task_runs, ops.backups to klar_ops;
grant select, insert on ops.restore_proofs to klar_ops;
grant select on ops.task_runs, ops.backups, ops.restore_proofs to klar_worker;

-- The fence of a task that works with another login than klar_ops: asked in the transaction of an effect, it is true
-- only while the run is still this runner's, and until that transaction ends nobody can take the run over. FOR KEY
-- SHARE, because a takeover locks the row FOR UPDATE and the extension of the lease does not.
create function ops.holds_task_run(run text, holder text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from ops.task_runs r
    where r.id = run and r.runner = holder and r.status = 'running' and r.lease_until > clock_timestamp()
    for key share;
  return found;
end
$$;
grant execute on function ops.holds_task_run(text, text) to klar_ops, klar_worker, klar_cleanup, klar_api;

-- Beside ops.status_numbers(), for GET /api/ops/metrics. Failures are runs that ended so; the age is that of the task
-- whose last success is the longest ago, among the tasks that a schedule ran in the last 40 days (a monthly one counts,
-- one that was retired does not shout for ever).
create function ops.task_numbers()
returns table (task_failures_24h bigint, oldest_task_success_age_s double precision)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    (select count(*) from ops.task_runs r where r.status = 'failed' and r.finished_at > now() - interval '24 hours'),
    (select max(extract(epoch from clock_timestamp() - t.since))::double precision
       from (
         select coalesce(max(r.finished_at) filter (where r.status = 'succeeded'), min(r.started_at)) as since
           from ops.task_runs r
          group by r.task
         having max(r.scheduled_for) > now() - interval '40 days'
       ) t)
$$;
grant execute on function ops.task_numbers() to klar_api, klar_worker, klar_ops;
