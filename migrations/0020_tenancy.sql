-- Schools, who belongs to them, who is invited, and their API keys.
-- Schema routing answers one question before a tenant is known: which tenant? It holds no personal data
-- and a row in it grants nothing.

create table routing.tenants (
  slug text primary key,
  tenant_id text not null unique,
  created_at timestamptz not null default now(),
  -- Copies of app.tenants for the platform's list; written in the same statement, never read to decide.
  billing_state text not null default 'active',
  blocked boolean not null default false
);
create index tenants_by_state on routing.tenants (billing_state, blocked, tenant_id);

create table routing.api_keys (
  prefix text primary key,
  tenant_id text not null
);

create table routing.invitations (
  token_hash bytea primary key check (length(token_hash) = 32),
  tenant_id text not null
);

create table routing.person_tenants (
  person_id text not null,
  tenant_id text not null,
  primary key (person_id, tenant_id)
);

create table app.tenants (
  tenant_id text primary key,
  slug text not null,
  name text not null check (length(name) between 1 and 120),
  open_registration boolean not null default true,
  billing_state text not null default 'active'
    check (billing_state in ('trialing', 'active', 'past_due', 'limited', 'suspended', 'closed')),
  blocked boolean not null default false,
  blocked_reason text check (length(blocked_reason) <= 500),
  blocked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (blocked = (blocked_at is not null))
);
select app.tenant_table('app.tenants');

create table app.memberships (
  tenant_id text not null references app.tenants (tenant_id),
  id text not null,
  person_id text not null,
  role text not null check (role in ('owner', 'admin', 'teacher', 'student', 'support')),
  -- Copies of the person's, so that the worker can write to members without reading schema auth.
  email text not null check (length(email) <= 254),
  name text not null check (length(name) <= 200),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id),
  unique (tenant_id, person_id)
);
select app.tenant_table('app.memberships');
create index memberships_by_role on app.memberships (tenant_id, role, id);
-- Asked before each invitation. Not unique: the copies of two persons may be equal for a while after one changed theirs.
create index memberships_by_email on app.memberships (tenant_id, email);

create table app.invitations (
  tenant_id text not null references app.tenants (tenant_id),
  id text not null,
  email text not null check (length(email) <= 254),
  role text not null check (role in ('owner', 'admin', 'teacher', 'student', 'support')),
  -- SHA-256 of the token: the token itself exists in the mail only.
  token_hash bytea not null check (length(token_hash) = 32),
  state text not null default 'pending' check (state in ('pending', 'accepted', 'revoked')),
  invited_by_kind text not null,
  invited_by_id text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by text,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, token_hash),
  check ((state = 'accepted') = (accepted_by is not null)),
  check ((state = 'revoked') = (revoked_at is not null))
);
select app.tenant_table('app.invitations');
create index invitations_by_time on app.invitations (tenant_id, created_at);
-- An address has at most one open invitation: a second link to the same role would outlive its withdrawal.
create unique index invitations_one_open on app.invitations (tenant_id, email) where state = 'pending';

create table app.api_keys (
  tenant_id text not null references app.tenants (tenant_id),
  id text not null,
  prefix text not null,
  name text not null check (length(name) between 1 and 120),
  -- v<generation>$ + AES-256-GCM of SHA-256(key) under that generation of the pepper.
  sealed_hash text not null check (sealed_hash ~ '^v[^$]+[$]'),
  scopes text[] not null,
  created_by_kind text not null,
  created_by_id text not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  revoked_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, prefix)
);
select app.tenant_table('app.api_keys');

-- Persons who run the platform. Not a tenant table: they belong to none.
create table ops.platform_admins (
  person_id text primary key,
  permissions text[] not null,
  granted_by text not null,
  granted_at timestamptz not null default now()
);

-- The platform's own rows (mails of auth, platform audit) belong to a tenant of their own that nobody can join.
-- RLS is forced on the owner too, so the migration enters that tenant like everyone else.
select set_config('app.tenant_id', 'ten_00000000000070008000000000000000', true);
insert into routing.tenants (slug, tenant_id) values ('_platform', 'ten_00000000000070008000000000000000');
insert into app.tenants (tenant_id, slug, name, open_registration)
  values ('ten_00000000000070008000000000000000', '_platform', 'Klar', false);

grant select, insert on routing.tenants, routing.api_keys, routing.invitations to klar_api;
grant update (billing_state, blocked) on routing.tenants to klar_api;
grant select, insert, delete on routing.person_tenants to klar_api;
grant select on routing.tenants, routing.person_tenants to klar_worker, klar_ops, klar_cleanup;

grant select, insert on app.tenants to klar_api;
grant update (name, open_registration, billing_state, blocked, blocked_reason, blocked_at, updated_at)
  on app.tenants to klar_api;
grant select on app.tenants to klar_worker, klar_ops, klar_cleanup;

grant select, insert, delete on app.memberships to klar_api;
grant update (role, email, name, updated_at) on app.memberships to klar_api;
grant select on app.memberships to klar_worker;

grant select, insert on app.invitations to klar_api;
grant update (state, accepted_at, accepted_by, revoked_at) on app.invitations to klar_api;

grant select, insert on app.api_keys to klar_api;
grant update (sealed_hash, last_used_at, revoked_at) on app.api_keys to klar_api;

grant select on ops.platform_admins to klar_api;
grant select, insert, update, delete on ops.platform_admins to klar_ops;
