-- Services, prices, orders, order lines, fulfilments. Money is bigint minor units and an ISO 4217 code.

create table app.services (
  tenant_id        text        not null references app.tenants (tenant_id),
  id               text        not null,
  title            text        not null check (length(title) between 1 and 200),
  description      text        not null default '',
  duration_minutes integer     not null check (duration_minutes between 1 and 1440),
  status           text        not null default 'draft' check (status in ('draft', 'published')),
  created_by       text        not null,
  created_at       timestamptz not null,
  updated_at       timestamptz not null,
  primary key (tenant_id, id)
);
create index services_published on app.services (tenant_id, id) where status = 'published';

-- A new price is a new row: an order line keeps pointing at the price it was made from.
-- item_id has no foreign key, because the kinds live in different tables.
create table app.prices (
  tenant_id  text        not null references app.tenants (tenant_id),
  id         text        not null,
  item_kind  text        not null check (item_kind in ('course', 'service', 'seminar', 'credits')),
  item_id    text        not null,
  amount     bigint      not null check (amount between 0 and 9007199254740991),
  currency   text        not null check (currency ~ '^[A-Z]{3}$'),
  active     boolean     not null,
  created_at timestamptz not null,
  ended_at   timestamptz,
  primary key (tenant_id, id),
  check (active = (ended_at is null))
);
create unique index prices_one_active on app.prices (tenant_id, item_kind, item_id) where active;

create table app.orders (
  tenant_id    text        not null references app.tenants (tenant_id),
  id           text        not null,
  person_id    text        not null,
  -- The buyer as at order time: the receipt goes there, and a worker may not read the people themselves.
  buyer_email  text        not null,
  buyer_name   text        not null default '',
  status       text        not null check (status in
                 ('pending', 'paid', 'failed', 'expired', 'refunded', 'partially_refunded', 'disputed')),
  total_amount bigint      not null check (total_amount between 0 and 9007199254740991),
  currency     text        not null check (currency ~ '^[A-Z]{3}$'),
  version      integer     not null default 1,
  -- The request that placed it: payment, enrollment and receipt carry it in their logs and audit rows.
  request_id   text,
  created_at   timestamptz not null,
  updated_at   timestamptz not null,
  paid_at      timestamptz,
  canceled_at  timestamptz,
  primary key (tenant_id, id),
  check (paid_at is not null or status in ('pending', 'failed', 'expired'))
);
create index orders_of_person on app.orders (tenant_id, person_id, id);
create index orders_by_status on app.orders (tenant_id, status, id);

create table app.order_lines (
  tenant_id   text    not null,
  id          text    not null,
  order_id    text    not null,
  position    integer not null check (position >= 1),
  kind        text    not null check (kind in ('course', 'service', 'seminar', 'credits')),
  item_id     text    not null,
  title       text    not null,
  price_id    text    not null,
  quantity    integer not null check (quantity >= 1),
  unit_amount bigint  not null check (unit_amount between 0 and 9007199254740991),
  amount      bigint  not null check (amount between 0 and 9007199254740991),
  primary key (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id),
  foreign key (tenant_id, price_id) references app.prices (tenant_id, id),
  constraint order_lines_position unique (tenant_id, order_id, position),
  check (amount = unit_amount * quantity)
);

create table app.fulfilments (
  tenant_id     text        not null,
  id            text        not null,
  order_id      text        not null,
  order_line_id text        not null,
  kind          text        not null check (kind in ('course', 'service', 'seminar', 'credits')),
  -- What was given: the enrollment of a course line, null where the fulfilment row itself is the entitlement.
  object_id     text,
  -- 'already_had': paid for a second time through another order; listed for a refund by a person.
  outcome       text        not null check (outcome in ('granted', 'already_had')),
  created_at    timestamptz not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, order_id) references app.orders (tenant_id, id),
  foreign key (tenant_id, order_line_id) references app.order_lines (tenant_id, id),
  -- An order line is fulfilled once.
  constraint fulfilments_once unique (tenant_id, order_line_id)
);
create index fulfilments_of_order on app.fulfilments (tenant_id, order_id);

select app.tenant_table('app.services');
select app.tenant_table('app.prices');
select app.tenant_table('app.orders');
select app.tenant_table('app.order_lines');
select app.tenant_table('app.fulfilments');

grant select, insert, update on app.services, app.prices to klar_api;
grant select on app.services, app.prices to klar_worker;
grant select, insert, update on app.orders to klar_api, klar_worker;
grant select, insert on app.order_lines to klar_api;
grant select on app.order_lines to klar_worker;
grant select, insert on app.fulfilments to klar_api, klar_worker;
