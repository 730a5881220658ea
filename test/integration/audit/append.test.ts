import assert from 'node:assert/strict';
import * as audit from '#domain/audit/index.ts';
import type { Db } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { withLogContext } from '#platform/log/index.ts';
import { createTestDatabase, once, type TestDatabase } from '../../support/database.ts';

const entry: audit.AuditEntry = {
  action: 'courses.create',
  actor: { kind: 'system', id: 'test' },
  object: { type: 'course', id: 'crs_1' },
};

describe('audit: append', () => {
  let database: TestDatabase;
  let db: Db;
  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_api');
  });
  after(() => database.close());

  const rowsOf = (tenantId: string) =>
    database.asSuperuser<Record<string, unknown>>('select * from app.audit_pending where tenant_id = $1 order by seq', [
      tenantId,
    ]);

  it('is committed or rolled back with what it describes', async () => {
    const tenantId = newId('ten');
    await assert.rejects(
      db.withTenantTx(tenantId, async (tx) => {
        await audit.append(tx, entry);
        throw new Error('the operation failed');
      }),
    );
    assert.deepEqual(await rowsOf(tenantId), []);
    await db.withTenantTx(tenantId, (tx) => audit.append(tx, entry));
    assert.equal((await rowsOf(tenantId)).length, 1);
  });

  it('takes the request id from the log context, and dates each row by itself', async () => {
    const tenantId = newId('ten');
    await withLogContext({ request_id: 'req_1' }, () =>
      db.withTenantTx(tenantId, async (tx) => {
        await audit.append(tx, entry);
        await audit.append(tx, { ...entry, requestId: 'req_own' });
      }),
    );
    const rows = await rowsOf(tenantId);
    assert.deepEqual(
      rows.map((row) => row.request_id),
      ['req_1', 'req_own'],
    );
    assert.ok(Number(rows[0]?.seq) < Number(rows[1]?.seq));
  });

  it('can be written for the tenant of the transaction only', async () => {
    await assert.rejects(
      db.withTenantTx(newId('ten'), (tx) => audit.append({ ...tx, tenantId: newId('ten') } as typeof tx, entry)),
      /row-level security/,
    );
  });

  it('can be neither read, changed, removed nor dated by a role that serves', async () => {
    const rows = await database.asSuperuser<{ role: string; privilege: string; column_name: string | null }>(
      `select grantee as role, privilege_type as privilege, column_name from information_schema.column_privileges
        where table_schema = 'app' and table_name = 'audit_pending' and grantee like 'klar%' and grantee <> 'klar_owner'
       union
       select grantee, privilege_type, null from information_schema.table_privileges
        where table_schema = 'app' and table_name = 'audit_pending' and grantee like 'klar%' and grantee <> 'klar_owner'`,
    );
    const serving = rows.filter((row) => row.role !== 'klar_backup');
    assert.ok(serving.some((row) => row.role === 'klar_api'));
    assert.deepEqual([...new Set(serving.map((row) => row.privilege))], ['INSERT']);
    const writable = new Set(serving.map((row) => row.column_name));
    for (const column of ['created_at', 'xact', 'seq', 'platform']) assert.ok(!writable.has(column), column);
    for (const sql of [
      'select count(*) from app.audit_pending',
      `update app.audit_pending set action = 'x'`,
      'delete from app.audit_pending',
      'truncate app.audit_pending',
      `insert into app.audit_pending (tenant_id, id, action, actor_kind, actor_id, object_type, object_id, created_at)
       values ('ten_1', 'x', 'x', 'system', 'x', 'x', 'x', now())`,
    ]) {
      for (const role of ['klar_api', 'klar_worker'] as const) {
        await assert.rejects(runAs(role, sql), /permission denied/, `${role}: ${sql}`);
      }
    }
  });

  async function runAs(role: 'klar_api' | 'klar_worker', sql: string): Promise<void> {
    await once(database.url(role), `select set_config('app.tenant_id', 'ten_1', false); ${sql}`);
  }
});
