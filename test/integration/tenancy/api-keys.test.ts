import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  authorize,
  createApiKey,
  createTenancy,
  heldBy,
  type Pepper,
  resealApiKeys,
  revokeApiKey,
} from '#domain/tenancy/index.ts';
import { fakeClock, systemClock } from '#platform/clock/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School, TEST_PEPPER } from '../../support/factory.ts';
import { refusal } from '../../support/refusals.ts';

/** Generations as `name: value`, the current one first. */
function pepperOf(generations: Record<string, string>): Pepper {
  const accepted = Object.entries(generations).map(([generation, value]) => ({ generation, value }));
  return {
    accepted: () => accepted,
    current: () => accepted[0]?.value ?? '',
    generation: () => accepted[0]?.generation ?? '',
  };
}

describe('tenancy: API keys', () => {
  let database: TestDatabase;
  let make: Factory;
  let school: School;
  before(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
    school = await make.school();
  });
  after(() => database.close());

  const tenancyWith = (pepper: Pepper, clock = systemClock) =>
    createTenancy({ db: make.db, pepper, clock, log: silentLogger() });
  const byOwner = () => ({ principal: school.owner, held: heldBy(school.owner, 'owner') });
  const lastUse = async (id: string) => {
    const [row] = await database.asSuperuser<{ last_used_at: Date | null; xmin: string }>(
      'select last_used_at, xmin::text from app.api_keys where id = $1',
      [id],
    );
    assert.ok(row);
    return row;
  };

  it('works, shows itself once and is stored neither in clear nor as a bare hash', async () => {
    const { id, key, prefix } = await make.apiKey(school);
    assert.match(key, /^klar_[a-z0-9]{12}_[A-Za-z0-9_-]{43}$/);
    const principal = await make.tenancy.authenticateApiKey(key);
    assert.equal(principal?.keyId, id);
    assert.equal(principal?.tenantId, school.id);
    const [row] = await database.asSuperuser<{ stored: string; routed: string }>(
      `select (select k::text from app.api_keys k where id = $1) as stored,
              (select r::text from routing.api_keys r where prefix = $2) as routed`,
      [id, prefix],
    );
    const secret = key.split('_').slice(2).join('_');
    assert.ok(!JSON.stringify(row).includes(secret));
    const { createHash } = await import('node:crypto');
    const hash = createHash('sha256').update(key).digest();
    for (const form of ['hex', 'base64', 'base64url'] as const) {
      assert.ok(!row?.stored.includes(hash.toString(form)));
    }
  });

  it('refuses forged, truncated and malformed keys', async () => {
    const { key, prefix } = await make.apiKey(school);
    const flipped = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
    for (const bad of [
      flipped,
      key.slice(0, -1),
      `${key}A`,
      `klar_${prefix}_`,
      'klar_',
      '',
      `klar_${'z'.repeat(12)}_${'A'.repeat(43)}`,
      `${key}\n`,
    ]) {
      assert.equal(await make.tenancy.authenticateApiKey(bad), undefined, bad);
    }
  });

  it('is refused in another process within five seconds of its revocation', async () => {
    const { id, key } = await make.apiKey(school);
    const child = fork(new URL('./key-holder.ts', import.meta.url), [database.url('klar_api'), key], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const ask = async (): Promise<string> => {
      const answer = once(child, 'message');
      child.send('ask');
      return String((await answer)[0]);
    };
    try {
      assert.equal(await ask(), 'allowed');
      assert.equal(await ask(), 'allowed');
      await make.db.withTenantTx(school.id, (tx) => revokeApiKey(tx, byOwner(), id));
      // No wait: the very next request of a process that has used the key before is refused.
      assert.equal(await ask(), 'invalid_api_key');
    } finally {
      child.disconnect();
      await once(child, 'exit');
    }
    assert.equal(await make.tenancy.authenticateApiKey(key), undefined);
  });

  it('answers a repeated revocation, and not found for a foreign or unknown key', async () => {
    const { id } = await make.apiKey(school);
    const other = await make.school();
    const asOther = { principal: other.owner, held: heldBy(other.owner, 'owner') };
    await assert.rejects(
      make.db.withTenantTx(other.id, (tx) => revokeApiKey(tx, asOther, id)),
      refusal('not_found'),
    );
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) => revokeApiKey(tx, byOwner(), newId('key'))),
      refusal('not_found'),
    );
    await make.db.withTenantTx(school.id, (tx) => revokeApiKey(tx, byOwner(), id));
    await make.db.withTenantTx(school.id, (tx) => revokeApiKey(tx, byOwner(), id));
    const rows = await database.asSuperuser(
      `select 1 from app.audit_pending where object_id = $1 and action = 'api_keys.revoke'`,
      [id],
    );
    assert.equal(rows.length, 1);
  });

  it('has no scope that its maker lacks or that does not exist', async () => {
    const admin = await make.member(school, 'admin');
    const by = { principal: admin, held: heldBy(admin, 'admin') };
    const create = (scopes: string[]) =>
      make.db.withTenantTx(school.id, (tx) => createApiKey(tx, by, make.pepper, { name: 'k', scopes }));
    await assert.rejects(create(['members.manage_owners']), refusal('scope_not_yours_to_give'));
    await assert.rejects(create(['everything']), refusal('unknown_scope'));
    await assert.rejects(create(['constructor']), refusal('unknown_scope'));
    const { row } = await create(['courses.read', 'courses.read']);
    assert.deepEqual(row.scopes, ['courses.read']);
    // A key that may make keys makes none with more than it has.
    const seed = await create(['api_keys.manage', 'courses.read']);
    const principal = await make.tenancy.authenticateApiKey(seed.key);
    assert.ok(principal);
    const byKey = { principal, held: heldBy(principal, undefined) };
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) =>
        createApiKey(tx, byKey, make.pepper, { name: 'k', scopes: ['courses.write'] }),
      ),
      refusal('scope_not_yours_to_give'),
    );
  });

  it('does what its scopes say and nothing else', async () => {
    const { key } = await make.apiKey(school, ['courses.read']);
    const principal = await make.tenancy.authenticateApiKey(key);
    assert.ok(principal);
    await make.db.withTenantTx(school.id, (tx) => authorize(tx, principal, 'courses.read', 'read'));
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) => authorize(tx, principal, 'courses.write', 'write')),
      refusal('permission_denied'),
    );
    // Scopes are those of the row, not those the caller claims.
    await assert.rejects(
      make.db.withTenantTx(school.id, (tx) =>
        authorize(tx, { ...principal, scopes: ['courses.write'] }, 'courses.write', 'write'),
      ),
      refusal('permission_denied'),
    );
  });

  it('without named scopes may do what its maker may, but for handing out access', async () => {
    const { key } = await make.apiKey(school);
    const scopes = (await make.tenancy.authenticateApiKey(key))?.scopes ?? [];
    assert.ok(scopes.includes('orders.place') && scopes.includes('courses.write'));
    for (const power of ['api_keys.manage', 'members.manage', 'members.manage_owners', 'invitations.manage'] as const) {
      assert.ok(!scopes.includes(power), power);
    }
  });

  it('survives a rotated pepper, is sealed anew without being known, and outlives the old pepper', async () => {
    const own = await make.school();
    const { id, key } = await make.apiKey(own);
    const old = { [make.pepper.generation()]: TEST_PEPPER };
    const both = pepperOf({ g2: 'the second pepper, also long enough', ...old });
    const onlyNew = pepperOf({ g2: 'the second pepper, also long enough' });
    assert.ok(await tenancyWith(both).authenticateApiKey(key));
    assert.equal(await tenancyWith(onlyNew).authenticateApiKey(key), undefined);
    const count = () => make.db.withTenantTx(own.id, (tx) => resealApiKeys(tx, both));
    assert.deepEqual(await count(), { resealed: 1, unreadable: 0, next: undefined });
    assert.deepEqual(await count(), { resealed: 0, unreadable: 0, next: undefined });
    assert.equal((await tenancyWith(onlyNew).authenticateApiKey(key))?.keyId, id);
    const lost = pepperOf({ g3: 'a pepper that has never been in use here' });
    assert.equal(await tenancyWith(lost).authenticateApiKey(key), undefined);
    assert.deepEqual(await make.db.withTenantTx(own.id, (tx) => resealApiKeys(tx, lost)), {
      resealed: 0,
      unreadable: 1,
      next: undefined,
    });
  });

  it('opens no row with a hash that was copied from another', async () => {
    const mine = await make.apiKey(school, ['courses.read']);
    const theirs = await make.apiKey(school);
    await database.asSuperuser(
      'update app.api_keys set sealed_hash = (select sealed_hash from app.api_keys where id = $1) where id = $2',
      [mine.id, theirs.id],
    );
    const forged = `klar_${theirs.prefix}_${mine.key.split('_').slice(2).join('_')}`;
    assert.equal(await make.tenancy.authenticateApiKey(forged), undefined);
    assert.equal(await make.tenancy.authenticateApiKey(theirs.key), undefined);
  });

  it('writes its last use once a minute, however many processes use it', async () => {
    const { id, key } = await make.apiKey(school);
    const clock = fakeClock();
    const processes = [tenancyWith(make.pepper, clock), tenancyWith(make.pepper, clock)];
    const useAll = () =>
      Promise.all(processes.flatMap((p) => Array.from({ length: 20 }, () => p.authenticateApiKey(key))));
    await useAll();
    const first = await lastUse(id);
    assert.ok(first.last_used_at);
    clock.advance(61_000);
    // The processes believe that a minute has passed; the database's clock knows better.
    await useAll();
    assert.equal((await lastUse(id)).xmin, first.xmin);
    await database.asSuperuser(`update app.api_keys set last_used_at = now() - interval '61 s' where id = $1`, [id]);
    clock.advance(61_000);
    await useAll();
    const later = (await lastUse(id)).last_used_at;
    assert.ok(later && later >= first.last_used_at);
  });

  it('opens no transaction of its own for a key it has verified, until a minute has passed', async () => {
    const { key } = await make.apiKey(school);
    const clock = fakeClock();
    let transactions = 0;
    const db = {
      ...make.db,
      withTx: ((...args) => {
        transactions += 1;
        return make.db.withTx(...args);
      }) as typeof make.db.withTx,
      withTenantTx: ((...args) => {
        transactions += 1;
        return make.db.withTenantTx(...args);
      }) as typeof make.db.withTenantTx,
    };
    const tenancy = createTenancy({ db, pepper: make.pepper, clock, log: silentLogger() });
    await tenancy.authenticateApiKey(key);
    transactions = 0;
    for (let i = 0; i < 50; i += 1) await tenancy.authenticateApiKey(key);
    assert.equal(transactions, 0);
    clock.advance(60_000);
    for (let i = 0; i < 50; i += 1) await tenancy.authenticateApiKey(key);
    assert.equal(transactions, 1);
  });

  it('goes on working when its last use cannot be written', async () => {
    const { key } = await make.apiKey(school);
    const clock = fakeClock();
    let broken = false;
    const db = {
      ...make.db,
      withTenantTx: ((...args) =>
        broken ? Promise.reject(new Error('away')) : make.db.withTenantTx(...args)) as typeof make.db.withTenantTx,
    };
    const tenancy = createTenancy({ db, pepper: make.pepper, clock, log: silentLogger() });
    assert.ok(await tenancy.authenticateApiKey(key));
    clock.advance(60_000);
    broken = true;
    assert.ok(await tenancy.authenticateApiKey(key));
  });
});
