-- Persons, their sessions and what proves who they are. Only klar_auth may touch this schema: a query that goes wrong
-- in the rest of the api can read no password hash and no session.
-- people, sessions, accounts, verifications and two_factors are the tables better-auth works on, under our names.

create table auth.people (
  id text primary key,
  -- Lower case is made by the application; the check keeps a second spelling of one mailbox out.
  email text not null check (length(email) between 3 and 254 and email !~ '[A-Z[:cntrl:][:space:]]'),
  email_verified boolean not null default false,
  name text not null check (length(name) between 1 and 200 and name !~ '[[:cntrl:]]'),
  image text,
  two_factor_enabled boolean not null default false,
  -- Tokens of outside issuers made before this moment are refused ("log out everywhere" for sessions that are not ours).
  tokens_valid_after timestamptz not null default '-infinity',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint people_email_key unique (email)
);

create table auth.sessions (
  id text primary key,
  person_id text not null references auth.people (id) on delete cascade,
  -- better-auth's own handle of the session; never leaves the process.
  token text not null unique,
  ip_address text,
  user_agent text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index sessions_by_person on auth.sessions (person_id, id);
create index sessions_by_expiry on auth.sessions (expires_at);

-- Refresh tokens of a session. No token is stored: token n is an HMAC over (session, n, seed) under a key that is not in
-- the database, so a copy of this table logs nobody in, and the key without this table does not either.
create table auth.session_families (
  session_id text primary key references auth.sessions (id) on delete cascade,
  seed bytea not null check (length(seed) = 16),
  generation integer not null default 1 check (generation > 0),
  rotated_at timestamptz not null default now(),
  grace_used boolean not null default false
);

-- Ended sessions whose access tokens may still be alive. Every api process polls it.
create table auth.revoked_sessions (
  session_id text primary key,
  until timestamptz not null
);
create index revoked_sessions_until on auth.revoked_sessions (until);

-- A trigger, because sessions end in many ways (logout, reset, reuse, expiry, a deleted person) and one that is not
-- recorded here would go on working for five minutes. Seven minutes: the access token's five, and room for clocks.
create function auth.record_revocation() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into auth.revoked_sessions (session_id, until)
    values (old.session_id, clock_timestamp() + interval '7 minutes')
    on conflict (session_id) do nothing;
  return null;
end
$$;
create trigger record_revocation after delete on auth.session_families
  for each row execute function auth.record_revocation();

create table auth.accounts (
  id text primary key,
  person_id text not null references auth.people (id) on delete cascade,
  -- 'credential' for a password, else the issuer's URL.
  provider_id text not null,
  account_id text not null,
  password text,
  access_token text,
  refresh_token text,
  id_token text,
  access_token_expires_at timestamptz,
  refresh_token_expires_at timestamptz,
  scope text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint accounts_subject_key unique (provider_id, account_id)
);
create index accounts_by_person on auth.accounts (person_id);

create table auth.verifications (
  id text primary key,
  -- SHA-256 of what the person was sent, never the token itself.
  identifier text not null,
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index verifications_by_identifier on auth.verifications (identifier);
create index verifications_by_expiry on auth.verifications (expires_at);

create table auth.two_factors (
  id text primary key,
  person_id text not null unique references auth.people (id) on delete cascade,
  secret text not null,
  backup_codes text not null,
  verified boolean not null default true,
  failed_verification_count integer not null default 0,
  locked_until timestamptz
);

-- RFC 6238 section 5.2: a code is accepted once.
create table auth.spent_codes (
  person_id text not null references auth.people (id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  expires_at timestamptz not null,
  primary key (person_id, code_hash)
);
create index spent_codes_by_expiry on auth.spent_codes (expires_at);

-- Failures per (purpose, address), addresses that do not exist included: hashed, so that the table is no address book.
create table auth.throttles (
  key bytea primary key check (length(key) = 32),
  failures integer not null default 0 check (failures >= 0),
  last_failure_at timestamptz not null default now(),
  locked_until timestamptz not null default '-infinity'
);
create index throttles_by_age on auth.throttles (last_failure_at);

-- Audit rows and mails of this schema's transactions, until they are handed to schema app by another role.
create table auth.outbox (
  id text primary key,
  payload jsonb not null,
  attempts integer not null default 0,
  next_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index outbox_due on auth.outbox (next_at, id);

grant select, insert, update, delete on auth.people, auth.sessions, auth.session_families, auth.revoked_sessions,
  auth.accounts, auth.verifications, auth.two_factors, auth.spent_codes, auth.throttles, auth.outbox to klar_auth;
