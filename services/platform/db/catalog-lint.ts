import { GROUP_ROLES, LOGIN_ROLES, ROTATOR_ROLE, RUN_TIME_ROLES } from './role-names.ts';
import { type Statement, statement } from './statement.ts';
import type { Db, Tx } from './types.ts';

/** One breach of the rules of the data layer. */
export interface CatalogFinding {
  rule: string;
  /** Table, function or role. */
  object: string;
  detail: string;
}

type Rule = { rule: string; find: Statement<{ object: string; detail: string }>; values?: unknown[] };

const rule = (name: string, text: string, values?: unknown[]): Rule => ({
  rule: name,
  find: statement(`catalog_lint.${name}`, text),
  ...(values === undefined ? {} : { values }),
});

const TENANT_TABLES = `pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app' and c.relkind in ('r', 'p')`;
/** What a policy of a tenant table says, as PostgreSQL prints it. */
const TENANT_POLICY = '(tenant_id = ( SELECT app.current_tenant() AS current_tenant))';
const SERVING = [
  ...RUN_TIME_ROLES,
  ...LOGIN_ROLES.filter((login) => RUN_TIME_ROLES.some((role) => login.startsWith(`${role}_`))),
];
/** Everything klar_ingest may do; see design, processes. */
const INGEST_MAY = [
  'INSERT on inbox.events',
  'EXECUTE on ops.schema_version()',
  'EXECUTE on ops.live_flags(bigint)',
  'USAGE on inbox',
  'USAGE on ops',
];

const RULES: Rule[] = [
  rule(
    'tenant_table_without_forced_rls',
    `select c.oid::regclass::text as object, 'needs ENABLE and FORCE ROW LEVEL SECURITY' as detail
     from ${TENANT_TABLES} where not (c.relrowsecurity and c.relforcerowsecurity)`,
  ),
  rule(
    'tenant_table_without_policy',
    `select c.oid::regclass::text as object, 'has no policy' as detail
     from ${TENANT_TABLES} where not exists (select from pg_policy p where p.polrelid = c.oid)`,
  ),
  rule(
    'tenant_column',
    `select c.oid::regclass::text as object, 'has no column tenant_id text not null' as detail
     from ${TENANT_TABLES} where not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'
       and a.atttypid = 'text'::regtype and a.attnotnull and not a.attisdropped)`,
  ),
  // A second permissive policy widens the first, so every policy must be the tenant's.
  rule(
    'policy_not_by_tenant',
    `select c.oid::regclass::text as object,
       format('policy %I: using %s, with check %s', p.polname, coalesce(pg_get_expr(p.polqual, p.polrelid), 'nothing'),
         coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'nothing')) as detail
     from ${TENANT_TABLES} join pg_policy p on p.polrelid = c.oid
     where p.polpermissive and (pg_get_expr(p.polqual, p.polrelid) is distinct from $1
       or pg_get_expr(p.polwithcheck, p.polrelid) is distinct from $1 or p.polcmd <> '*')`,
    [TENANT_POLICY],
  ),
  rule(
    'key_without_tenant',
    `select c.oid::regclass::text as object, format('%s %s does not begin with tenant_id', k.conname, pg_get_constraintdef(k.oid)) as detail
     from ${TENANT_TABLES} join pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'x')
     join pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1] where a.attname <> 'tenant_id'
     union all
     select c.oid::regclass::text, format('%s references %s without its tenant_id', k.conname, k.confrelid::regclass)
     from ${TENANT_TABLES} join pg_constraint k on k.conrelid = c.oid and k.contype = 'f'
     join pg_attribute a on a.attrelid = k.confrelid and a.attnum = k.confkey[1] where a.attname <> 'tenant_id'
     union all
     select c.oid::regclass::text, format('unique index %s does not begin with tenant_id', i.indexrelid::regclass)
     from ${TENANT_TABLES} join pg_index i on i.indrelid = c.oid and i.indisunique
     left join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
     where a.attname is distinct from 'tenant_id' and not exists (select from pg_constraint k where k.conindid = i.indexrelid)`,
  ),
  rule(
    'tenant_table_without_primary_key',
    `select c.oid::regclass::text as object, 'has no primary key' as detail
     from ${TENANT_TABLES} where not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')`,
  ),
  rule(
    'invalid_index',
    `select i.indexrelid::regclass::text as object, 'an interrupted CREATE INDEX CONCURRENTLY: drop it and make it again' as detail
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where not i.indisvalid and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing')`,
  ),
  rule(
    'definer_without_search_path',
    `select p.oid::regprocedure::text as object, 'SECURITY DEFINER needs SET search_path = ..., pg_temp: temporary objects of the caller come first otherwise' as detail
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema') and not exists (
       select from unnest(p.proconfig) setting
       where setting ~ '^search_path=(""|((pg_catalog|app|auth|inbox|ops|routing), )+pg_temp)$')`,
  ),
  rule(
    'definer_for_everybody',
    `select p.oid::regprocedure::text as object, 'PUBLIC may execute a SECURITY DEFINER function' as detail
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
       and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0)`,
  ),
  rule(
    'view_with_owner_rights',
    `select c.oid::regclass::text as object, 'a view needs security_invoker = true, or it reads with the rights of its owner' as detail
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('v', 'm') and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing')
       and (c.relkind = 'm' or not coalesce('security_invoker=true' = any(c.reloptions), false))`,
  ),
  rule(
    'owner',
    `select c.oid::regclass::text as object, 'belongs to ' || o.rolname || ' and not to klar_owner' as detail
     from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
     where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
       and o.rolname <> 'klar_owner'
     union all
     select p.oid::regprocedure::text, 'belongs to ' || o.rolname || ' and not to klar_owner'
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner
     where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and o.rolname <> 'klar_owner'
       and not (o.rolname = 'klar_rotator' and p.proname in ('set_login_verifier', 'end_login_sessions'))
     union all
     select n.nspname, 'belongs to ' || o.rolname || ' and not to klar_owner'
     from pg_namespace n join pg_roles o on o.oid = n.nspowner
     where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss') and o.rolname <> 'klar_owner'`,
  ),
  rule(
    'run_time_role_power',
    `select r.rolname as object, 'is superuser, bypasses row level security, creates roles or databases, or replicates' as detail
     from pg_roles r where r.rolname = any($1)
       and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication)
     union all
     select r.rolname, 'is a member of ' || g.rolname
     from pg_roles r join pg_roles g on g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'MEMBER')
     where r.rolname = any($1) and not g.rolname = any($1)
       and (g.rolname like 'klar\\_%' or g.rolname like 'pg\\_%' or g.rolsuper or g.rolbypassrls or g.rolcreaterole)
       and not (select s.rolsuper from pg_roles s where s.oid = r.oid)
     union all
     select r.rolname, 'owns ' || d.count || ' objects of this database'
     from pg_roles r join (select refobjid, count(*) from pg_shdepend
       where refclassid = 'pg_authid'::regclass and deptype = 'o' and dbid in (0, (select oid from pg_database where datname = current_database()))
       group by 1) d on d.refobjid = r.oid where r.rolname = any($1)`,
    [SERVING],
  ),
  rule(
    'run_time_role_may_truncate',
    `select c.oid::regclass::text as object, r.rolname || ' may ' || p.privilege as detail
     from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_roles r, unnest('{TRUNCATE,TRIGGER,REFERENCES}'::text[]) p(privilege)
     where r.rolname = any($1) and not r.rolsuper and c.relkind in ('r', 'p') and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss')
       and has_table_privilege(r.oid, c.oid, p.privilege)`,
    [SERVING],
  ),
  rule(
    'grant_to_everybody',
    `select c.oid::regclass::text as object, 'PUBLIC may ' || a.privilege_type as detail
     from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
     where a.grantee = 0 and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss')
     union all
     select n.nspname, 'PUBLIC may ' || a.privilege_type from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
     where a.grantee = 0 and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss', 'public')`,
  ),
  // A grant may not be passed on, nor given to a login alone: its twin would miss it after a rotation.
  rule(
    'grant_to_login',
    `select c.oid::regclass::text as object, 'is granted to the login ' || r.rolname || ' instead of its group' as detail
     from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
     where r.rolname = any($1)`,
    [LOGIN_ROLES],
  ),
  rule(
    'ingest_may_more',
    `select grants.object as object, 'klar_ingest may ' || grants.what as detail from (
       select c.oid::regclass::text as object, p.privilege || ' on ' || c.oid::regclass as what
       from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p(privilege)
       where c.relkind in ('r', 'p', 'v', 'm') and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss', 'public')
         and (has_table_privilege('klar_ingest', c.oid, p.privilege)
           or (p.privilege in ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege('klar_ingest', c.oid, p.privilege)))
       union all
       select p.oid::regprocedure::text, 'EXECUTE on ' || p.oid::regprocedure
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss', 'public') and has_function_privilege('klar_ingest', p.oid, 'EXECUTE')
       union all
       select n.nspname, p.privilege || ' on ' || n.nspname from pg_namespace n, unnest('{USAGE,CREATE}'::text[]) p(privilege)
       where n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss', 'public') and has_schema_privilege('klar_ingest', n.oid, p.privilege)
     ) grants where not grants.what = any($1)`,
    [INGEST_MAY],
  ),
  rule(
    'auth_apart',
    `select c.oid::regclass::text as object, r.rolname || ' may read it' as detail
     from pg_class c join pg_namespace n on n.oid = c.relnamespace, pg_roles r
     where c.relkind in ('r', 'p') and has_any_column_privilege(r.oid, c.oid, 'SELECT')
       and ((n.nspname = 'auth' and r.rolname = 'klar_api') or (n.nspname in ('app', 'inbox', 'routing', 'pgboss') and r.rolname = 'klar_auth'))`,
  ),
  rule(
    'missing_role',
    `select name as object, 'does not exist: run klar roles ensure' as detail from unnest($1::text[]) name
     where not exists (select from pg_roles where rolname = name)`,
    [[...GROUP_ROLES, ...LOGIN_ROLES, 'klar_owner', ROTATOR_ROLE]],
  ),
];

/** Names of all rules, for the test that injects each fault. */
export const CATALOG_RULES: readonly string[] = RULES.map((each) => each.rule);

/** Looks through the catalog for what would break isolation. Empty means sound. Any role may run it. */
export function lintCatalog(db: Db): Promise<CatalogFinding[]> {
  return db.withTx(lintCatalogIn, { readOnly: true });
}

/** The same within an open transaction, so that a test can inject a fault nobody else sees. */
export async function lintCatalogIn(tx: Tx): Promise<CatalogFinding[]> {
  const findings: CatalogFinding[] = [];
  for (const { rule: name, find, values } of RULES) {
    for (const row of await tx.rows(find, values)) findings.push({ rule: name, ...row });
  }
  return findings;
}
