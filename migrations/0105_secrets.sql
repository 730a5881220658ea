-- Rotations of secrets: their steps, who asked, what is known of each secret. Generations name values; no value is here.
-- See services/domain/secrets/README.md.

create table ops.rotations (
  id text primary key check (id like 'rot\_%'),
  secret text not null check (secret ~ '^[A-Z][A-Z0-9_]{1,62}$'),
  kind text not null,
  step text not null check (step in ('creating', 'provisioning', 'distributing', 'testing', 'activating', 'soaking',
    'retiring', 'verifying', 'reverting', 'draining', 'withdrawing')),
  -- The effect of the step is there and recorded; what follows is waiting.
  acted boolean not null default false,
  outcome text check (outcome in ('done', 'rolled_back', 'abandoned')),
  from_generation text not null check (length(from_generation) <= 64),
  to_generation text check (length(to_generation) <= 64),
  emergency boolean not null default false,
  -- Copied from the policy at the start: a policy that is broken meanwhile must not hold up what is under way.
  soak_s integer not null check (soak_s >= 0),
  quiet_s integer not null check (quiet_s >= 0),
  was_active boolean not null default false,
  back boolean not null default false,
  started_at timestamptz not null default clock_timestamp(),
  step_since timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  started_by text not null check (length(started_by) <= 200),
  reason text check (length(reason) <= 500),
  -- Why it does not go on at the moment.
  waiting text check (length(waiting) <= 1000),
  term bigint not null,
  check ((outcome is null) = (finished_at is null)),
  check (to_generation is distinct from from_generation)
);
-- Two rotations of one secret at once would take each other's values away.
create unique index rotations_running on ops.rotations (secret) where outcome is null;
create index rotations_by_secret on ops.rotations (secret, started_at);
create index rotations_ended on ops.rotations (finished_at) where finished_at is not null;

-- What happened, in order: one row each time a step begins, has its effect or waits for another reason.
create table ops.rotation_steps (
  rotation_id text not null references ops.rotations (id) on delete cascade,
  number integer not null,
  at timestamptz not null default clock_timestamp(),
  step text not null,
  event text not null check (event in ('begun', 'acted', 'waits', 'failed', 'asked', 'ended')),
  note text check (length(note) <= 1000),
  term bigint not null,
  primary key (rotation_id, number)
);

-- What people ask for (`klar rotate`); the controller takes it and writes its answer.
create table ops.rotation_requests (
  id text primary key check (id like 'rrq\_%'),
  secret text not null check (secret ~ '^[A-Z][A-Z0-9_]{1,62}$'),
  action text not null check (action in ('rotate', 'cancel', 'rollback')),
  emergency boolean not null default false,
  reason text check (length(reason) <= 500),
  requested_by text not null check (length(requested_by) <= 200),
  requested_at timestamptz not null default clock_timestamp(),
  taken_at timestamptz,
  accepted boolean,
  answer text check (length(answer) <= 1000),
  check ((taken_at is null) = (accepted is null))
);
create index rotation_requests_open on ops.rotation_requests (requested_at) where taken_at is null;
create index rotation_requests_by_time on ops.rotation_requests (requested_at);

-- What the controller knows of each secret, for `klar secrets status`; one row each.
create table ops.secret_states (
  secret text primary key,
  kind text not null,
  generation text not null,
  -- When this generation was first seen in use, by the database's clock: what the schedule counts from.
  since timestamptz not null default clock_timestamp(),
  due_at timestamptz,
  -- One CamelCase word, and what mends it.
  reason text not null,
  message text not null check (length(message) <= 2000),
  observed_at timestamptz not null default clock_timestamp()
);

grant select, insert, update on ops.rotations, ops.secret_states to klar_controller;
grant delete on ops.secret_states to klar_controller;
grant select, insert on ops.rotation_steps to klar_controller;
grant select, update on ops.rotation_requests to klar_controller;
grant select on ops.rotations, ops.rotation_steps, ops.secret_states to klar_ops;
grant select, insert on ops.rotation_requests to klar_ops;
grant select (id, secret, finished_at), delete on ops.rotations to klar_cleanup;
grant select (id, requested_at), delete on ops.rotation_requests to klar_cleanup;

-- A rotation of API_SECRET_SALT encrypts the hashes of keys anew, school by school.
grant usage on schema app, routing to klar_controller;
grant execute on function app.current_tenant() to klar_controller;
grant select (tenant_id) on routing.tenants to klar_controller;
grant select (tenant_id, id, prefix, sealed_hash), update (sealed_hash) on app.api_keys to klar_controller;

-- The password of a login other than the migrator's, as a verifier (never clear text), or none at all: then it cannot log in. It works
-- once `klar roles ensure` has given it to klar_rotator, the one role with CREATEROLE. Logins belong to the whole server and
-- not to a database, so the comment of each says whose password it has: another installation may be using it.
create function ops.set_login_verifier(login text, verifier text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  mine text := 'klar: ' || current_database();
  owner text := shobj_description(to_regrole(login), 'pg_authid');
begin
  if login !~ '^klar_(api|auth|ingest|worker|controller|backup|restore|cleanup|ops)_[ab]$' then
    raise exception 'no login whose password rotates' using errcode = '22023';
  end if;
  -- One that is gone, or was renamed, uses nothing.
  if owner <> mine and exists (select from pg_database d where 'klar: ' || d.datname = owner) then
    raise exception 'its password is of the installation in another database' using errcode = '55006';
  end if;
  if verifier is null then
    execute format('alter role %I password null', login);
    execute format('comment on role %I is null', login);
  elsif verifier ~ '^SCRAM-SHA-256\$[0-9]{4,6}:[A-Za-z0-9+/=]{16,64}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}$' then
    execute format('alter role %I password %L', login, verifier);
    execute format('comment on role %I is %L', login, mine);
  else
    raise exception 'not a SCRAM-SHA-256 verifier' using errcode = '22023';
  end if;
end
$$;
grant execute on function ops.set_login_verifier(text, text) to klar_controller;

-- Ends the sessions of a login whose password is gone: a connection outlives its password. Returns how many.
create function ops.end_login_sessions(login text) returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if login !~ '^klar_(api|auth|ingest|worker|controller|backup|restore|cleanup|ops)_[ab]$' then
    raise exception 'no login whose password rotates' using errcode = '22023';
  end if;
  return (select count(*) filter (where pg_terminate_backend(a.pid)) from pg_stat_activity a where a.usename = login);
end
$$;
grant execute on function ops.end_login_sessions(text) to klar_controller;
