-- What the controller leaves in the database, and the fence around it. See services/controller/README.md.

-- The greatest fencing token that ever wrote, one row a lease. Only the function below writes it.
create table ops.controller_terms (
  lease text primary key check (lease ~ '^[a-z0-9][a-z0-9.-]{0,252}$'),
  token bigint not null check (token > 0),
  raised_at timestamptz not null default clock_timestamp()
);

-- Asked in the transaction of a write: passes when no later term wrote before. The row stays locked until that transaction
-- ends, so that a later term waits for a write that passed, and whoever was overtaken while it waited is refused.
create function ops.check_term(lease text, token bigint) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into ops.controller_terms as t (lease, token) values (check_term.lease, check_term.token)
    on conflict on constraint controller_terms_pkey do update
      set token = excluded.token, raised_at = case when t.token < excluded.token then clock_timestamp() else t.raised_at end
      where t.token <= excluded.token;
  if not found then
    raise exception 'term % of lease % is over: a later one has written', check_term.token, check_term.lease
      using errcode = 'KT001',
            detail = (select t.token from ops.controller_terms t where t.lease = check_term.lease);
  end if;
end
$$;
grant execute on function ops.check_term(text, bigint) to klar_controller;
grant select on ops.controller_terms to klar_controller, klar_ops;

-- Flag sets that were applied; the one with the greatest sequence is live. A sequence is never given twice and grows with
-- time, also past a restore (services/controller/flags/decide.ts).
create table ops.flag_sets (
  sequence bigint primary key check (sequence > 0),
  version text not null check (version ~ '^[0-9a-f]{12}$'),
  document text not null check (octet_length(document) <= 1048576),
  applied_at timestamptz not null default clock_timestamp(),
  -- Token of the term that applied it, and who changed the source as far as it says.
  term bigint not null,
  changed_by text check (length(changed_by) <= 200)
);
grant select, insert on ops.flag_sets to klar_controller;
grant select on ops.flag_sets to klar_ops;
grant select (sequence, applied_at), delete on ops.flag_sets to klar_cleanup;

-- What a serving process asks each second: no row while nothing later than what it knows is live. By sequence and not by
-- version, so that a restored, older table is no news. A function, so that klar_ingest needs no right to read a table.
create function ops.live_flags(known bigint) returns table (sequence bigint, version text, document text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select f.sequence, f.version, f.document from ops.flag_sets f where f.sequence > known order by f.sequence desc limit 1
$$;
grant execute on function ops.live_flags(bigint) to klar_api, klar_ingest, klar_worker, klar_controller;
