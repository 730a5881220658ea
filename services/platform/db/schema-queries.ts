import { type Statement, statement } from './statement.ts';

/** Schemas whose whole shape is in the snapshot; pg-boss makes its own tables, of those only the grants are ours. */
const OURS = `('app', 'auth', 'inbox', 'ops', 'routing')`;

/** Privileges other than the owner's, one line per grantee; the owner's differ between versions of PostgreSQL. */
const grants = (acl: string, owner: string) => `
  select coalesce(g.rolname, 'public') as grantee,
    string_agg(lower(a.privilege_type), ', ' order by a.privilege_type collate "C") as privileges
  from aclexplode(${acl}) a left join pg_roles g on g.oid = a.grantee
  where a.grantee <> ${owner} group by 1`;

export interface Grant {
  object: string;
  grantee: string;
  privileges: string;
}

export const schemas: Statement<{ name: string; owner: string }> = statement(
  'schema.schemas',
  `select n.nspname as name, o.rolname as owner from pg_namespace n join pg_roles o on o.oid = n.nspowner
   where n.nspname in ${OURS} or n.nspname = 'pgboss' order by n.nspname collate "C"`,
);

export const schemaGrants: Statement<Grant> = statement(
  'schema.schema_grants',
  `select n.nspname as object, g.grantee, g.privileges from pg_namespace n, lateral (${grants('n.nspacl', 'n.nspowner')}) g
   where n.nspname in ${OURS} or n.nspname in ('pgboss', 'public') order by (n.nspname) collate "C", g.grantee collate "C"`,
);

export interface Relation {
  name: string;
  kind: string;
  owner: string;
  rls: boolean;
  forced: boolean;
  definition: string | null;
}

export const relations: Statement<Relation> = statement(
  'schema.relations',
  `select c.oid::regclass::text as name, c.relkind as kind, o.rolname as owner, c.relrowsecurity as rls,
     c.relforcerowsecurity as forced, case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end as definition
   from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
   where n.nspname in ${OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
     and not (c.relkind = 'S' and exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i')))
   order by (c.oid::regclass::text) collate "C"`,
);

export interface Column {
  relation: string;
  name: string;
  type: string;
  required: boolean;
  default_value: string | null;
  identity: string;
  generated: string;
}

export const columns: Statement<Column> = statement(
  'schema.columns',
  `select c.oid::regclass::text as relation, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
     a.attnotnull as required, pg_get_expr(d.adbin, d.adrelid) as default_value, a.attidentity as identity,
     a.attgenerated as generated
   from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
   left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where n.nspname in ${OURS} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
   order by (c.oid::regclass::text) collate "C", a.attnum`,
);

export interface Part {
  relation: string;
  text: string;
}

// PostgreSQL 18 lists NOT NULL as constraints ('n') too; the columns say it already.
export const constraints: Statement<Part> = statement(
  'schema.constraints',
  `select k.conrelid::regclass::text as relation, format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)) as text
   from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ${OURS} and k.contype in ('p', 'u', 'f', 'c', 'x')
   order by (k.conrelid::regclass::text) collate "C", array_position('{p,u,f,c,x}'::"char"[], k.contype), k.conname collate "C"`,
);

export const indexes: Statement<Part> = statement(
  'schema.indexes',
  `select i.indrelid::regclass::text as relation, pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' -- INVALID' end as text
   from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ${OURS} and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
   order by (i.indrelid::regclass::text) collate "C", c.relname collate "C"`,
);

export const policies: Statement<Part> = statement(
  'schema.policies',
  `select p.polrelid::regclass::text as relation,
     format('create policy %I on %s as %s for %s to %s%s%s', p.polname, p.polrelid::regclass,
       case when p.polpermissive then 'permissive' else 'restrictive' end,
       case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
       (select coalesce(string_agg(coalesce(r.rolname, 'public'), ', ' order by r.rolname collate "C"), 'public')
        from unnest(p.polroles) u left join pg_roles r on r.oid = u),
       E'\\n  using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
       E'\\n  with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') as text
   from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ${OURS} order by (p.polrelid::regclass::text) collate "C", p.polname collate "C"`,
);

export const triggers: Statement<Part> = statement(
  'schema.triggers',
  `select t.tgrelid::regclass::text as relation, pg_get_triggerdef(t.oid) as text
   from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ${OURS} and not t.tgisinternal order by (t.tgrelid::regclass::text) collate "C", t.tgname collate "C"`,
);

export const relationGrants: Statement<Grant> = statement(
  'schema.relation_grants',
  `select c.oid::regclass::text as object, g.grantee, g.privileges
   from pg_class c join pg_namespace n on n.oid = c.relnamespace, lateral (${grants('c.relacl', 'c.relowner')}) g
   where (n.nspname in ${OURS} or n.nspname = 'pgboss') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
     -- pg-boss names partitions after the day it made them.
     and c.relname !~ '_20[0-9]{6}$'
   order by (c.oid::regclass::text) collate "C", g.grantee collate "C"`,
);

export const columnGrants: Statement<Grant> = statement(
  'schema.column_grants',
  `select s.object, s.grantee, string_agg(s.privilege || ' (' || s.names || ')', ', ' order by s.privilege collate "C") as privileges
   from (
     select c.oid::regclass::text as object, coalesce(g.rolname, 'public') as grantee, lower(x.privilege_type) as privilege,
       string_agg(a.attname, ', ' order by a.attnum) as names
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace,
       lateral aclexplode(a.attacl) x left join pg_roles g on g.oid = x.grantee
     where (n.nspname in ${OURS} or n.nspname = 'pgboss') and not a.attisdropped and x.grantee <> c.relowner
     group by 1, 2, 3
   ) s
   group by s.object, s.grantee order by s.object collate "C", s.grantee collate "C"`,
);

export interface Routine {
  name: string;
  owner: string;
  definer: boolean;
  config: string[] | null;
  definition: string;
}

export const routines: Statement<Routine> = statement(
  'schema.routines',
  // The migration makes them the owner's, and `klar roles ensure` hands them over when it runs next; until then they can do
  // nothing, and a rotation that needs them says so. A database between the two is as it should be.
  `select p.oid::regprocedure::text as name, p.prosecdef as definer,
     case when p.oid::regprocedure::text in ('ops.set_login_verifier(text,text)', 'ops.end_login_sessions(text)')
       and o.rolname = 'klar_owner' then 'klar_rotator' else o.rolname end as owner, p.proconfig as config,
     case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) else '' end as definition
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner
   where n.nspname in ${OURS} order by (p.oid::regprocedure::text) collate "C"`,
);

export const routineGrants: Statement<Grant> = statement(
  'schema.routine_grants',
  `select p.oid::regprocedure::text as object, g.grantee, g.privileges
   from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
     lateral (${grants(`coalesce(p.proacl, acldefault('f', p.proowner))`, 'p.proowner')}) g
   where n.nspname in ${OURS} or n.nspname = 'pgboss' order by (p.oid::regprocedure::text) collate "C", g.grantee collate "C"`,
);

export const types: Statement<{ name: string; text: string }> = statement(
  'schema.types',
  `select t.oid::regtype::text as name,
     case t.typtype
       when 'e' then 'enum (' || (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid) || ')'
       else format_type(t.typbasetype, t.typtypmod) || case when t.typnotnull then ' not null' else '' end
         || coalesce((select string_agg(' ' || pg_get_constraintdef(k.oid), '' order by k.conname collate "C")
                      from pg_constraint k where k.contypid = t.oid and k.contype = 'c'), '')
     end as text
   from pg_type t join pg_namespace n on n.oid = t.typnamespace
   where n.nspname in ${OURS} and t.typtype in ('e', 'd') order by (t.oid::regtype::text) collate "C"`,
);

export const roles: Statement<{ name: string; attributes: string; member_of: string; settings: string[] | null }> =
  statement(
    'schema.roles',
    `select r.rolname as name,
     concat_ws(' ', case when r.rolcanlogin then 'login' else 'nologin' end,
       case when r.rolsuper then 'SUPERUSER' end, case when r.rolcreatedb then 'CREATEDB' end,
       case when r.rolcreaterole then 'CREATEROLE' end, case when r.rolreplication then 'REPLICATION' end,
       case when r.rolbypassrls then 'bypassrls' end) as attributes,
     -- Not what a role merely administers: since PostgreSQL 16 CREATEROLE needs that, before it needs nothing.
     (select coalesce(string_agg(g.rolname, ', ' order by g.rolname collate "C"), '')
      from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid
        and coalesce((to_jsonb(m) ->> 'inherit_option')::bool or (to_jsonb(m) ->> 'set_option')::bool, true)) as member_of,
     (select s.setconfig from pg_db_role_setting s where s.setrole = r.oid and s.setdatabase = 0) as settings
   from pg_roles r where r.rolname like 'klar\\_%' order by r.rolname collate "C"`,
  );
