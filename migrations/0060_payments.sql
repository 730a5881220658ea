-- Payments, attempts, refunds, provider customers, incidents.
--
-- Amounts are the truth: an attempt carries what its provider object captured, gave back and lost; a payment carries the
-- sums over its attempts; state is a function of both (services/domain/payments/state.ts).

create table app.payments (
  tenant_id       text        not null,
  id              text        not null,
  order_id        text        not null,
  person_id       text        not null,
  currency        text        not null check (currency ~ '^[A-Z]{3}$'),
  due             bigint      not null check (due between 1 and 9007199254740991),
  captured        bigint      not null default 0 check (captured >= 0),
  refunded        bigint      not null default 0 check (refunded between 0 and captured),
  disputed        bigint      not null default 0 check (disputed between 0 and captured),
  lost            bigint      not null default 0 check (lost between 0 and captured),
  state           text        not null default 'created' check (state in ('created', 'pending', 'unknown', 'paid',
                    'failed', 'expired', 'refunded', 'partially_refunded', 'disputed')),
  paid_attempt_id text,
  version         integer     not null default 1,
  created_at      timestamptz not null,
  updated_at      timestamptz not null,
  paid_at         timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id),
  constraint payments_one_per_order unique (tenant_id, order_id),
  -- Money that has come in never looks unpaid, and no state claims money that has not.
  check ((state in ('paid', 'refunded', 'partially_refunded', 'disputed')) = (captured > 0))
);
create index payments_by_state on app.payments (tenant_id, state, id);

create table app.payment_attempts (
  tenant_id         text        not null,
  id                text        not null,
  payment_id        text        not null,
  order_id          text        not null,
  provider          text        not null check (provider in ('stripe', 'bakong')),
  account           text        not null default '',
  livemode          boolean     not null,
  ui_mode           text        not null check (ui_mode in ('hosted_page', 'embedded_page', 'elements', 'form', 'qr')),
  state             text        not null check (state in ('created', 'unknown', 'open', 'expiring', 'pending', 'held',
                      'paid', 'failed', 'expired', 'void')),
  -- Why an attempt that is not paid ended: replaced, canceled, refused, timed out, declined.
  close_reason      text,
  amount            bigint      not null check (amount between 1 and 9007199254740991),
  currency          text        not null check (currency ~ '^[A-Z]{3}$'),
  -- Exactly what is sent to the provider, so that a repeat with the same key is the same request.
  request           jsonb       not null,
  session_id        text,
  payment_intent_id text,
  charge_id         text,
  url               text,
  client_secret     text,
  expires_at        timestamptz,
  captured          bigint      not null default 0 check (captured >= 0),
  refunded          bigint      not null default 0 check (refunded between 0 and captured),
  disputed          bigint      not null default 0 check (disputed between 0 and captured),
  lost              bigint      not null default 0 check (lost between 0 and captured),
  duplicate         boolean     not null default false,
  method_type       text,
  method_brand      text,
  method_last4      text,
  receipt_url       text,
  last_error        text,
  -- One caller at a time talks to the provider about an attempt; the lease ends by database time.
  lease_token       text,
  lease_until       timestamptz,
  version           integer     not null default 1,
  created_at        timestamptz not null,
  updated_at        timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references app.payments (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id),
  constraint payment_attempts_session unique (tenant_id, provider, account, session_id)
);
-- At most one open attempt per order over all providers: the guard against charging twice.
create unique index payment_attempts_one_open on app.payment_attempts (tenant_id, order_id)
  where state in ('created', 'unknown', 'open', 'expiring', 'pending', 'held');
-- Events about a charge name its payment intent, not the session.
create unique index payment_attempts_intent on app.payment_attempts (tenant_id, provider, account, payment_intent_id)
  where payment_intent_id is not null;
create index payment_attempts_of_order on app.payment_attempts (tenant_id, order_id, id);
create index payment_attempts_of_payment on app.payment_attempts (tenant_id, payment_id, id);

create table app.refunds (
  tenant_id          text        not null,
  id                 text        not null,
  payment_id         text        not null,
  attempt_id         text        not null,
  order_id           text        not null,
  amount             bigint      not null check (amount between 1 and 9007199254740991),
  currency           text        not null check (currency ~ '^[A-Z]{3}$'),
  reason             text        not null check (reason in ('duplicate', 'requested')),
  state              text        not null check (state in ('created', 'unknown', 'pending', 'succeeded', 'failed')),
  provider_refund_id text,
  last_error         text,
  version            integer     not null default 1,
  created_at         timestamptz not null,
  updated_at         timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, payment_id) references app.payments (tenant_id, id),
  foreign key (tenant_id, attempt_id) references app.payment_attempts (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id)
);
-- Money that came twice goes back once.
create unique index refunds_duplicate_once on app.refunds (tenant_id, attempt_id) where reason = 'duplicate';
create index refunds_of_payment on app.refunds (tenant_id, payment_id, id);

create table app.provider_customers (
  tenant_id   text        not null references app.tenants (tenant_id),
  provider    text        not null,
  account     text        not null default '',
  person_id   text        not null,
  customer_id text        not null,
  created_at  timestamptz not null,
  primary key (tenant_id, provider, account, person_id)
);

-- What a person has to look at: a mismatch that was not fulfilled, money that came twice.
create table app.payment_incidents (
  tenant_id   text        not null references app.tenants (tenant_id),
  id          text        not null,
  kind        text        not null check (kind in ('mismatch', 'duplicate_money', 'already_had', 'refund_failed')),
  -- One incident per fact, however often its events are replayed.
  dedupe_key  text        not null,
  order_id    text        not null,
  payment_id  text        not null,
  attempt_id  text        not null,
  details     jsonb       not null,
  created_at  timestamptz not null,
  resolved_at timestamptz,
  resolved_by text,
  primary key (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id),
  foreign key (tenant_id, payment_id) references app.payments (tenant_id, id),
  foreign key (tenant_id, attempt_id) references app.payment_attempts (tenant_id, id),
  constraint payment_incidents_once unique (tenant_id, dedupe_key)
);
create index payment_incidents_open on app.payment_incidents (tenant_id, id) where resolved_at is null;

select app.tenant_table('app.payments');
select app.tenant_table('app.payment_attempts');
select app.tenant_table('app.refunds');
select app.tenant_table('app.provider_customers');
select app.tenant_table('app.payment_incidents');

grant select, insert, update on app.payments, app.payment_attempts, app.refunds, app.provider_customers,
  app.payment_incidents to klar_api, klar_worker;
