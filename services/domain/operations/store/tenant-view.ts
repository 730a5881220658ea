import { statement, type TenantTx, type Tx } from '#platform/db/index.ts';
import { madeStatement } from './figures.ts';

/** A tenant table that the api reads, quoted. */
export interface TenantTable {
  name: string;
}

// Column by column, because a table may be readable in part; tenant_id is what is counted by.
const tables = statement<TenantTable>(
  'operations.tenant_view_tables',
  `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
   where n.nspname = 'app' and c.relkind in ('r', 'p') and has_column_privilege('klar_api', c.oid, a.attnum, 'SELECT')
   order by 1`,
);

/** Tables of tenants that klar_api may read. */
export function readTenantTables(tx: Tx): Promise<TenantTable[]> {
  return tx.rows(tables);
}

export interface TenantRows {
  name: string;
  tenant_id: string;
  rows: number;
}

/** Rows of every tenant in each table, past row level security. */
export async function countTenantRows(tx: Tx, of: readonly TenantTable[]): Promise<TenantRows[]> {
  const counts: TenantRows[] = [];
  for (const { name } of of) {
    const sql = `select '${name}' as name, klar_row.tenant_id, count(*) as rows from ${name} klar_row group by klar_row.tenant_id`;
    counts.push(...(await tx.rows(madeStatement<TenantRows>('operations.tenant_view_count', sql))));
  }
  return counts;
}

const becomeApi = statement('operations.tenant_view_become', `select set_config('role', 'klar_api', true)`);

/** What klar_api sees of each table in this tenant's transaction: all rows, and those of other tenants among them. */
export async function readAsTenant(
  tx: TenantTx,
  of: readonly TenantTable[],
): Promise<{ name: string; rows: number; strange: number }[]> {
  await tx.run(becomeApi);
  const parts = of.map(
    ({ name }) =>
      `select '${name}' as name, count(klar_row.tenant_id) as rows, count(klar_row.tenant_id) filter (where klar_row.tenant_id <> $1) as strange from ${name} klar_row`,
  );
  return tx.rows(madeStatement('operations.tenant_view_read', parts.join(' union all ')), [tx.tenantId]);
}

/** Reads one row of a table as klar_api without any tenant, which must raise. */
export async function readWithoutTenant(tx: Tx, { name }: TenantTable): Promise<void> {
  await tx.run(becomeApi);
  const sql = `select klar_row.tenant_id from ${name} klar_row limit 1`;
  await tx.run(madeStatement('operations.tenant_view_without', sql));
}
