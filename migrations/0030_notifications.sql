-- One row per message to one address. The dedupe key makes it one message however often it is asked for.

create table app.notification_deliveries (
  tenant_id text not null references app.tenants (tenant_id),
  id text not null,
  -- Names the event, e.g. 'orders.receipt:ord_...': the same event asked for again is the same message.
  dedupe_key text not null check (length(dedupe_key) between 1 and 200),
  template text not null,
  to_email text not null check (length(to_email) between 3 and 254 and to_email !~ '[[:cntrl:][:space:]<>,;]'),
  to_name text check (length(to_name) <= 200 and to_name !~ '[[:cntrl:]]'),
  person_id text,
  -- What the template needs. Variables that are secrets (links with tokens) are removed once it is sent or dead.
  data jsonb not null check (jsonb_typeof(data) = 'object' and octet_length(data::text) <= 65536),
  state text not null default 'queued' check (state in ('queued', 'sending', 'sent', 'failed', 'dead')),
  attempts integer not null default 0 check (attempts >= 0),
  -- The attempt that may write the outcome. A worker that lost its lease finds another value here.
  lease text,
  lease_until timestamptz,
  last_error text check (length(last_error) <= 500),
  message_id text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  sent_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, dedupe_key),
  check ((state = 'sending') = (lease is not null)),
  check ((state = 'sent') = (sent_at is not null))
);

select app.tenant_table('app.notification_deliveries');

create index notification_deliveries_unfinished on app.notification_deliveries (tenant_id, state, updated_at)
  where state in ('queued', 'sending', 'failed', 'dead');

-- Who only asks for messages cannot read them back: they hold links that log people in.
-- (SELECT on the two columns is what ON CONFLICT and RETURNING need.)
grant insert (tenant_id, id, dedupe_key, template, to_email, to_name, person_id, data)
  on app.notification_deliveries to klar_api;
grant select (tenant_id, id, dedupe_key) on app.notification_deliveries to klar_api;
grant select, insert, update on app.notification_deliveries to klar_worker;
