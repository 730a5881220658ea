import assert from 'node:assert/strict';
import type { Db } from '#platform/db/index.ts';
import { until } from '../../support/until.ts';
import { address, codeOf, type Harness, openHarness, PASSWORD } from './harness.ts';

describe('identity: audit rows and mails reach schema app', function () {
  this.timeout(20_000);
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  /** As klar_api, with a say in how each hand-over ends. */
  function tampered(end: (attempt: number, run: () => Promise<unknown>) => Promise<unknown>): Db {
    const real = h.database.db('klar_api');
    let attempt = 0;
    return {
      ...real,
      withTenantTx: (tenant, fn, options) => {
        attempt += 1;
        return end(attempt, () => real.withTenantTx(tenant, fn, options)) as never;
      },
    };
  }
  const register = (identity: Harness['identity']) => {
    const email = address();
    return identity.register({ email, password: PASSWORD, name: 'Ada' });
  };
  const waiting = async () =>
    (await h.database.asSuperuser<{ n: number }>('select count(*)::int as n from auth.outbox'))[0]?.n;
  const hurry = () => h.database.asSuperuser('update auth.outbox set next_at = now()');

  it('once, when the process dies between the commit there and the commit here', async () => {
    // The identity of the harness would help out; this one is alone.
    await h.identity.stop();
    const dying = h.another({
      apiDb: tampered(async (attempt, run) => {
        const value = await run();
        if (attempt === 1) throw new Error('killed after the commit');
        return value;
      }),
    });
    const person = await register(dying);
    await until(
      async () => {
        await hurry();
        return (await waiting()) === 0;
      },
      { timeoutMs: 15_000 },
    );
    assert.deepEqual(await h.audit(person.id, 1), ['people.register']);
    assert.deepEqual(await h.mails(person.email), ['auth.verify_email']);
    await dying.stop();
  });

  it('in the end, when schema app is away at first, without failing the registration', async () => {
    const unlucky = h.another({
      apiDb: tampered((attempt, run) => (attempt <= 1 ? Promise.reject(new Error('away')) : run())),
    });
    const person = await register(unlucky);
    await until(
      async () => {
        await hurry();
        return (await waiting()) === 0;
      },
      { timeoutMs: 15_000 },
    );
    assert.deepEqual(await h.audit(person.id, 1), ['people.register']);
    await unlucky.stop();
  });

  it('by another process, when the one that wrote them is gone', async () => {
    const gone = h.another();
    await gone.stop();
    const person = await register(gone);
    assert.equal(await waiting(), 1);
    const heir = h.another();
    assert.deepEqual(await h.audit(person.id, 1), ['people.register']);
    await until(async () => (await waiting()) === 0);
    await heir.stop();
  });

  it('although a row before them cannot be handed over', async () => {
    await h.database.asSuperuser(
      `insert into auth.outbox (id, payload, created_at) values ('aud_0', '{"audit":{"action":"people.register"}}', now())`,
    );
    const identity = h.another();
    const person = await register(identity);
    assert.deepEqual(await h.audit(person.id, 1), ['people.register']);
    // Handed over is one commit, forgotten here the next.
    await until(async () => (await waiting()) === 1);
    const rows = await h.database.asSuperuser<{ id: string; attempts: number }>('select id, attempts from auth.outbox');
    assert.equal(rows[0]?.id, 'aud_0');
    assert.ok((rows[0]?.attempts ?? 0) > 0);
    await h.database.asSuperuser('delete from auth.outbox');
    await identity.stop();
  });

  it('never, for what was rolled back', async () => {
    const identity = h.another();
    const email = address();
    const gone = new AbortController();
    const pending = codeOf(identity.register({ email, password: PASSWORD, name: 'Ada', signal: gone.signal }));
    setImmediate(() => gone.abort());
    assert.notEqual(await pending, 'no error');
    const rows = await h.database.asSuperuser(`select 1 from auth.people where email = $1`, [email]);
    assert.equal(rows.length, 0);
    assert.equal(await waiting(), 0);
    assert.deepEqual(await h.mails(email), []);
    await identity.stop();
  });
});
