import assert from 'node:assert/strict';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import {
  fillTenantTables,
  openIsolationProbe,
  rowsPerTenant,
  TENANTS,
  type TenantTable,
  tenantTables,
} from '../../support/isolation.ts';

describe('isolation', () => {
  let database: TestDatabase;
  let tables: TenantTable[];
  before(async () => {
    database = await createTestDatabase();
    tables = await tenantTables(database);
    await fillTenantTables(database, tables);
  });
  after(() => database.close());

  it('is probed on tables of which none is empty, for two tenants', async () => {
    const rows = await rowsPerTenant(database, tables);
    for (const { name } of tables) {
      const tenants = rows.filter(({ table }) => table === name).map(({ tenant_id }) => tenant_id);
      assert.deepEqual(tenants.sort(), [TENANTS.other, TENANTS.own], name);
    }
  });

  it('holds for every run-time role and the owner on every tenant table, on fresh and on used connections', async function () {
    this.timeout(60_000);
    assert.ok(tables.length > 10, `only ${tables.length} tables found`);
    const probe = await openIsolationProbe(database);
    try {
      assert.deepEqual(await probe.run(tables), []);
      assert.deepEqual(await probe.run(tables), []);
    } finally {
      await probe.close();
    }
  });

  it('is seen to be broken when any one table loses its policy or its row level security', async function () {
    this.timeout(120_000);
    // The owner shows also what a role that may only insert cannot.
    const probe = await openIsolationProbe(database, ['klar_api', 'klar_owner']);
    const policy = '(tenant_id = (select app.current_tenant()))';
    const wounds = (name: string) => [
      [`drop policy tenant_isolation on ${name}`, `select app.tenant_table('${name}')`],
      [`alter table ${name} disable row level security`, `alter table ${name} enable row level security`],
      [`alter table ${name} no force row level security`, `alter table ${name} force row level security`],
      // Permissive policies add up: one that is too wide undoes all others.
      [`create policy wide on ${name} for select using (true)`, `drop policy wide on ${name}`],
      [`create policy wide on ${name} for insert with check (true)`, `drop policy wide on ${name}`],
      ...['using', 'with check'].map((clause) => [
        `alter policy tenant_isolation on ${name} ${clause} (true)`,
        `alter policy tenant_isolation on ${name} ${clause} ${policy}`,
      ]),
    ];
    try {
      for (const table of tables) {
        for (const [hurt = '', heal = ''] of wounds(table.name)) {
          await database.asSuperuser(hurt);
          const breaches = await probe.run([table]);
          await database.asSuperuser(heal);
          assert.ok(breaches.length > 0, hurt);
        }
      }
      assert.deepEqual(await probe.run(tables), []);
    } finally {
      await probe.close();
    }
  });
});
