-- Made by `npm run generate` from migrations/. Compared by CI; never applied.

-- roles
role klar_api: nologin
role klar_api_a: login; in klar_api; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=6s
role klar_api_b: login; in klar_api; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=6s
role klar_auth: nologin
role klar_auth_a: login; in klar_auth; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=auth; statement_timeout=6s
role klar_auth_b: login; in klar_auth; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=auth; statement_timeout=6s
role klar_backup: nologin bypassrls; in pg_read_all_data
role klar_backup_a: login bypassrls; in klar_backup; default_transaction_read_only=on
role klar_backup_b: login bypassrls; in klar_backup; default_transaction_read_only=on
role klar_cleanup: nologin
role klar_cleanup_a: login; in klar_cleanup; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s
role klar_cleanup_b: login; in klar_cleanup; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s
role klar_controller: nologin
role klar_controller_a: login; in klar_controller; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=15s
role klar_controller_b: login; in klar_controller; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=15s
role klar_ingest: nologin
role klar_ingest_a: login; in klar_ingest; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=5s
role klar_ingest_b: login; in klar_ingest; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=5s
role klar_migrator: nologin; in klar_owner
role klar_migrator_a: login; in klar_migrator
role klar_migrator_b: login; in klar_migrator
role klar_ops: nologin
role klar_ops_a: login; in klar_ops; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s
role klar_ops_b: login; in klar_ops; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s
role klar_owner: nologin
role klar_restore: nologin
role klar_restore_a: login; in klar_restore
role klar_restore_b: login; in klar_restore
role klar_rotator: nologin CREATEROLE; in pg_signal_backend
role klar_worker: nologin
role klar_worker_a: login; in klar_worker; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s
role klar_worker_b: login; in klar_worker; idle_in_transaction_session_timeout=30s; lock_timeout=5s; search_path=pg_catalog; statement_timeout=25s

-- schemas
create schema app authorization klar_owner;
create schema auth authorization klar_owner;
create schema inbox authorization klar_owner;
create schema ops authorization klar_owner;
create schema pgboss authorization klar_owner;
create schema routing authorization klar_owner;
grant usage on schema app to klar_api;
grant usage on schema app to klar_cleanup;
grant usage on schema app to klar_controller;
grant usage on schema app to klar_ops;
grant usage on schema app to klar_worker;
grant usage on schema auth to klar_auth;
grant usage on schema inbox to klar_api;
grant usage on schema inbox to klar_cleanup;
grant usage on schema inbox to klar_ingest;
grant usage on schema inbox to klar_ops;
grant usage on schema inbox to klar_worker;
grant usage on schema ops to klar_api;
grant usage on schema ops to klar_auth;
grant usage on schema ops to klar_cleanup;
grant usage on schema ops to klar_controller;
grant usage on schema ops to klar_ingest;
grant usage on schema ops to klar_ops;
grant usage on schema ops to klar_worker;
grant usage on schema pgboss to klar_api;
grant usage on schema pgboss to klar_ops;
grant usage on schema pgboss to klar_worker;
grant usage on schema routing to klar_api;
grant usage on schema routing to klar_cleanup;
grant usage on schema routing to klar_controller;
grant usage on schema routing to klar_ops;
grant usage on schema routing to klar_worker;

-- app.api_keys
create table app.api_keys (
  tenant_id text not null,
  id text not null,
  prefix text not null,
  name text not null,
  sealed_hash text not null,
  scopes text[] not null,
  created_by_kind text not null,
  created_by_id text not null,
  created_at timestamp with time zone not null default now(),
  last_used_at timestamp with time zone,
  revoked_at timestamp with time zone,
  constraint api_keys_pkey PRIMARY KEY (tenant_id, id),
  constraint api_keys_tenant_id_prefix_key UNIQUE (tenant_id, prefix),
  constraint api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint api_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 120))),
  constraint api_keys_sealed_hash_check CHECK ((sealed_hash ~ '^v[^$]+[$]'::text))
);
alter table app.api_keys enable row level security;
alter table app.api_keys force row level security;
create policy tenant_isolation on app.api_keys as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select on app.api_keys to klar_api;
grant delete on app.api_keys to klar_cleanup;
grant update (sealed_hash, last_used_at, revoked_at) on app.api_keys to klar_api;
grant select (tenant_id, id, prefix, revoked_at) on app.api_keys to klar_cleanup;
grant select (tenant_id, id, prefix, sealed_hash), update (sealed_hash) on app.api_keys to klar_controller;

-- app.audit_pending
create table app.audit_pending (
  tenant_id text not null,
  id text not null,
  action text not null,
  actor_kind text not null,
  actor_id text not null,
  object_type text not null,
  object_id text not null,
  details jsonb not null default '{}'::jsonb,
  request_id text,
  platform boolean not null generated always as ((actor_kind = 'platform'::text)) stored,
  created_at timestamp with time zone not null default clock_timestamp(),
  xact xid8 not null default pg_current_xact_id(),
  seq bigint not null generated always as identity,
  constraint audit_pending_pkey PRIMARY KEY (tenant_id, id),
  constraint audit_pending_actor_kind_check CHECK ((actor_kind = ANY (ARRAY['person'::text, 'api_key'::text, 'platform'::text, 'system'::text]))),
  constraint audit_pending_details_check CHECK (((jsonb_typeof(details) = 'object'::text) AND (octet_length((details)::text) <= 16384)))
);
CREATE INDEX audit_pending_order ON app.audit_pending USING btree (tenant_id, seq);
alter table app.audit_pending enable row level security;
alter table app.audit_pending force row level security;
create policy tenant_isolation on app.audit_pending as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id) on app.audit_pending to klar_api;
grant insert (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id) on app.audit_pending to klar_cleanup;
grant insert (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id) on app.audit_pending to klar_ops;
grant insert (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, details, request_id) on app.audit_pending to klar_worker;

-- app.courses
create table app.courses (
  tenant_id text not null,
  id text not null,
  title text not null,
  description text not null default ''::text,
  status text not null default 'draft'::text,
  created_by text not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint courses_pkey PRIMARY KEY (tenant_id, id),
  constraint courses_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint courses_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'published'::text]))),
  constraint courses_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
CREATE INDEX courses_published ON app.courses USING btree (tenant_id, id) WHERE (status = 'published'::text);
alter table app.courses enable row level security;
alter table app.courses force row level security;
create policy tenant_isolation on app.courses as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.courses to klar_api;
grant select on app.courses to klar_worker;

-- app.enrollments
create table app.enrollments (
  tenant_id text not null,
  id text not null,
  course_id text not null,
  person_id text not null,
  status text not null default 'active'::text,
  source_kind text not null,
  source_id text not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint enrollments_pkey PRIMARY KEY (tenant_id, id),
  constraint enrollments_once UNIQUE (tenant_id, course_id, person_id),
  constraint enrollments_tenant_id_course_id_fkey FOREIGN KEY (tenant_id, course_id) REFERENCES app.courses(tenant_id, id),
  constraint enrollments_source_kind_check CHECK ((source_kind = ANY (ARRAY['order'::text, 'invitation'::text, 'admin'::text]))),
  constraint enrollments_status_check CHECK ((status = ANY (ARRAY['active'::text, 'revoked'::text])))
);
CREATE INDEX enrollments_of_person ON app.enrollments USING btree (tenant_id, person_id, id);
alter table app.enrollments enable row level security;
alter table app.enrollments force row level security;
create policy tenant_isolation on app.enrollments as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.enrollments to klar_api;
grant insert, select, update on app.enrollments to klar_worker;

-- app.fulfilments
create table app.fulfilments (
  tenant_id text not null,
  id text not null,
  order_id text not null,
  order_line_id text not null,
  kind text not null,
  object_id text,
  outcome text not null,
  created_at timestamp with time zone not null,
  constraint fulfilments_pkey PRIMARY KEY (tenant_id, id),
  constraint fulfilments_once UNIQUE (tenant_id, order_line_id),
  constraint fulfilments_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint fulfilments_tenant_id_order_line_id_fkey FOREIGN KEY (tenant_id, order_line_id) REFERENCES app.order_lines(tenant_id, id),
  constraint fulfilments_kind_check CHECK ((kind = ANY (ARRAY['course'::text, 'service'::text, 'seminar'::text, 'credits'::text]))),
  constraint fulfilments_outcome_check CHECK ((outcome = ANY (ARRAY['granted'::text, 'already_had'::text])))
);
CREATE INDEX fulfilments_of_order ON app.fulfilments USING btree (tenant_id, order_id);
alter table app.fulfilments enable row level security;
alter table app.fulfilments force row level security;
create policy tenant_isolation on app.fulfilments as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select on app.fulfilments to klar_api;
grant insert, select on app.fulfilments to klar_worker;

-- app.idempotency_keys
create table app.idempotency_keys (
  tenant_id text not null,
  principal text not null,
  operation text not null,
  key text not null,
  request_hash bytea not null,
  state text not null,
  owner_token text not null,
  lease_until timestamp with time zone,
  response_status integer,
  response_headers jsonb,
  response_body text,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  constraint idempotency_keys_pkey PRIMARY KEY (tenant_id, principal, operation, key),
  constraint idempotency_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id) ON DELETE CASCADE,
  constraint idempotency_keys_done CHECK (((state = 'done'::text) = (response_status IS NOT NULL))),
  constraint idempotency_keys_key CHECK (((length(key) >= 1) AND (length(key) <= 255))),
  constraint idempotency_keys_lease CHECK (((state = 'in_progress'::text) = (lease_until IS NOT NULL))),
  constraint idempotency_keys_state CHECK ((state = ANY (ARRAY['in_progress'::text, 'done'::text]))),
  constraint idempotency_keys_status CHECK (((response_status >= 200) AND (response_status <= 499)))
);
CREATE INDEX idempotency_keys_expires ON app.idempotency_keys USING btree (tenant_id, expires_at);
alter table app.idempotency_keys enable row level security;
alter table app.idempotency_keys force row level security;
create policy tenant_isolation on app.idempotency_keys as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant delete, insert, select, update on app.idempotency_keys to klar_api;
grant delete, select on app.idempotency_keys to klar_cleanup;

-- app.invitations
create table app.invitations (
  tenant_id text not null,
  id text not null,
  email text not null,
  role text not null,
  token_hash bytea not null,
  state text not null default 'pending'::text,
  invited_by_kind text not null,
  invited_by_id text not null,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  accepted_at timestamp with time zone,
  accepted_by text,
  revoked_at timestamp with time zone,
  constraint invitations_pkey PRIMARY KEY (tenant_id, id),
  constraint invitations_tenant_id_token_hash_key UNIQUE (tenant_id, token_hash),
  constraint invitations_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint invitations_check CHECK (((state = 'accepted'::text) = (accepted_by IS NOT NULL))),
  constraint invitations_check1 CHECK (((state = 'revoked'::text) = (revoked_at IS NOT NULL))),
  constraint invitations_email_check CHECK ((length(email) <= 254)),
  constraint invitations_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'teacher'::text, 'student'::text, 'support'::text]))),
  constraint invitations_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'accepted'::text, 'revoked'::text]))),
  constraint invitations_token_hash_check CHECK ((length(token_hash) = 32))
);
CREATE INDEX invitations_by_time ON app.invitations USING btree (tenant_id, created_at);
CREATE UNIQUE INDEX invitations_one_open ON app.invitations USING btree (tenant_id, email) WHERE (state = 'pending'::text);
alter table app.invitations enable row level security;
alter table app.invitations force row level security;
create policy tenant_isolation on app.invitations as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select on app.invitations to klar_api;
grant delete on app.invitations to klar_cleanup;
grant update (state, accepted_at, accepted_by, revoked_at) on app.invitations to klar_api;
grant select (tenant_id, id, token_hash, expires_at) on app.invitations to klar_cleanup;

-- app.lesson_progress
create table app.lesson_progress (
  tenant_id text not null,
  person_id text not null,
  lesson_id text not null,
  done_at timestamp with time zone not null,
  constraint lesson_progress_pkey PRIMARY KEY (tenant_id, person_id, lesson_id),
  constraint lesson_progress_tenant_id_lesson_id_fkey FOREIGN KEY (tenant_id, lesson_id) REFERENCES app.lessons(tenant_id, id)
);
alter table app.lesson_progress enable row level security;
alter table app.lesson_progress force row level security;
create policy tenant_isolation on app.lesson_progress as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.lesson_progress to klar_api;

-- app.lessons
create table app.lessons (
  tenant_id text not null,
  id text not null,
  course_id text not null,
  position integer not null,
  title text not null,
  content text not null default ''::text,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint lessons_pkey PRIMARY KEY (tenant_id, id),
  constraint lessons_position UNIQUE (tenant_id, course_id, "position"),
  constraint lessons_tenant_id_course_id_fkey FOREIGN KEY (tenant_id, course_id) REFERENCES app.courses(tenant_id, id),
  constraint lessons_position_check CHECK ((("position" >= 1) AND ("position" <= 10000))),
  constraint lessons_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
alter table app.lessons enable row level security;
alter table app.lessons force row level security;
create policy tenant_isolation on app.lessons as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.lessons to klar_api;
grant select on app.lessons to klar_worker;

-- app.memberships
create table app.memberships (
  tenant_id text not null,
  id text not null,
  person_id text not null,
  role text not null,
  email text not null,
  name text not null,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint memberships_pkey PRIMARY KEY (tenant_id, id),
  constraint memberships_tenant_id_person_id_key UNIQUE (tenant_id, person_id),
  constraint memberships_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint memberships_email_check CHECK ((length(email) <= 254)),
  constraint memberships_name_check CHECK ((length(name) <= 200)),
  constraint memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'teacher'::text, 'student'::text, 'support'::text])))
);
CREATE INDEX memberships_by_email ON app.memberships USING btree (tenant_id, email);
CREATE INDEX memberships_by_role ON app.memberships USING btree (tenant_id, role, id);
alter table app.memberships enable row level security;
alter table app.memberships force row level security;
create policy tenant_isolation on app.memberships as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant delete, insert, select on app.memberships to klar_api;
grant select on app.memberships to klar_worker;
grant update (role, email, name, updated_at) on app.memberships to klar_api;

-- app.notification_deliveries
create table app.notification_deliveries (
  tenant_id text not null,
  id text not null,
  dedupe_key text not null,
  template text not null,
  to_email text not null,
  to_name text,
  person_id text,
  data jsonb not null,
  state text not null default 'queued'::text,
  attempts integer not null default 0,
  lease text,
  lease_until timestamp with time zone,
  last_error text,
  message_id text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  sent_at timestamp with time zone,
  constraint notification_deliveries_pkey PRIMARY KEY (tenant_id, id),
  constraint notification_deliveries_tenant_id_dedupe_key_key UNIQUE (tenant_id, dedupe_key),
  constraint notification_deliveries_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint notification_deliveries_attempts_check CHECK ((attempts >= 0)),
  constraint notification_deliveries_check CHECK (((state = 'sending'::text) = (lease IS NOT NULL))),
  constraint notification_deliveries_check1 CHECK (((state = 'sent'::text) = (sent_at IS NOT NULL))),
  constraint notification_deliveries_data_check CHECK (((jsonb_typeof(data) = 'object'::text) AND (octet_length((data)::text) <= 65536))),
  constraint notification_deliveries_dedupe_key_check CHECK (((length(dedupe_key) >= 1) AND (length(dedupe_key) <= 200))),
  constraint notification_deliveries_last_error_check CHECK ((length(last_error) <= 500)),
  constraint notification_deliveries_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'dead'::text]))),
  constraint notification_deliveries_to_email_check CHECK (((length(to_email) >= 3) AND (length(to_email) <= 254) AND (to_email !~ '[[:cntrl:][:space:]<>,;]'::text))),
  constraint notification_deliveries_to_name_check CHECK (((length(to_name) <= 200) AND (to_name !~ '[[:cntrl:]]'::text)))
);
CREATE INDEX notification_deliveries_settled ON app.notification_deliveries USING btree (tenant_id, updated_at) WHERE ((state = ANY (ARRAY['sent'::text, 'dead'::text])) AND (to_email <> 'erased@invalid'::text));
CREATE INDEX notification_deliveries_unfinished ON app.notification_deliveries USING btree (tenant_id, state, updated_at) WHERE (state = ANY (ARRAY['queued'::text, 'sending'::text, 'failed'::text, 'dead'::text]));
alter table app.notification_deliveries enable row level security;
alter table app.notification_deliveries force row level security;
create policy tenant_isolation on app.notification_deliveries as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.notification_deliveries to klar_worker;
grant insert (tenant_id, id, dedupe_key, template, to_email, to_name, person_id, data), select (tenant_id, id, dedupe_key) on app.notification_deliveries to klar_api;
grant select (tenant_id, id, to_email, state, updated_at), update (to_email, to_name, data, last_error) on app.notification_deliveries to klar_cleanup;

-- app.order_lines
create table app.order_lines (
  tenant_id text not null,
  id text not null,
  order_id text not null,
  position integer not null,
  kind text not null,
  item_id text not null,
  title text not null,
  price_id text not null,
  quantity integer not null,
  unit_amount bigint not null,
  amount bigint not null,
  constraint order_lines_pkey PRIMARY KEY (tenant_id, id),
  constraint order_lines_position UNIQUE (tenant_id, order_id, "position"),
  constraint order_lines_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint order_lines_tenant_id_price_id_fkey FOREIGN KEY (tenant_id, price_id) REFERENCES app.prices(tenant_id, id),
  constraint order_lines_amount_check CHECK (((amount >= 0) AND (amount <= '9007199254740991'::bigint))),
  constraint order_lines_check CHECK ((amount = (unit_amount * quantity))),
  constraint order_lines_kind_check CHECK ((kind = ANY (ARRAY['course'::text, 'service'::text, 'seminar'::text, 'credits'::text]))),
  constraint order_lines_position_check CHECK (("position" >= 1)),
  constraint order_lines_quantity_check CHECK ((quantity >= 1)),
  constraint order_lines_unit_amount_check CHECK (((unit_amount >= 0) AND (unit_amount <= '9007199254740991'::bigint)))
);
alter table app.order_lines enable row level security;
alter table app.order_lines force row level security;
create policy tenant_isolation on app.order_lines as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select on app.order_lines to klar_api;
grant select on app.order_lines to klar_worker;

-- app.orders
create table app.orders (
  tenant_id text not null,
  id text not null,
  person_id text not null,
  buyer_email text not null,
  buyer_name text not null default ''::text,
  status text not null,
  total_amount bigint not null,
  currency text not null,
  version integer not null default 1,
  request_id text,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  paid_at timestamp with time zone,
  canceled_at timestamp with time zone,
  constraint orders_pkey PRIMARY KEY (tenant_id, id),
  constraint orders_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint orders_check CHECK (((paid_at IS NOT NULL) OR (status = ANY (ARRAY['pending'::text, 'failed'::text, 'expired'::text])))),
  constraint orders_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint orders_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'paid'::text, 'failed'::text, 'expired'::text, 'refunded'::text, 'partially_refunded'::text, 'disputed'::text]))),
  constraint orders_total_amount_check CHECK (((total_amount >= 0) AND (total_amount <= '9007199254740991'::bigint)))
);
CREATE INDEX orders_by_status ON app.orders USING btree (tenant_id, status, id);
CREATE INDEX orders_of_person ON app.orders USING btree (tenant_id, person_id, id);
alter table app.orders enable row level security;
alter table app.orders force row level security;
create policy tenant_isolation on app.orders as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.orders to klar_api;
grant insert, select, update on app.orders to klar_worker;

-- app.payment_attempts
create table app.payment_attempts (
  tenant_id text not null,
  id text not null,
  payment_id text not null,
  order_id text not null,
  provider text not null,
  account text not null default ''::text,
  livemode boolean not null,
  ui_mode text not null,
  state text not null,
  close_reason text,
  amount bigint not null,
  currency text not null,
  request jsonb not null,
  session_id text,
  payment_intent_id text,
  charge_id text,
  url text,
  client_secret text,
  expires_at timestamp with time zone,
  captured bigint not null default 0,
  refunded bigint not null default 0,
  disputed bigint not null default 0,
  lost bigint not null default 0,
  duplicate boolean not null default false,
  method_type text,
  method_brand text,
  method_last4 text,
  receipt_url text,
  last_error text,
  lease_token text,
  lease_until timestamp with time zone,
  version integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint payment_attempts_pkey PRIMARY KEY (tenant_id, id),
  constraint payment_attempts_session UNIQUE (tenant_id, provider, account, session_id),
  constraint payment_attempts_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint payment_attempts_tenant_id_payment_id_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES app.payments(tenant_id, id),
  constraint payment_attempts_amount_check CHECK (((amount >= 1) AND (amount <= '9007199254740991'::bigint))),
  constraint payment_attempts_captured_check CHECK ((captured >= 0)),
  constraint payment_attempts_check CHECK (((refunded >= 0) AND (refunded <= captured))),
  constraint payment_attempts_check1 CHECK (((disputed >= 0) AND (disputed <= captured))),
  constraint payment_attempts_check2 CHECK (((lost >= 0) AND (lost <= captured))),
  constraint payment_attempts_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint payment_attempts_provider_check CHECK ((provider = ANY (ARRAY['stripe'::text, 'bakong'::text]))),
  constraint payment_attempts_state_check CHECK ((state = ANY (ARRAY['created'::text, 'unknown'::text, 'open'::text, 'expiring'::text, 'pending'::text, 'held'::text, 'paid'::text, 'failed'::text, 'expired'::text, 'void'::text]))),
  constraint payment_attempts_ui_mode_check CHECK ((ui_mode = ANY (ARRAY['hosted_page'::text, 'embedded_page'::text, 'elements'::text, 'form'::text, 'qr'::text])))
);
CREATE UNIQUE INDEX payment_attempts_intent ON app.payment_attempts USING btree (tenant_id, provider, account, payment_intent_id) WHERE (payment_intent_id IS NOT NULL);
CREATE INDEX payment_attempts_of_order ON app.payment_attempts USING btree (tenant_id, order_id, id);
CREATE INDEX payment_attempts_of_payment ON app.payment_attempts USING btree (tenant_id, payment_id, id);
CREATE UNIQUE INDEX payment_attempts_one_open ON app.payment_attempts USING btree (tenant_id, order_id) WHERE (state = ANY (ARRAY['created'::text, 'unknown'::text, 'open'::text, 'expiring'::text, 'pending'::text, 'held'::text]));
alter table app.payment_attempts enable row level security;
alter table app.payment_attempts force row level security;
create policy tenant_isolation on app.payment_attempts as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.payment_attempts to klar_api;
grant insert, select, update on app.payment_attempts to klar_worker;

-- app.payment_incidents
create table app.payment_incidents (
  tenant_id text not null,
  id text not null,
  kind text not null,
  dedupe_key text not null,
  order_id text not null,
  payment_id text not null,
  attempt_id text not null,
  details jsonb not null,
  created_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  resolved_by text,
  constraint payment_incidents_pkey PRIMARY KEY (tenant_id, id),
  constraint payment_incidents_once UNIQUE (tenant_id, dedupe_key),
  constraint payment_incidents_tenant_id_attempt_id_fkey FOREIGN KEY (tenant_id, attempt_id) REFERENCES app.payment_attempts(tenant_id, id),
  constraint payment_incidents_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint payment_incidents_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint payment_incidents_tenant_id_payment_id_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES app.payments(tenant_id, id),
  constraint payment_incidents_kind_check CHECK ((kind = ANY (ARRAY['mismatch'::text, 'duplicate_money'::text, 'already_had'::text, 'refund_failed'::text])))
);
CREATE INDEX payment_incidents_open ON app.payment_incidents USING btree (tenant_id, id) WHERE (resolved_at IS NULL);
alter table app.payment_incidents enable row level security;
alter table app.payment_incidents force row level security;
create policy tenant_isolation on app.payment_incidents as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.payment_incidents to klar_api;
grant insert, select, update on app.payment_incidents to klar_worker;

-- app.payments
create table app.payments (
  tenant_id text not null,
  id text not null,
  order_id text not null,
  person_id text not null,
  currency text not null,
  due bigint not null,
  captured bigint not null default 0,
  refunded bigint not null default 0,
  disputed bigint not null default 0,
  lost bigint not null default 0,
  state text not null default 'created'::text,
  paid_attempt_id text,
  version integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  paid_at timestamp with time zone,
  constraint payments_pkey PRIMARY KEY (tenant_id, id),
  constraint payments_one_per_order UNIQUE (tenant_id, order_id),
  constraint payments_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint payments_captured_check CHECK ((captured >= 0)),
  constraint payments_check CHECK (((refunded >= 0) AND (refunded <= captured))),
  constraint payments_check1 CHECK (((disputed >= 0) AND (disputed <= captured))),
  constraint payments_check2 CHECK (((lost >= 0) AND (lost <= captured))),
  constraint payments_check3 CHECK (((state = ANY (ARRAY['paid'::text, 'refunded'::text, 'partially_refunded'::text, 'disputed'::text])) = (captured > 0))),
  constraint payments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint payments_due_check CHECK (((due >= 1) AND (due <= '9007199254740991'::bigint))),
  constraint payments_state_check CHECK ((state = ANY (ARRAY['created'::text, 'pending'::text, 'unknown'::text, 'paid'::text, 'failed'::text, 'expired'::text, 'refunded'::text, 'partially_refunded'::text, 'disputed'::text])))
);
CREATE INDEX payments_by_state ON app.payments USING btree (tenant_id, state, id);
alter table app.payments enable row level security;
alter table app.payments force row level security;
create policy tenant_isolation on app.payments as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.payments to klar_api;
grant insert, select, update on app.payments to klar_worker;

-- app.prices
create table app.prices (
  tenant_id text not null,
  id text not null,
  item_kind text not null,
  item_id text not null,
  amount bigint not null,
  currency text not null,
  active boolean not null,
  created_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  constraint prices_pkey PRIMARY KEY (tenant_id, id),
  constraint prices_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint prices_amount_check CHECK (((amount >= 0) AND (amount <= '9007199254740991'::bigint))),
  constraint prices_check CHECK ((active = (ended_at IS NULL))),
  constraint prices_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint prices_item_kind_check CHECK ((item_kind = ANY (ARRAY['course'::text, 'service'::text, 'seminar'::text, 'credits'::text])))
);
CREATE UNIQUE INDEX prices_one_active ON app.prices USING btree (tenant_id, item_kind, item_id) WHERE active;
alter table app.prices enable row level security;
alter table app.prices force row level security;
create policy tenant_isolation on app.prices as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.prices to klar_api;
grant select on app.prices to klar_worker;

-- app.provider_customers
create table app.provider_customers (
  tenant_id text not null,
  provider text not null,
  account text not null default ''::text,
  person_id text not null,
  customer_id text not null,
  created_at timestamp with time zone not null,
  constraint provider_customers_pkey PRIMARY KEY (tenant_id, provider, account, person_id),
  constraint provider_customers_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id)
);
alter table app.provider_customers enable row level security;
alter table app.provider_customers force row level security;
create policy tenant_isolation on app.provider_customers as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.provider_customers to klar_api;
grant insert, select, update on app.provider_customers to klar_worker;

-- app.refunds
create table app.refunds (
  tenant_id text not null,
  id text not null,
  payment_id text not null,
  attempt_id text not null,
  order_id text not null,
  amount bigint not null,
  currency text not null,
  reason text not null,
  state text not null,
  provider_refund_id text,
  last_error text,
  version integer not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint refunds_pkey PRIMARY KEY (tenant_id, id),
  constraint refunds_tenant_id_attempt_id_fkey FOREIGN KEY (tenant_id, attempt_id) REFERENCES app.payment_attempts(tenant_id, id),
  constraint refunds_tenant_id_order_id_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES app.orders(tenant_id, id),
  constraint refunds_tenant_id_payment_id_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES app.payments(tenant_id, id),
  constraint refunds_amount_check CHECK (((amount >= 1) AND (amount <= '9007199254740991'::bigint))),
  constraint refunds_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
  constraint refunds_reason_check CHECK ((reason = ANY (ARRAY['duplicate'::text, 'requested'::text]))),
  constraint refunds_state_check CHECK ((state = ANY (ARRAY['created'::text, 'unknown'::text, 'pending'::text, 'succeeded'::text, 'failed'::text])))
);
CREATE UNIQUE INDEX refunds_duplicate_once ON app.refunds USING btree (tenant_id, attempt_id) WHERE (reason = 'duplicate'::text);
CREATE INDEX refunds_of_payment ON app.refunds USING btree (tenant_id, payment_id, id);
alter table app.refunds enable row level security;
alter table app.refunds force row level security;
create policy tenant_isolation on app.refunds as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.refunds to klar_api;
grant insert, select, update on app.refunds to klar_worker;

-- app.services
create table app.services (
  tenant_id text not null,
  id text not null,
  title text not null,
  description text not null default ''::text,
  duration_minutes integer not null,
  status text not null default 'draft'::text,
  created_by text not null,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  constraint services_pkey PRIMARY KEY (tenant_id, id),
  constraint services_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES app.tenants(tenant_id),
  constraint services_duration_minutes_check CHECK (((duration_minutes >= 1) AND (duration_minutes <= 1440))),
  constraint services_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'published'::text]))),
  constraint services_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
CREATE INDEX services_published ON app.services USING btree (tenant_id, id) WHERE (status = 'published'::text);
alter table app.services enable row level security;
alter table app.services force row level security;
create policy tenant_isolation on app.services as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select, update on app.services to klar_api;
grant select on app.services to klar_worker;

-- app.tenants
create table app.tenants (
  tenant_id text not null,
  slug text not null,
  name text not null,
  open_registration boolean not null default true,
  billing_state text not null default 'active'::text,
  blocked boolean not null default false,
  blocked_reason text,
  blocked_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint tenants_pkey PRIMARY KEY (tenant_id),
  constraint tenants_billing_state_check CHECK ((billing_state = ANY (ARRAY['trialing'::text, 'active'::text, 'past_due'::text, 'limited'::text, 'suspended'::text, 'closed'::text]))),
  constraint tenants_blocked_reason_check CHECK ((length(blocked_reason) <= 500)),
  constraint tenants_check CHECK ((blocked = (blocked_at IS NOT NULL))),
  constraint tenants_name_check CHECK (((length(name) >= 1) AND (length(name) <= 120)))
);
alter table app.tenants enable row level security;
alter table app.tenants force row level security;
create policy tenant_isolation on app.tenants as permissive for all to public
  using ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)))
  with check ((tenant_id = ( SELECT app.current_tenant() AS current_tenant)));
grant insert, select on app.tenants to klar_api;
grant select on app.tenants to klar_cleanup;
grant select on app.tenants to klar_ops;
grant select on app.tenants to klar_worker;
grant update (name, open_registration, billing_state, blocked, blocked_reason, blocked_at, updated_at) on app.tenants to klar_api;

-- auth.accounts
create table auth.accounts (
  id text not null,
  person_id text not null,
  provider_id text not null,
  account_id text not null,
  password text,
  access_token text,
  refresh_token text,
  id_token text,
  access_token_expires_at timestamp with time zone,
  refresh_token_expires_at timestamp with time zone,
  scope text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint accounts_pkey PRIMARY KEY (id),
  constraint accounts_subject_key UNIQUE (provider_id, account_id),
  constraint accounts_person_id_fkey FOREIGN KEY (person_id) REFERENCES auth.people(id) ON DELETE CASCADE
);
CREATE INDEX accounts_by_person ON auth.accounts USING btree (person_id);
grant delete, insert, select, update on auth.accounts to klar_auth;

-- auth.outbox
create table auth.outbox (
  id text not null,
  payload jsonb not null,
  attempts integer not null default 0,
  next_at timestamp with time zone not null default now(),
  created_at timestamp with time zone not null default now(),
  constraint outbox_pkey PRIMARY KEY (id)
);
CREATE INDEX outbox_due ON auth.outbox USING btree (next_at, id);
grant delete, insert, select, update on auth.outbox to klar_auth;

-- auth.people
create table auth.people (
  id text not null,
  email text not null,
  email_verified boolean not null default false,
  name text not null,
  image text,
  two_factor_enabled boolean not null default false,
  tokens_valid_after timestamp with time zone not null default '-infinity'::timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint people_pkey PRIMARY KEY (id),
  constraint people_email_key UNIQUE (email),
  constraint people_email_check CHECK (((length(email) >= 3) AND (length(email) <= 254) AND (email !~ '[A-Z[:cntrl:][:space:]]'::text))),
  constraint people_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200) AND (name !~ '[[:cntrl:]]'::text)))
);
grant delete, insert, select, update on auth.people to klar_auth;

-- auth.revoked_sessions
create table auth.revoked_sessions (
  session_id text not null,
  until timestamp with time zone not null,
  constraint revoked_sessions_pkey PRIMARY KEY (session_id)
);
CREATE INDEX revoked_sessions_until ON auth.revoked_sessions USING btree (until);
grant delete, insert, select, update on auth.revoked_sessions to klar_auth;

-- auth.session_families
create table auth.session_families (
  session_id text not null,
  seed bytea not null,
  generation integer not null default 1,
  rotated_at timestamp with time zone not null default now(),
  grace_used boolean not null default false,
  constraint session_families_pkey PRIMARY KEY (session_id),
  constraint session_families_session_id_fkey FOREIGN KEY (session_id) REFERENCES auth.sessions(id) ON DELETE CASCADE,
  constraint session_families_generation_check CHECK ((generation > 0)),
  constraint session_families_seed_check CHECK ((length(seed) = 16))
);
CREATE TRIGGER record_revocation AFTER DELETE ON auth.session_families FOR EACH ROW EXECUTE FUNCTION auth.record_revocation();
grant delete, insert, select, update on auth.session_families to klar_auth;

-- auth.sessions
create table auth.sessions (
  id text not null,
  person_id text not null,
  token text not null,
  ip_address text,
  user_agent text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  constraint sessions_pkey PRIMARY KEY (id),
  constraint sessions_token_key UNIQUE (token),
  constraint sessions_person_id_fkey FOREIGN KEY (person_id) REFERENCES auth.people(id) ON DELETE CASCADE
);
CREATE INDEX sessions_by_expiry ON auth.sessions USING btree (expires_at);
CREATE INDEX sessions_by_person ON auth.sessions USING btree (person_id, id);
grant delete, insert, select, update on auth.sessions to klar_auth;

-- auth.spent_codes
create table auth.spent_codes (
  person_id text not null,
  code_hash bytea not null,
  expires_at timestamp with time zone not null,
  constraint spent_codes_pkey PRIMARY KEY (person_id, code_hash),
  constraint spent_codes_person_id_fkey FOREIGN KEY (person_id) REFERENCES auth.people(id) ON DELETE CASCADE,
  constraint spent_codes_code_hash_check CHECK ((length(code_hash) = 32))
);
CREATE INDEX spent_codes_by_expiry ON auth.spent_codes USING btree (expires_at);
grant delete, insert, select, update on auth.spent_codes to klar_auth;

-- auth.throttles
create table auth.throttles (
  key bytea not null,
  failures integer not null default 0,
  last_failure_at timestamp with time zone not null default now(),
  locked_until timestamp with time zone not null default '-infinity'::timestamp with time zone,
  constraint throttles_pkey PRIMARY KEY (key),
  constraint throttles_failures_check CHECK ((failures >= 0)),
  constraint throttles_key_check CHECK ((length(key) = 32))
);
CREATE INDEX throttles_by_age ON auth.throttles USING btree (last_failure_at);
grant delete, insert, select, update on auth.throttles to klar_auth;

-- auth.two_factors
create table auth.two_factors (
  id text not null,
  person_id text not null,
  secret text not null,
  backup_codes text not null,
  verified boolean not null default true,
  failed_verification_count integer not null default 0,
  locked_until timestamp with time zone,
  constraint two_factors_pkey PRIMARY KEY (id),
  constraint two_factors_person_id_key UNIQUE (person_id),
  constraint two_factors_person_id_fkey FOREIGN KEY (person_id) REFERENCES auth.people(id) ON DELETE CASCADE
);
grant delete, insert, select, update on auth.two_factors to klar_auth;

-- auth.verifications
create table auth.verifications (
  id text not null,
  identifier text not null,
  value text not null,
  expires_at timestamp with time zone not null,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint verifications_pkey PRIMARY KEY (id)
);
CREATE INDEX verifications_by_expiry ON auth.verifications USING btree (expires_at);
CREATE INDEX verifications_by_identifier ON auth.verifications USING btree (identifier);
grant delete, insert, select, update on auth.verifications to klar_auth;

-- inbox.endpoints
create table inbox.endpoints (
  provider text not null,
  account text not null default ''::text,
  endpoint_id text not null,
  url text not null,
  livemode boolean not null,
  api_version text,
  enabled_events text[] not null default '{}'::text[],
  secret_generation text,
  created_at timestamp with time zone not null default now(),
  checked_at timestamp with time zone,
  constraint endpoints_pkey PRIMARY KEY (provider, account, endpoint_id)
);

-- inbox.events
create table inbox.events (
  id text not null,
  provider text not null,
  account text not null default ''::text,
  event_id text not null,
  type text not null,
  livemode boolean,
  raw bytea not null,
  received_at timestamp with time zone not null,
  verdict text not null,
  state text not null default 'received'::text,
  tenant_id text,
  object_ids text[] not null default '{}'::text[],
  run integer not null default 1,
  attempts integer not null default 0,
  next_attempt_at timestamp with time zone not null default now(),
  lease_token text,
  lease_until timestamp with time zone,
  last_error text,
  last_failed_at timestamp with time zone,
  handled_at timestamp with time zone,
  replayed_at timestamp with time zone,
  raw_dropped_at timestamp with time zone,
  constraint events_pkey PRIMARY KEY (id),
  constraint events_provider_key UNIQUE (provider, account, event_id),
  constraint events_lease_check CHECK ((((state = 'leased'::text) = (lease_token IS NOT NULL)) AND ((state = 'leased'::text) = (lease_until IS NOT NULL)))),
  constraint events_state_check CHECK ((state = ANY (ARRAY['received'::text, 'ready'::text, 'leased'::text, 'done'::text, 'ignored'::text, 'unmatched'::text, 'dead'::text]))),
  constraint events_tenant_check CHECK (((state <> ALL (ARRAY['ready'::text, 'leased'::text, 'done'::text])) OR (tenant_id IS NOT NULL)))
);
CREATE INDEX events_failed ON inbox.events USING btree (last_failed_at) WHERE (last_failed_at IS NOT NULL);
CREATE INDEX events_leased ON inbox.events USING btree (lease_until) WHERE (state = 'leased'::text);
CREATE INDEX events_ready ON inbox.events USING btree (tenant_id, next_attempt_at) WHERE (state = 'ready'::text);
CREATE INDEX events_received ON inbox.events USING btree (next_attempt_at) WHERE (state = 'received'::text);
CREATE INDEX events_stopped ON inbox.events USING btree (state, id) WHERE (state = ANY (ARRAY['ignored'::text, 'unmatched'::text, 'dead'::text]));
CREATE INDEX events_with_payload ON inbox.events USING btree (received_at) WHERE ((raw_dropped_at IS NULL) AND (state = ANY (ARRAY['done'::text, 'ignored'::text, 'unmatched'::text])));
CREATE INDEX events_without_payload ON inbox.events USING btree (received_at) WHERE (raw_dropped_at IS NOT NULL);
grant select on inbox.events to klar_ops;
grant select on inbox.events to klar_worker;
grant select (id, provider, account, event_id, type, livemode, received_at, verdict, state, tenant_id, object_ids, run, attempts, next_attempt_at, lease_until, last_error, last_failed_at, handled_at, replayed_at, raw_dropped_at), update (state, run, attempts, next_attempt_at, last_error, replayed_at) on inbox.events to klar_api;
grant insert (id, provider, account, event_id, type, livemode, raw, received_at, verdict) on inbox.events to klar_ingest;
grant update (state, run, attempts, next_attempt_at, last_error, replayed_at) on inbox.events to klar_ops;
grant update (state, tenant_id, object_ids, attempts, next_attempt_at, lease_token, lease_until, last_error, last_failed_at, handled_at) on inbox.events to klar_worker;

-- ops.backups
create table ops.backups (
  id text not null,
  store text not null,
  started_at timestamp with time zone not null,
  snapshot_at timestamp with time zone not null,
  committed_at timestamp with time zone not null,
  bytes bigint not null,
  schema_version integer not null,
  encrypted boolean not null,
  detail jsonb not null default '{}'::jsonb,
  pruned_at timestamp with time zone,
  constraint backups_pkey PRIMARY KEY (id),
  constraint backups_bytes_check CHECK ((bytes >= 0)),
  constraint backups_detail_check CHECK ((jsonb_typeof(detail) = 'object'::text))
);
CREATE INDEX backups_by_time ON ops.backups USING btree (committed_at);
grant delete on ops.backups to klar_cleanup;
grant insert, select, update on ops.backups to klar_ops;
grant select on ops.backups to klar_worker;
grant select (id, pruned_at) on ops.backups to klar_cleanup;

-- ops.controller_terms
create table ops.controller_terms (
  lease text not null,
  token bigint not null,
  raised_at timestamp with time zone not null default clock_timestamp(),
  constraint controller_terms_pkey PRIMARY KEY (lease),
  constraint controller_terms_lease_check CHECK ((lease ~ '^[a-z0-9][a-z0-9.-]{0,252}$'::text)),
  constraint controller_terms_token_check CHECK ((token > 0))
);
grant select on ops.controller_terms to klar_controller;
grant select on ops.controller_terms to klar_ops;

-- ops.flag_sets
create table ops.flag_sets (
  sequence bigint not null,
  version text not null,
  document text not null,
  applied_at timestamp with time zone not null default clock_timestamp(),
  term bigint not null,
  changed_by text,
  constraint flag_sets_pkey PRIMARY KEY (sequence),
  constraint flag_sets_changed_by_check CHECK ((length(changed_by) <= 200)),
  constraint flag_sets_document_check CHECK ((octet_length(document) <= 1048576)),
  constraint flag_sets_sequence_check CHECK ((sequence > 0)),
  constraint flag_sets_version_check CHECK ((version ~ '^[0-9a-f]{12}$'::text))
);
grant delete on ops.flag_sets to klar_cleanup;
grant insert, select on ops.flag_sets to klar_controller;
grant select on ops.flag_sets to klar_ops;
grant select (sequence, applied_at) on ops.flag_sets to klar_cleanup;

-- ops.migration_checksums
create table ops.migration_checksums (
  name text not null,
  sha256 text not null,
  applied_at timestamp with time zone not null default now(),
  constraint migration_checksums_pkey PRIMARY KEY (name)
);

-- ops.migrations
create table ops.migrations (
  id integer not null default nextval('ops.migrations_id_seq'::regclass),
  name character varying(255) not null,
  run_on timestamp without time zone not null,
  constraint migrations_pkey PRIMARY KEY (id)
);

-- ops.platform_admins
create table ops.platform_admins (
  person_id text not null,
  permissions text[] not null,
  granted_by text not null,
  granted_at timestamp with time zone not null default now(),
  constraint platform_admins_pkey PRIMARY KEY (person_id)
);
grant select on ops.platform_admins to klar_api;
grant delete, insert, select, update on ops.platform_admins to klar_ops;

-- ops.restore_proofs
create table ops.restore_proofs (
  id text not null,
  backup_id text not null,
  started_at timestamp with time zone not null,
  finished_at timestamp with time zone not null,
  ok boolean not null,
  rto_seconds double precision,
  rpo_seconds double precision,
  checks jsonb not null default '[]'::jsonb,
  constraint restore_proofs_pkey PRIMARY KEY (id),
  constraint restore_proofs_id_check CHECK ((id ~~ 'prf\_%'::text)),
  constraint restore_proofs_rpo_seconds_check CHECK ((rpo_seconds >= (0)::double precision)),
  constraint restore_proofs_rto_seconds_check CHECK ((rto_seconds >= (0)::double precision))
);
CREATE INDEX restore_proofs_by_time ON ops.restore_proofs USING btree (finished_at);
grant delete on ops.restore_proofs to klar_cleanup;
grant insert, select on ops.restore_proofs to klar_ops;
grant select on ops.restore_proofs to klar_worker;
grant select (id, finished_at, ok) on ops.restore_proofs to klar_cleanup;

-- ops.rotation_requests
create table ops.rotation_requests (
  id text not null,
  secret text not null,
  action text not null,
  emergency boolean not null default false,
  reason text,
  requested_by text not null,
  requested_at timestamp with time zone not null default clock_timestamp(),
  taken_at timestamp with time zone,
  accepted boolean,
  answer text,
  constraint rotation_requests_pkey PRIMARY KEY (id),
  constraint rotation_requests_action_check CHECK ((action = ANY (ARRAY['rotate'::text, 'cancel'::text, 'rollback'::text]))),
  constraint rotation_requests_answer_check CHECK ((length(answer) <= 1000)),
  constraint rotation_requests_check CHECK (((taken_at IS NULL) = (accepted IS NULL))),
  constraint rotation_requests_id_check CHECK ((id ~~ 'rrq\_%'::text)),
  constraint rotation_requests_reason_check CHECK ((length(reason) <= 500)),
  constraint rotation_requests_requested_by_check CHECK ((length(requested_by) <= 200)),
  constraint rotation_requests_secret_check CHECK ((secret ~ '^[A-Z][A-Z0-9_]{1,62}$'::text))
);
CREATE INDEX rotation_requests_by_time ON ops.rotation_requests USING btree (requested_at);
CREATE INDEX rotation_requests_open ON ops.rotation_requests USING btree (requested_at) WHERE (taken_at IS NULL);
grant delete on ops.rotation_requests to klar_cleanup;
grant select, update on ops.rotation_requests to klar_controller;
grant insert, select on ops.rotation_requests to klar_ops;
grant select (id, requested_at) on ops.rotation_requests to klar_cleanup;

-- ops.rotation_steps
create table ops.rotation_steps (
  rotation_id text not null,
  number integer not null,
  at timestamp with time zone not null default clock_timestamp(),
  step text not null,
  event text not null,
  note text,
  term bigint not null,
  constraint rotation_steps_pkey PRIMARY KEY (rotation_id, number),
  constraint rotation_steps_rotation_id_fkey FOREIGN KEY (rotation_id) REFERENCES ops.rotations(id) ON DELETE CASCADE,
  constraint rotation_steps_event_check CHECK ((event = ANY (ARRAY['begun'::text, 'acted'::text, 'waits'::text, 'failed'::text, 'asked'::text, 'ended'::text]))),
  constraint rotation_steps_note_check CHECK ((length(note) <= 1000))
);
grant insert, select on ops.rotation_steps to klar_controller;
grant select on ops.rotation_steps to klar_ops;

-- ops.rotations
create table ops.rotations (
  id text not null,
  secret text not null,
  kind text not null,
  step text not null,
  acted boolean not null default false,
  outcome text,
  from_generation text not null,
  to_generation text,
  emergency boolean not null default false,
  soak_s integer not null,
  quiet_s integer not null,
  was_active boolean not null default false,
  back boolean not null default false,
  started_at timestamp with time zone not null default clock_timestamp(),
  step_since timestamp with time zone not null default clock_timestamp(),
  finished_at timestamp with time zone,
  started_by text not null,
  reason text,
  waiting text,
  term bigint not null,
  constraint rotations_pkey PRIMARY KEY (id),
  constraint rotations_check CHECK (((outcome IS NULL) = (finished_at IS NULL))),
  constraint rotations_check1 CHECK ((to_generation IS DISTINCT FROM from_generation)),
  constraint rotations_from_generation_check CHECK ((length(from_generation) <= 64)),
  constraint rotations_id_check CHECK ((id ~~ 'rot\_%'::text)),
  constraint rotations_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'rolled_back'::text, 'abandoned'::text]))),
  constraint rotations_quiet_s_check CHECK ((quiet_s >= 0)),
  constraint rotations_reason_check CHECK ((length(reason) <= 500)),
  constraint rotations_secret_check CHECK ((secret ~ '^[A-Z][A-Z0-9_]{1,62}$'::text)),
  constraint rotations_soak_s_check CHECK ((soak_s >= 0)),
  constraint rotations_started_by_check CHECK ((length(started_by) <= 200)),
  constraint rotations_step_check CHECK ((step = ANY (ARRAY['creating'::text, 'provisioning'::text, 'distributing'::text, 'testing'::text, 'activating'::text, 'soaking'::text, 'retiring'::text, 'verifying'::text, 'reverting'::text, 'draining'::text, 'withdrawing'::text]))),
  constraint rotations_to_generation_check CHECK ((length(to_generation) <= 64)),
  constraint rotations_waiting_check CHECK ((length(waiting) <= 1000))
);
CREATE INDEX rotations_by_secret ON ops.rotations USING btree (secret, started_at);
CREATE INDEX rotations_ended ON ops.rotations USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE UNIQUE INDEX rotations_running ON ops.rotations USING btree (secret) WHERE (outcome IS NULL);
grant delete on ops.rotations to klar_cleanup;
grant insert, select, update on ops.rotations to klar_controller;
grant select on ops.rotations to klar_ops;
grant select (id, secret, finished_at) on ops.rotations to klar_cleanup;

-- ops.secret_states
create table ops.secret_states (
  secret text not null,
  kind text not null,
  generation text not null,
  since timestamp with time zone not null default clock_timestamp(),
  due_at timestamp with time zone,
  reason text not null,
  message text not null,
  observed_at timestamp with time zone not null default clock_timestamp(),
  constraint secret_states_pkey PRIMARY KEY (secret),
  constraint secret_states_message_check CHECK ((length(message) <= 2000))
);
grant delete, insert, select, update on ops.secret_states to klar_controller;
grant select on ops.secret_states to klar_ops;

-- ops.task_runs
create table ops.task_runs (
  id text not null,
  task text not null,
  scheduled_for timestamp with time zone,
  status text not null,
  by_hand boolean not null,
  attempt integer not null default 1,
  started_at timestamp with time zone not null default clock_timestamp(),
  finished_at timestamp with time zone,
  lease_until timestamp with time zone,
  runner text,
  detail jsonb not null default '{}'::jsonb,
  error text,
  schedule text,
  constraint task_runs_pkey PRIMARY KEY (id),
  constraint task_runs_attempt_check CHECK ((attempt >= 0)),
  constraint task_runs_check CHECK (((status = 'running'::text) = (finished_at IS NULL))),
  constraint task_runs_check1 CHECK (((status = 'running'::text) = (lease_until IS NOT NULL))),
  constraint task_runs_check2 CHECK (((status <> 'running'::text) OR (runner IS NOT NULL))),
  constraint task_runs_check3 CHECK ((by_hand OR (scheduled_for IS NOT NULL))),
  constraint task_runs_detail_check CHECK (((jsonb_typeof(detail) = 'object'::text) AND (octet_length((detail)::text) <= 65536))),
  constraint task_runs_error_check CHECK ((length(error) <= 1000)),
  constraint task_runs_id_check CHECK ((id ~~ 'run\_%'::text)),
  constraint task_runs_status_check CHECK ((status = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'missed'::text]))),
  constraint task_runs_task_check CHECK ((task ~ '^[a-z][a-z0-9-]{0,62}$'::text))
);
CREATE INDEX task_runs_by_task ON ops.task_runs USING btree (task, started_at);
CREATE INDEX task_runs_ended ON ops.task_runs USING btree (finished_at) WHERE (finished_at IS NOT NULL);
CREATE INDEX task_runs_running ON ops.task_runs USING btree (task) WHERE (status = 'running'::text);
CREATE UNIQUE INDEX task_runs_tick ON ops.task_runs USING btree (task, scheduled_for) WHERE (scheduled_for IS NOT NULL);
grant delete on ops.task_runs to klar_cleanup;
grant insert, select, update on ops.task_runs to klar_ops;
grant select on ops.task_runs to klar_worker;
grant select (id, task, status, finished_at) on ops.task_runs to klar_cleanup;

-- ops.worker_heartbeats
create table ops.worker_heartbeats (
  worker_id text not null,
  started_at timestamp with time zone not null,
  beat_at timestamp with time zone not null default now(),
  constraint worker_heartbeats_pkey PRIMARY KEY (worker_id)
);
grant delete on ops.worker_heartbeats to klar_cleanup;
grant select on ops.worker_heartbeats to klar_ops;
grant delete, insert, select, update on ops.worker_heartbeats to klar_worker;
grant select (worker_id, beat_at) on ops.worker_heartbeats to klar_cleanup;

-- routing.api_keys
create table routing.api_keys (
  prefix text not null,
  tenant_id text not null,
  constraint api_keys_pkey PRIMARY KEY (prefix)
);
grant insert, select on routing.api_keys to klar_api;
grant delete on routing.api_keys to klar_cleanup;
grant select (prefix, tenant_id) on routing.api_keys to klar_cleanup;

-- routing.invitations
create table routing.invitations (
  token_hash bytea not null,
  tenant_id text not null,
  constraint invitations_pkey PRIMARY KEY (token_hash),
  constraint invitations_token_hash_check CHECK ((length(token_hash) = 32))
);
grant insert, select on routing.invitations to klar_api;
grant delete on routing.invitations to klar_cleanup;
grant select (token_hash, tenant_id) on routing.invitations to klar_cleanup;

-- routing.person_tenants
create table routing.person_tenants (
  person_id text not null,
  tenant_id text not null,
  constraint person_tenants_pkey PRIMARY KEY (person_id, tenant_id)
);
grant delete, insert, select on routing.person_tenants to klar_api;
grant select on routing.person_tenants to klar_cleanup;
grant select on routing.person_tenants to klar_ops;
grant select on routing.person_tenants to klar_worker;

-- routing.provider_objects
create table routing.provider_objects (
  provider text not null,
  account text not null default ''::text,
  object_id text not null,
  tenant_id text not null,
  created_at timestamp with time zone not null default now(),
  constraint provider_objects_pkey PRIMARY KEY (provider, account, object_id)
);
grant insert, select on routing.provider_objects to klar_api;
grant insert, select on routing.provider_objects to klar_worker;

-- routing.tenants
create table routing.tenants (
  slug text not null,
  tenant_id text not null,
  created_at timestamp with time zone not null default now(),
  billing_state text not null default 'active'::text,
  blocked boolean not null default false,
  constraint tenants_pkey PRIMARY KEY (slug),
  constraint tenants_tenant_id_key UNIQUE (tenant_id)
);
CREATE INDEX tenants_by_state ON routing.tenants USING btree (billing_state, blocked, tenant_id);
grant insert, select on routing.tenants to klar_api;
grant select on routing.tenants to klar_cleanup;
grant select on routing.tenants to klar_ops;
grant select on routing.tenants to klar_worker;
grant update (billing_state, blocked) on routing.tenants to klar_api;
grant select (tenant_id) on routing.tenants to klar_controller;

-- app.current_tenant()
CREATE OR REPLACE FUNCTION app.current_tenant()
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$
declare
  tenant text := current_setting('app.tenant_id', true);
begin
  if tenant is null or tenant = '' then
    raise exception 'no tenant is set in this transaction' using errcode = 'KL001';
  end if;
  return tenant;
end
$function$;
grant execute on function app.current_tenant() to klar_api;
grant execute on function app.current_tenant() to klar_cleanup;
grant execute on function app.current_tenant() to klar_controller;
grant execute on function app.current_tenant() to klar_ops;
grant execute on function app.current_tenant() to klar_worker;

-- app.tenant_table(text)
CREATE OR REPLACE FUNCTION app.tenant_table(table_name text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog'
AS $function$
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
$function$;

-- auth.record_revocation()
CREATE OR REPLACE FUNCTION auth.record_revocation()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  insert into auth.revoked_sessions (session_id, until)
    values (old.session_id, clock_timestamp() + interval '7 minutes')
    on conflict (session_id) do nothing;
  return null;
end
$function$;

-- inbox.count_old_events(integer,boolean)
CREATE OR REPLACE FUNCTION inbox.count_old_events(older_than_days integer, with_payload boolean)
 RETURNS bigint
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select count(*) from inbox.events e
   where (e.raw_dropped_at is null) = with_payload and e.state in ('done', 'ignored', 'unmatched')
     and e.received_at < now() - make_interval(days => older_than_days)
$function$;
grant execute on function inbox.count_old_events(integer,boolean) to klar_cleanup;

-- inbox.drop_payloads(integer,integer)
CREATE OR REPLACE FUNCTION inbox.drop_payloads(older_than_days integer, most integer)
 RETURNS TABLE(found bigint, purged bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function inbox.drop_payloads(integer,integer) to klar_cleanup;

-- inbox.purge_events(integer,integer)
CREATE OR REPLACE FUNCTION inbox.purge_events(older_than_days integer, most integer)
 RETURNS TABLE(found bigint, purged bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function inbox.purge_events(integer,integer) to klar_cleanup;

-- ops.check_term(text,bigint)
CREATE OR REPLACE FUNCTION ops.check_term(lease text, token bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function ops.check_term(text,bigint) to klar_controller;

-- ops.count_expired_auth(text)
CREATE OR REPLACE FUNCTION ops.count_expired_auth(what text)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function ops.count_expired_auth(text) to klar_cleanup;

-- ops.end_login_sessions(text)
CREATE OR REPLACE FUNCTION ops.end_login_sessions(login text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if login !~ '^klar_(api|auth|ingest|worker|controller|backup|restore|cleanup|ops)_[ab]$' then
    raise exception 'no login whose password rotates' using errcode = '22023';
  end if;
  return (select count(*) filter (where pg_terminate_backend(a.pid)) from pg_stat_activity a where a.usename = login);
end
$function$;
alter function ops.end_login_sessions(text) owner to klar_rotator;
grant execute on function ops.end_login_sessions(text) to klar_controller;

-- ops.holds_task_run(text,text)
CREATE OR REPLACE FUNCTION ops.holds_task_run(run text, holder text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform from ops.task_runs r
    where r.id = run and r.runner = holder and r.status = 'running' and r.lease_until > clock_timestamp()
    for key share;
  return found;
end
$function$;
grant execute on function ops.holds_task_run(text,text) to klar_api;
grant execute on function ops.holds_task_run(text,text) to klar_cleanup;
grant execute on function ops.holds_task_run(text,text) to klar_ops;
grant execute on function ops.holds_task_run(text,text) to klar_worker;

-- ops.live_flags(bigint)
CREATE OR REPLACE FUNCTION ops.live_flags(known bigint)
 RETURNS TABLE(sequence bigint, version text, document text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select f.sequence, f.version, f.document from ops.flag_sets f where f.sequence > known order by f.sequence desc limit 1
$function$;
grant execute on function ops.live_flags(bigint) to klar_api;
grant execute on function ops.live_flags(bigint) to klar_controller;
grant execute on function ops.live_flags(bigint) to klar_ingest;
grant execute on function ops.live_flags(bigint) to klar_worker;

-- ops.purge_auth(text,integer)
CREATE OR REPLACE FUNCTION ops.purge_auth(what text, most integer)
 RETURNS TABLE(found bigint, purged bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function ops.purge_auth(text,integer) to klar_cleanup;

-- ops.schema_version()
CREATE OR REPLACE FUNCTION ops.schema_version()
 RETURNS integer
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(max(left(name, 4)::integer), 0) from ops.migrations
$function$;
grant execute on function ops.schema_version() to klar_api;
grant execute on function ops.schema_version() to klar_auth;
grant execute on function ops.schema_version() to klar_cleanup;
grant execute on function ops.schema_version() to klar_controller;
grant execute on function ops.schema_version() to klar_ingest;
grant execute on function ops.schema_version() to klar_ops;
grant execute on function ops.schema_version() to klar_worker;

-- ops.set_login_verifier(text,text)
CREATE OR REPLACE FUNCTION ops.set_login_verifier(login text, verifier text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
alter function ops.set_login_verifier(text,text) owner to klar_rotator;
grant execute on function ops.set_login_verifier(text,text) to klar_controller;

-- ops.status_numbers()
CREATE OR REPLACE FUNCTION ops.status_numbers()
 RETURNS TABLE(worker_heartbeat_age_s double precision, webhook_failures_1h bigint, jobs_failed_1h bigint, queue_depth bigint, dead_letters bigint, inbox_depth bigint, inbox_oldest_ready_s double precision)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
grant execute on function ops.status_numbers() to klar_api;
grant execute on function ops.status_numbers() to klar_ops;
grant execute on function ops.status_numbers() to klar_worker;

-- ops.task_numbers()
CREATE OR REPLACE FUNCTION ops.task_numbers()
 RETURNS TABLE(task_failures_24h bigint, oldest_task_success_age_s double precision)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select
    (select count(*) from ops.task_runs r where r.status = 'failed' and r.finished_at > now() - interval '24 hours'),
    (select max(extract(epoch from clock_timestamp() - t.since))::double precision
       from (
         select coalesce(max(r.finished_at) filter (where r.status = 'succeeded'), min(r.started_at)) as since
           from ops.task_runs r
          group by r.task
         having max(r.scheduled_for) > now() - interval '40 days'
       ) t)
$function$;
grant execute on function ops.task_numbers() to klar_api;
grant execute on function ops.task_numbers() to klar_ops;
grant execute on function ops.task_numbers() to klar_worker;

-- pgboss: grants
grant select on pgboss.bam to klar_ops;
grant delete, insert, select, update on pgboss.bam to klar_worker;
grant insert on pgboss.job to klar_api;
grant select on pgboss.job to klar_ops;
grant delete, insert, select, update on pgboss.job to klar_worker;
grant insert on pgboss.job_common to klar_api;
grant select on pgboss.job_common to klar_ops;
grant delete, insert, select, update on pgboss.job_common to klar_worker;
grant select on pgboss.job_dependency to klar_ops;
grant delete, insert, select, update on pgboss.job_dependency to klar_worker;
grant select on pgboss.queue to klar_api;
grant select on pgboss.queue to klar_ops;
grant delete, insert, select, update on pgboss.queue to klar_worker;
grant select on pgboss.queue_stats to klar_ops;
grant delete, insert, select, update on pgboss.queue_stats to klar_worker;
grant select on pgboss.schedule to klar_ops;
grant delete, insert, select, update on pgboss.schedule to klar_worker;
grant select on pgboss.subscription to klar_ops;
grant delete, insert, select, update on pgboss.subscription to klar_worker;
grant select on pgboss.version to klar_api;
grant select on pgboss.version to klar_ops;
grant delete, insert, select, update on pgboss.version to klar_worker;
grant select on pgboss.warning to klar_ops;
grant delete, insert, select, update on pgboss.warning to klar_worker;
grant select (id, name, state, start_after) on pgboss.job to klar_api;
grant select (id, name, state, start_after) on pgboss.job_common to klar_api;
grant execute on function pgboss.job_now() to klar_api;
grant execute on function pgboss.job_now() to klar_ops;
grant execute on function pgboss.job_now() to klar_worker;
