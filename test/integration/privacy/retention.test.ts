import assert from 'node:assert/strict';
import { RETENTION, retentionOf } from '#domain/privacy/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

/** Rows that go together with another table's. */
const WITH: Record<string, string> = { 'routing.invitations': 'app.invitations', 'routing.api_keys': 'app.api_keys' };
/** Reached by functions of their own: no grant could say "only what is over". */
const BY_FUNCTION = /^(auth|inbox)\./;

describe('retention', () => {
  let database: TestDatabase;
  let tables: string[];
  before(async () => {
    database = await createTestDatabase();
    tables = (
      await database.asSuperuser<{ name: string }>(
        `select format('%s.%s', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%'
          order by 1`,
      )
    ).map((row) => row.name);
  });
  after(() => database.close());

  it('has a rule or a written reason for every table of every schema', () => {
    assert.ok(tables.length > 45, String(tables.length));
    assert.deepEqual(
      tables.filter((table) => retentionOf(table) === undefined),
      [],
      'add a row to services/domain/privacy/retention.ts',
    );
  });

  it('names no table that does not exist, and no reason that says nothing', () => {
    for (const [table, retention] of Object.entries(RETENTION)) {
      if (table.endsWith('.*'))
        assert.ok(
          tables.some((name) => name.startsWith(table.slice(0, -1))),
          table,
        );
      else assert.ok(tables.includes(table), table);
      if ('keep' in retention) assert.ok(retention.keep.length >= 15, table);
      else for (const { says } of retention.rules) assert.ok(says.length >= 10, table);
    }
  });

  it('lets klar_cleanup delete where a rule says so, and nowhere else', async () => {
    const granted = await database.asSuperuser<{ name: string; may: string }>(
      `select format('%s.%s', n.nspname, c.relname) as name, p.may from pg_class c
         join pg_namespace n on n.oid = c.relnamespace, unnest('{INSERT,UPDATE,DELETE}'::text[]) p(may)
        where c.relkind in ('r', 'p') and n.nspname in ('app', 'auth', 'inbox', 'ops', 'routing', 'pgboss')
          and (has_table_privilege('klar_cleanup', c.oid, p.may)
            or (p.may <> 'DELETE' and has_any_column_privilege('klar_cleanup', c.oid, p.may)))
        order by 1, 2`,
    );
    const wanted = Object.entries(RETENTION)
      .filter(([table, retention]) => 'rules' in retention && !BY_FUNCTION.test(table))
      .map(([table]) => (table === 'app.notification_deliveries' ? `UPDATE ${table}` : `DELETE ${table}`));
    wanted.push(...Object.keys(WITH).map((table) => `DELETE ${table}`), 'INSERT app.audit_pending');
    assert.deepEqual(granted.map(({ may, name }) => `${may} ${name}`).sort(), wanted.sort());
  });
});
