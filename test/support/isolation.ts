import pg from 'pg';
import type { GroupRole } from '#platform/db/index.ts';
import { OWNER_ROLE, RUN_TIME_ROLES } from '#platform/db/setup.ts';
import type { TestDatabase } from './database.ts';

/** Two tenants that have a row in every tenant table, and one that has none. */
export const TENANTS = { own: 'ten_own', other: 'ten_other', stranger: 'ten_stranger' } as const;

export interface TenantTable {
  name: string;
  columns: {
    name: string;
    type: string;
    kind: string;
    needed: boolean;
    writable: boolean;
    first_label: string | null;
  }[];
}

/** A way in which a role got at a row of another tenant, or could act without one. Empty means isolated. */
export type Breach = string;

/** Every table of schema `app`, from the catalog, so that a new one is probed without anybody thinking of it. */
export async function tenantTables(database: TestDatabase): Promise<TenantTable[]> {
  return database.asSuperuser<TenantTable & Record<string, unknown>>(
    `select c.oid::regclass::text as name, json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
       'kind', t.typcategory, 'needed', a.attnotnull and not a.atthasdef and a.attidentity = '',
       'writable', a.attgenerated = '' and a.attidentity = '',
       'first_label', (select enumlabel from pg_enum e where e.enumtypid = t.oid order by enumsortorder limit 1)) order by a.attnum) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
     where n.nspname = 'app' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
     group by c.oid order by 1`,
  );
}

/**
 * Gives every tenant table one row per tenant. Foreign keys, checks and triggers are dropped first: they belong to the
 * modules' own tests, and without them a row can be made for a table nobody here knows.
 */
export async function fillTenantTables(database: TestDatabase, tables: TenantTable[]): Promise<void> {
  const rules = await database.asSuperuser<{ sql: string }>(
    `select format('alter table %s drop constraint %I', k.conrelid::regclass, k.conname) as sql
     from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'app' and k.contype in ('f', 'c')
     union all
     select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
     from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'app' and not t.tgisinternal`,
  );
  for (const { sql } of rules) await database.asSuperuser(sql);
  for (const table of tables) {
    await database.asSuperuser(`delete from ${table.name}`);
    for (const tenant of [TENANTS.own, TENANTS.other]) await database.asSuperuser(insertSql(table, tenant, () => true));
  }
}

/** Tenants and their rows in each of these tables, past row level security. */
export async function rowsPerTenant(
  database: TestDatabase,
  tables: readonly TenantTable[],
): Promise<{ table: string; tenant_id: string; rows: number }[]> {
  const counts = tables.map(({ name }) => `select '${name}' as "table", tenant_id from ${name}`);
  return database.asSuperuser(
    `select "table", tenant_id, count(*)::int as rows from (${counts.join(' union all ')}) counted group by 1, 2`,
  );
}

/** The run-time roles, and the owner: under FORCE it is no exception, and sees what an insert-only role cannot show. */
const PROBED = [...RUN_TIME_ROLES, OWNER_ROLE];

export interface IsolationProbe {
  /** Tries every statement of every role on these tables. */
  run(tables: TenantTable[]): Promise<Breach[]>;
  close(): Promise<void>;
}

/** Opens one connection per role. The first run finds them fresh; every later one finds them used by other tenants. */
export async function openIsolationProbe(
  database: TestDatabase,
  roles: readonly string[] = PROBED,
): Promise<IsolationProbe> {
  const clients: { role: string; client: pg.Client }[] = [];
  for (const role of roles) {
    const login = role === OWNER_ROLE ? 'klar_migrator' : role;
    const client = new pg.Client({ connectionString: database.url(login as GroupRole) });
    await client.connect();
    if (role === OWNER_ROLE) await client.query(`set role ${OWNER_ROLE}`);
    clients.push({ role, client });
  }
  let used = false;
  const probeRole = async (role: string, client: pg.Client, tables: TenantTable[]): Promise<Breach[]> => {
    const breaches: Breach[] = [];
    for (const table of tables) {
      // What a pooled connection looks like after another tenant's transactions: the setting is there, and empty, and
      // after five executions the prepared statement has one plan for whoever comes next.
      for (let i = 0; used && i < 6; i += 1) await attempt(client, TENANTS.other, await reading(client, role, table));
      for (const breach of await probeTable(client, role, table)) {
        breaches.push(`${role}${used ? ', used connection' : ''}: ${breach}`);
      }
    }
    return breaches;
  };
  return {
    run: async (tables) => {
      const breaches = await Promise.all(clients.map(({ role, client }) => probeRole(role, client, tables)));
      used = true;
      return breaches.flat();
    },
    close: async () => {
      await Promise.all(clients.map(({ client }) => client.end()));
    },
  };
}

/** Where a run-time role does not read exactly the rows of the tenant it names, on one connection for all of them. */
export async function misreadings(
  database: TestDatabase,
  tables: readonly TenantTable[],
  tenants: readonly string[],
): Promise<Breach[]> {
  const rows = await rowsPerTenant(database, tables);
  const breaches: Breach[] = [];
  const readAll = async (role: GroupRole) => {
    const client = new pg.Client({ connectionString: database.url(role) });
    await client.connect();
    for (const table of tables) {
      const may = await privileges(client, role, table);
      if (may.select.size === 0) continue;
      const read = await reading(client, role, table, may);
      for (const tenant of [...tenants, ...tenants, TENANTS.stranger, undefined]) {
        const { rows: seen, code } = await attempt(client, tenant, read);
        const all = rows.find((row) => row.table === table.name && row.tenant_id === tenant)?.rows ?? 0;
        const fine = tenant === undefined ? code === 'KL001' : seen === all;
        if (!fine) breaches.push(`${role} reads ${code ?? seen} rows of ${table.name} as ${tenant}, not ${all}`);
      }
    }
    await client.end();
  };
  await Promise.all(RUN_TIME_ROLES.map(readAll));
  return breaches;
}

async function probeTable(client: pg.Client, role: string, table: TenantTable): Promise<Breach[]> {
  const may = await privileges(client, role, table);
  const breaches: Breach[] = [];
  const expect = async (what: string, tenant: string | undefined, sql: Query, fine: (outcome: Outcome) => boolean) => {
    const outcome = await attempt(client, tenant, sql);
    if (!fine(outcome)) breaches.push(`${table.name}: ${what} gave ${outcome.code ?? `${outcome.rows} rows`}`);
  };
  const unset = (outcome: Outcome) => outcome.code === 'KL001' || outcome.code === '42501';
  const nothing = (outcome: Outcome) => outcome.rows === 0;
  const refused = (outcome: Outcome) => outcome.code === '42501';

  const read = await reading(client, role, table, may);
  const select = read.text;
  await expect('reading without a tenant', undefined, read, unset);
  await expect('reading with an empty tenant', '', read, unset);
  if (may.select.size > 0) {
    await expect('reading as a tenant without rows', TENANTS.stranger, read, nothing);
    // Exactly one: proves that the table is not empty, and that the other tenant's row stays out.
    await expect('reading as its tenant', TENANTS.own, read, (outcome) => outcome.rows === 1);
    if (may.select.has('tenant_id')) {
      await expect(
        'reading the other tenant by name',
        TENANTS.own,
        `${select} where tenant_id = '${TENANTS.other}'`,
        nothing,
      );
    }
  }
  const changeable = table.columns.find(
    (column) => may.update.has(column.name) && may.select.has(column.name) && column.writable,
  );
  if (changeable !== undefined) {
    const update = `update ${table.name} set ${changeable.name} = ${changeable.name}`;
    await expect('changing without a tenant', undefined, update, unset);
    await expect('changing as a tenant without rows', TENANTS.stranger, update, nothing);
    await expect('changing as its tenant', TENANTS.own, update, (outcome) => outcome.rows === 1);
  }
  await expect(
    'moving a row to another tenant',
    TENANTS.own,
    `update ${table.name} set tenant_id = '${TENANTS.stranger}'`,
    refused,
  );
  if (may.delete) {
    await expect('deleting without a tenant', undefined, `delete from ${table.name}`, unset);
    await expect('deleting as a tenant without rows', TENANTS.stranger, `delete from ${table.name}`, nothing);
    await expect('deleting as its tenant', TENANTS.own, `delete from ${table.name}`, (outcome) => outcome.rows === 1);
  }
  const insert = insertSql(table, TENANTS.stranger, (column) => may.insert.has(column));
  await expect('inserting without a tenant', undefined, insert, unset);
  await expect('inserting for another tenant', TENANTS.own, insert, refused);
  if (may.insert.has('tenant_id')) {
    // 23502: a column that this role may not write, and the row therefore lacks.
    const stored = (outcome: Outcome) => outcome.rows === 1 || outcome.code === '23502';
    await expect('inserting for its tenant', TENANTS.stranger, insert, stored);
  }
  if (role !== OWNER_ROLE) await expect('emptying it', TENANTS.own, `truncate ${table.name}`, refused);
  return breaches;
}

type Query = string | { name: string; text: string };

/** Reads a column that the role may read, as a prepared statement: what the application's are. */
async function reading(client: pg.Client, role: string, table: TenantTable, may?: Privileges) {
  const { select } = may ?? (await privileges(client, role, table));
  const readable = table.columns.find((column) => select.has(column.name));
  return { name: `read ${table.name}`, text: `select ${readable?.name ?? '1'} from ${table.name}` };
}

type Outcome = { rows: number | undefined; code: string | undefined };

/** Runs one statement as a tenant and takes everything back. */
async function attempt(client: pg.Client, tenant: string | undefined, sql: Query): Promise<Outcome> {
  await client.query('begin');
  try {
    if (tenant !== undefined) await client.query(`select set_config('app.tenant_id', $1, true)`, [tenant]);
    const { rowCount } = await client.query(sql);
    return { rows: rowCount ?? 0, code: undefined };
  } catch (error) {
    return { rows: undefined, code: (error as { code?: string }).code ?? String(error) };
  } finally {
    await client.query('rollback');
  }
}

type Privileges = Awaited<ReturnType<typeof privileges>>;

async function privileges(client: pg.Client, role: string, table: TenantTable) {
  const { rows } = await client
    .query(
      `select a.attname as name, has_column_privilege($1, attrelid, attnum, 'SELECT') as s, has_column_privilege($1, attrelid, attnum, 'INSERT') as i,
       has_column_privilege($1, attrelid, attnum, 'UPDATE') as u, has_table_privilege($1, attrelid, 'DELETE') as d
     from pg_attribute a where attrelid = to_regclass($2) and attnum > 0 and not attisdropped`,
      [role, table.name],
    )
    .catch(() => ({ rows: [] as { name: string; s: boolean; i: boolean; u: boolean; d: boolean }[] }));
  const names = (key: 's' | 'i' | 'u') => new Set(rows.filter((row) => row[key]).map((row) => row.name));
  return { select: names('s'), insert: names('i'), update: names('u'), delete: rows.some((row) => row.d) };
}

function insertSql(table: TenantTable, tenant: string, may: (column: string) => boolean): string {
  const columns = table.columns.filter(
    (column) => column.name === 'tenant_id' || (column.needed && column.writable && may(column.name)),
  );
  const values = columns.map((column) => (column.name === 'tenant_id' ? `'${tenant}'` : sample(column)));
  return `insert into ${table.name} (${columns.map((column) => column.name).join(', ')}) values (${values.join(', ')})`;
}

/** Any value of a column's type, by its category in pg_type. */
function sample({ type, kind, first_label }: TenantTable['columns'][number]): string {
  if (type === 'bytea') return `'\\x00'::bytea`;
  if (type === 'jsonb' || type === 'json') return `'{}'::${type}`;
  if (type === 'uuid') return 'gen_random_uuid()';
  const values: Record<string, string> = {
    N: '1',
    B: 'true',
    D: 'now()',
    T: `interval '1 s'`,
    A: `'{}'`,
    I: `'127.0.0.1'`,
    E: `'${first_label}'`,
  };
  return `${values[kind] ?? `'x'`}::${type}`;
}
