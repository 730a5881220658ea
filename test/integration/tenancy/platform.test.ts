import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  listTenants,
  PLATFORM_PERMISSIONS,
  type PlatformPrincipal,
  platformPrincipalOfToken,
  setBlocked,
  setSuspended,
  showTenant,
} from '#domain/tenancy/index.ts';
import { newId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import { runCli } from '../../../services/cli/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

const admin: PlatformPrincipal = { kind: 'platform', id: 'admin-token', permissions: PLATFORM_PERMISSIONS };

describe('tenancy: platform administration', () => {
  let database: TestDatabase;
  let make: Factory;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
  });
  after(() => database.close());

  const auditOf = (tenantId: string) =>
    database.asSuperuser(
      `select action, actor_id, platform, details ->> 'reason' as reason from app.audit_pending
        where tenant_id = $1 and actor_kind = 'platform' order by seq`,
      [tenantId],
    );
  async function klar(...argv: string[]) {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const env = { DATABASE_URL_OPS: database.url('klar_ops') };
    const code = await runCli({ argv: [...argv, '--json'], env, stdout, stderr });
    stdout.end();
    stderr.end();
    return { code, out: await text(stdout), err: await text(stderr) };
  }

  it('leaves one row with actor and reason per call, tagged as the platform', async () => {
    const school = await make.school();
    await setBlocked(make.db, admin, school.id, true, 'fraud');
    await setBlocked(make.db, admin, school.id, false, 'cleared');
    await setSuspended(make.db, admin, school.id, true, 'unpaid');
    await setSuspended(make.db, admin, school.id, false, 'paid');
    await showTenant(make.db, admin, school.id, 'ticket 7');
    const row = (action: string, reason: string) => ({ action, actor_id: 'admin-token', platform: true, reason });
    assert.deepEqual(await auditOf(school.id), [
      row('platform.tenants.block', 'fraud'),
      row('platform.tenants.unblock', 'cleared'),
      row('platform.tenants.suspend', 'unpaid'),
      row('platform.tenants.unsuspend', 'paid'),
      row('platform.tenants.show', 'ticket 7'),
    ]);
    await listTenants(make.db, admin, 'audit of May', { after: '', limit: 5 });
    const [listed] = await auditOf(SYSTEM_TENANT_ID);
    assert.deepEqual(listed, row('platform.tenants.list', 'audit of May'));
    const [tagged] = await database.asSuperuser(
      `select count(*)::int as n from app.audit_pending where platform and actor_kind <> 'platform'`,
    );
    assert.equal(tagged?.n, 0);
  });

  it('lists schools by filter and page, never the platform itself', async () => {
    const mine = await Promise.all(['aa', 'bb', 'cc'].map((x) => make.school({ slug: `listed-${x}` })));
    await setBlocked(make.db, admin, mine[1]?.id ?? '', true, 'x');
    await setSuspended(make.db, admin, mine[2]?.id ?? '', true, 'x');
    const list = (filter: object) =>
      listTenants(make.db, admin, undefined, { after: '', limit: 50, slugPrefix: 'listed-', ...filter });
    const slugs = async (filter: object) => (await list(filter)).map((row) => row.slug).sort();
    assert.deepEqual(await slugs({}), ['listed-aa', 'listed-bb', 'listed-cc']);
    assert.deepEqual(await slugs({ blocked: true }), ['listed-bb']);
    assert.deepEqual(await slugs({ billingState: 'suspended' }), ['listed-cc']);
    const [first] = await list({ limit: 1 });
    assert.equal((await list({ after: first?.tenantId })).length, 2);
    const all = await listTenants(make.db, admin, undefined, { after: '', limit: 200 });
    assert.ok(!all.some((row) => row.tenantId === SYSTEM_TENANT_ID));
  });

  it('keeps the copy for lists equal to the truth', async () => {
    const rows = await database.asSuperuser(
      `select r.tenant_id from routing.tenants r full join app.tenants t using (tenant_id)
        where (r.slug, r.billing_state, r.blocked) is distinct from (t.slug, t.billing_state, t.blocked)`,
    );
    assert.deepEqual(rows, []);
  });

  it('finds no unknown, malformed or system tenant', async () => {
    for (const id of [newId('ten'), 'x', '', "ten_'; drop", SYSTEM_TENANT_ID]) {
      await assert.rejects(setBlocked(make.db, admin, id, true, 'x'), refusal('not_found'), id);
      await assert.rejects(showTenant(make.db, admin, id, undefined), refusal('not_found'), id);
    }
  });

  it('accepts every live value of the admin token and nothing else', () => {
    const secret = { accepted: () => [{ value: 'new-token' }, { value: 'old-token' }] };
    assert.equal(platformPrincipalOfToken(secret, 'new-token')?.id, 'admin-token');
    assert.equal(platformPrincipalOfToken(secret, 'old-token')?.id, 'admin-token');
    assert.equal(platformPrincipalOfToken(secret, 'old-toke'), undefined);
    assert.equal(platformPrincipalOfToken(secret, ''), undefined);
    assert.equal(platformPrincipalOfToken(undefined, ''), undefined);
  });

  it('grants, narrows, lists and revokes platform roles by the command line, audited', async () => {
    const personId = newId('usr');
    assert.equal(await make.tenancy.platformPrincipalOfPerson(personId), undefined);
    assert.equal((await klar('admin', 'grant', personId, '--reason', 'on call')).code, 0);
    const granted = await make.tenancy.platformPrincipalOfPerson(personId);
    assert.deepEqual(granted?.permissions, [...PLATFORM_PERMISSIONS]);
    await klar('admin', 'grant', personId, '--reason', 'less', '--permission', 'platform.tenants.read');
    const narrowed = await make.tenancy.platformPrincipalOfPerson(personId);
    assert.deepEqual(narrowed?.permissions, ['platform.tenants.read']);
    const listed = JSON.parse((await klar('admin', 'list')).out) as { person_id: string }[];
    assert.deepEqual(
      listed.map((row) => row.person_id),
      [personId],
    );
    assert.equal((await klar('admin', 'revoke', personId, '--reason', 'left')).code, 0);
    assert.equal(await make.tenancy.platformPrincipalOfPerson(personId), undefined);
    const rows = await database.asSuperuser(
      `select action, details ->> 'reason' as reason from app.audit_pending where object_id = $1 order by seq`,
      [personId],
    );
    assert.deepEqual(rows, [
      { action: 'platform.admins.grant', reason: 'on call' },
      { action: 'platform.admins.grant', reason: 'less' },
      { action: 'platform.admins.revoke', reason: 'left' },
    ]);
  });

  it('refuses a grant without a reason, of an unknown permission, or to something that is no person', async () => {
    const personId = newId('usr');
    assert.notEqual((await klar('admin', 'grant', personId)).code, 0);
    assert.notEqual((await klar('admin', 'grant', personId, '--reason', 'x', '--permission', 'all')).code, 0);
    assert.notEqual((await klar('admin', 'grant', 'anna@example.com', '--reason', 'x')).code, 0);
    assert.equal(await make.tenancy.platformPrincipalOfPerson(personId), undefined);
  });

  it('lets the api read platform roles and never write them', async () => {
    const [row] = await database.asSuperuser(
      `select has_table_privilege('klar_api', 'ops.platform_admins', 'select') as reads,
              has_table_privilege('klar_api', 'ops.platform_admins', 'insert, update, delete') as writes`,
    );
    assert.deepEqual(row, { reads: true, writes: false });
  });
});
