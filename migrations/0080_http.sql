-- Answers by Idempotency-Key (services/platform/http/idempotency.ts). Kept 72 h; `klar cleanup` removes what is older.
create table app.idempotency_keys (
  tenant_id        text        not null,
  principal        text        not null,                       -- kind:id of the caller; another person has an own order
  operation        text        not null,                       -- route id
  key              text        not null,                       -- as the client sent it
  request_hash     bytea       not null,                       -- SHA-256 of path, query and body
  state            text        not null,
  owner_token      text        not null,                       -- fence: whoever holds another token has lost the row
  lease_until      timestamptz,                                -- null once done
  response_status  integer,
  response_headers jsonb,
  response_body    text,                                       -- the very bytes that were answered
  created_at       timestamptz not null default now(),
  expires_at       timestamptz not null,
  primary key (tenant_id, principal, operation, key),
  foreign key (tenant_id) references app.tenants (tenant_id) on delete cascade,
  constraint idempotency_keys_state check (state in ('in_progress', 'done')),
  constraint idempotency_keys_key check (length(key) between 1 and 255),
  constraint idempotency_keys_done check ((state = 'done') = (response_status is not null)),
  -- 5xx is never an answer: it says that nothing was decided.
  constraint idempotency_keys_status check (response_status between 200 and 499),
  constraint idempotency_keys_lease check ((state = 'in_progress') = (lease_until is not null))
);
select app.tenant_table('app.idempotency_keys');

-- For the cleanup, which asks per tenant for what is over.
create index idempotency_keys_expires on app.idempotency_keys (tenant_id, expires_at);

-- DELETE: an answer of 500 or a lost client releases the key at once instead of after the lease.
grant select, insert, update, delete on app.idempotency_keys to klar_api;
grant select, delete on app.idempotency_keys to klar_cleanup;
