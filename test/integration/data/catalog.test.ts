import assert from 'node:assert/strict';
import { type Db, statement } from '#platform/db/index.ts';
import { CATALOG_RULES, lintCatalog, lintCatalogIn } from '#platform/db/setup.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

/** Per rule: what breaks it. Injected in a transaction that never commits, as roles belong to the whole server. */
const FAULTS: Record<string, string[][]> = {
  tenant_table_without_forced_rls: [
    ['alter table app.tenants no force row level security'],
    ['alter table app.tenants disable row level security'],
    ['create table app.forgotten (tenant_id text not null, id text not null, primary key (tenant_id, id))'],
  ],
  tenant_table_without_policy: [['drop policy tenant_isolation on app.tenants']],
  tenant_column: [
    ['create table app.global (id text primary key)'],
    ['create table app.probe (tenant_id varchar not null, id text, primary key (tenant_id, id))'],
  ],
  policy_not_by_tenant: [
    ['drop policy tenant_isolation on app.tenants', 'create policy open on app.tenants using (true) with check (true)'],
    ['create policy wide on app.tenants for select using (true)'],
    [
      'drop policy tenant_isolation on app.tenants',
      'create policy half on app.tenants using (tenant_id = (select app.current_tenant()))',
    ],
    [
      'drop policy tenant_isolation on app.tenants',
      `create policy soft on app.tenants using (tenant_id = current_setting('app.tenant_id', true))
         with check (tenant_id = current_setting('app.tenant_id', true))`,
    ],
  ],
  key_without_tenant: [
    ['create table app.probe (tenant_id text not null, id text primary key)'],
    ['create table app.probe (tenant_id text not null, id text, slug text unique, primary key (tenant_id, id))'],
    [
      'create table app.probe (tenant_id text not null, id text, primary key (tenant_id, id))',
      'create unique index probe_id on app.probe (id)',
    ],
    [
      'create table app.probe (tenant_id text not null, id text, primary key (tenant_id, id))',
      'create unique index probe_id on app.probe (lower(id))',
    ],
    [
      'create table ops.far (id text primary key)',
      'create table app.probe (tenant_id text not null, id text references ops.far, primary key (tenant_id, id))',
    ],
  ],
  tenant_table_without_primary_key: [['create table app.heap (tenant_id text not null)']],
  invalid_index: [
    [`update pg_index set indisvalid = false where indexrelid = 'ops.migration_checksums_pkey'::regclass`],
  ],
  definer_without_search_path: [
    ['create function ops.f() returns integer language sql security definer as $$ select 1 $$'],
    [
      'create function ops.f() returns integer language sql security definer set search_path = public, pg_temp as $$ select 1 $$',
    ],
    [
      'create function ops.f() returns integer language sql security definer set search_path = pg_temp, ops as $$ select 1 $$',
    ],
    ['alter function ops.schema_version() set search_path = pg_catalog'],
    ['alter function ops.schema_version() reset search_path'],
  ],
  definer_for_everybody: [['grant execute on function ops.schema_version() to public']],
  view_with_owner_rights: [
    ['create view app.everything as select * from app.tenants'],
    ['create materialized view app.everything as select 1 as one'],
  ],
  owner: [
    ['alter table app.tenants owner to klar_api'],
    ['alter function ops.schema_version() owner to klar_worker'],
    ['alter schema app owner to klar_migrator'],
  ],
  run_time_role_power: [
    ['alter role klar_api superuser'],
    ['alter role klar_worker_b bypassrls'],
    ['alter role klar_ops createrole'],
    ['grant klar_owner to klar_api'],
    ['grant klar_migrator to klar_worker_a'],
    ['grant pg_read_all_data to klar_ops'],
    ['create schema stray authorization klar_api'],
  ],
  run_time_role_may_truncate: [
    ['grant truncate on app.tenants to klar_cleanup'],
    ['grant trigger on app.tenants to klar_worker'],
    ['grant references on inbox.events to klar_api_a'],
  ],
  grant_to_everybody: [
    ['grant select on app.tenants to public'],
    ['grant usage on schema app to public'],
    ['grant create on schema public to public'],
  ],
  grant_to_login: [['grant select on app.tenants to klar_api_a']],
  ingest_may_more: [
    ['grant select on inbox.events to klar_ingest'],
    ['grant select (id) on inbox.events to klar_ingest'],
    ['grant insert on app.tenants to klar_ingest'],
    ['grant usage on schema app to klar_ingest'],
    ['grant execute on function app.current_tenant() to klar_ingest'],
    ['grant klar_worker to klar_ingest'],
  ],
  auth_apart: [
    [
      'grant usage on schema auth to klar_api',
      'create table auth.probe (id text primary key)',
      'grant select on auth.probe to klar_api',
    ],
    ['grant select (tenant_id) on app.tenants to klar_auth'],
  ],
  missing_role: [['alter role klar_ops_b rename to klar_ops_c']],
};

describe('catalog', () => {
  let database: TestDatabase;
  let superuser: Db;
  before(async () => {
    database = await createTestDatabase();
    superuser = database.db('klar_ops', { url: database.superuserUrl });
  });
  after(() => database.close());

  it('keeps every rule', async () => {
    assert.deepEqual(await lintCatalog(database.db('klar_ops')), []);
  });

  it('has a fault for every rule', () => {
    assert.deepEqual(Object.keys(FAULTS).sort(), [...CATALOG_RULES].sort());
  });

  for (const [rule, faults] of Object.entries(FAULTS)) {
    faults.forEach((sql, index) => {
      it(`finds ${rule}: ${sql.at(-1)?.slice(0, 90).replace(/\s+/g, ' ')}`, async () => {
        const undo = new Error('undo');
        let found: string[] = [];
        await assert.rejects(
          superuser.withTx(async (tx) => {
            for (const [step, text] of sql.entries())
              await tx.run(statement(`test.fault_${rule}_${index}_${step}`, text));
            found = (await lintCatalogIn(tx)).map((finding) => finding.rule);
            throw undo;
          }),
          undo,
        );
        assert.ok(found.includes(rule), `found only ${found.join(', ') || 'nothing'}`);
      });
    });
  }
});
