import { type Db, sqlState } from '#platform/db/index.ts';
import {
  countTenantRows,
  readAsTenant,
  readTenantTables,
  readWithoutTenant,
  type TenantRows,
} from '../store/tenant-view.ts';
import type { Finding } from './proof-compare.ts';

/** A tenant that cannot exist: whoever asks as it sees nothing. */
const NOBODY = 'ten_nobody';

/** Tenants that are looked at besides those that the tables need. */
const SAMPLE = 20;

/**
 * What a tenant's owner would see on the restored database: as klar_api, with the tenant set as a request does it. For
 * a sample in which every table has rows, that is exactly the tenant's rows; for a tenant without rows it is nothing;
 * without a tenant it is an error.
 * @param db of a login that row level security does not hold and that may become klar_api
 */
export async function checkTenants(db: Db): Promise<{ findings: Finding[]; tenants: number; tables: number }> {
  const { tables, counts } = await db.withTx(
    async (tx) => {
      const found = await readTenantTables(tx);
      return { tables: found, counts: await countTenantRows(tx, found) };
    },
    { readOnly: true },
  );
  const findings: Finding[] = [];
  const wrong = (detail: string) => findings.push({ code: 'proof_tenants', detail });
  const sample = sampleTenants(counts);
  if (tables.length === 0) wrong('klar_api may read no table of the tenants.');
  const expected = new Map(counts.map((count) => [`${count.name} ${count.tenant_id}`, count.rows]));
  for (const tenant of tables.length === 0 ? [] : [...sample, NOBODY]) {
    const seen = await db
      .withTenantTx(tenant, (tx) => readAsTenant(tx, tables), { readOnly: true })
      .catch((error: unknown) => {
        if (sqlState(error) === undefined) throw error;
        wrong(`${tenant} can not read its tables: ${(error as Error).message}`);
        return [];
      });
    for (const { name, rows, strange } of seen) {
      const own = expected.get(`${name} ${tenant}`) ?? 0;
      if (strange > 0) wrong(`${tenant} sees ${strange} rows of other tenants in ${name}.`);
      else if (rows !== own) wrong(`${tenant} sees ${rows} of its ${own} rows in ${name}.`);
    }
  }
  for (const table of tables) {
    if (!counts.some((count) => count.name === table.name)) continue;
    const raised = await db
      .withTx((tx) => readWithoutTenant(tx, table), { readOnly: true })
      .then(() => undefined, sqlState);
    if (raised !== 'KL001') wrong(`${table.name} can be read without a tenant.`);
  }
  return { findings, tenants: sample.length, tables: tables.length };
}

/** For each table the tenant with the most rows, then the tenants with the most rows over all, up to a bound. */
export function sampleTenants(counts: readonly TenantRows[], size = SAMPLE): string[] {
  const total = new Map<string, number>();
  const largest = new Map<string, TenantRows>();
  for (const count of counts) {
    total.set(count.tenant_id, (total.get(count.tenant_id) ?? 0) + count.rows);
    if (count.rows > (largest.get(count.name)?.rows ?? 0)) largest.set(count.name, count);
  }
  const byRows = [...total].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([tenant]) => tenant);
  return [...new Set([...[...largest.values()].map((count) => count.tenant_id), ...byRows.slice(0, size)])];
}
