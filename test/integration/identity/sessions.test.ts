import assert from 'node:assert/strict';
import type { Db } from '#platform/db/index.ts';
import { until } from '../../support/until.ts';
import { CLIENT, codeOf, enter, type Harness, openHarness, PASSWORD } from './harness.ts';

describe('identity: sessions and their end', () => {
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  it('refuses an ended session in another process within 5 s', async () => {
    const other = h.another();
    const { tokens, principal } = await enter(h.identity);
    await other.verifyAccessToken(tokens.accessToken);
    const started = performance.now();
    await h.identity.logout(principal);
    assert.equal(await codeOf(h.identity.verifyAccessToken(tokens.accessToken)), 'session_ended');
    await until(async () => (await codeOf(other.verifyAccessToken(tokens.accessToken))) === 'session_ended', {
      timeoutMs: 5_000,
    });
    assert.ok(performance.now() - started < 5_000);
    assert.equal(
      await codeOf(h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT })),
      'invalid_refresh_token',
    );
  }).timeout(10_000);

  it('asks no database for a request while it polls, and asks it when the poll has failed for 4 s', async () => {
    let now = 0;
    let queries = 0;
    let broken = false;
    const real = h.database.db('klar_auth');
    const db: Db = {
      ...real,
      withTx: (fn, options) => {
        queries += 1;
        // The poll is the one caller with a signal of its own.
        return broken && options?.signal ? Promise.reject(new Error('away')) : real.withTx(fn, options);
      },
    };
    const other = h.another({ db, monotonic: () => now });
    const { tokens, principal } = await enter(h.identity);
    await until(async () => {
      const before = queries;
      await other.verifyAccessToken(tokens.accessToken);
      return queries === before;
    });
    broken = true;
    await h.identity.logout(principal);
    now = 3_999;
    await other.verifyAccessToken(tokens.accessToken);
    now = 4_001;
    assert.equal(await codeOf(other.verifyAccessToken(tokens.accessToken)), 'session_ended');
    const alive = await enter(h.identity);
    await other.verifyAccessToken(alive.tokens.accessToken);
  });

  it('logs out everywhere, and only this person', async () => {
    const { email, tokens, principal } = await enter(h.identity);
    const stranger = await enter(h.identity);
    const phone = await h.identity.login({ email, password: PASSWORD, client: CLIENT });
    await h.identity.logoutEverywhere(principal);
    for (const token of [tokens.accessToken, phone.accessToken]) {
      assert.equal(await codeOf(h.identity.verifyAccessToken(token)), 'session_ended');
    }
    await h.identity.verifyAccessToken(stranger.tokens.accessToken);
    assert.deepEqual(await h.audit(principal.personId, 2), ['people.register', 'sessions.logout_all']);
  });

  it('lists the sessions of the person, newest first, and ends one of them; a stranger cannot', async () => {
    const { email, principal } = await enter(h.identity);
    const stranger = await enter(h.identity);
    const phone = await h.identity.login({
      email,
      password: PASSWORD,
      client: { ip: '2001:db8::1', userAgent: 'Phone\u0000\u2603' },
    });
    const list = await h.identity.listSessions(principal, { limit: 10 });
    assert.equal(list.length, 2);
    assert.deepEqual(
      list.map(({ current }) => current),
      [false, true],
    );
    assert.equal(list[0]?.userAgent, 'Phone??');
    assert.match(list[0]?.ip ?? '', /^2001:/);
    assert.equal(list[1]?.ip, CLIENT.ip);
    const [first] = await h.identity.listSessions(principal, { limit: 1 });
    const [second] = await h.identity.listSessions(principal, { limit: 1, before: first?.id ?? '' });
    assert.deepEqual(
      [first?.id, second?.id],
      list.map(({ id }) => id),
    );

    const id = list[0]?.id ?? '';
    assert.equal(await codeOf(h.identity.endSession(stranger.principal, id)), 'not_found');
    await h.identity.endSession(principal, id);
    assert.equal(await codeOf(h.identity.verifyAccessToken(phone.accessToken)), 'session_ended');
    assert.equal(await codeOf(h.identity.endSession(principal, id)), 'not_found');
    assert.equal((await h.identity.listSessions(principal, { limit: 10 })).length, 1);
  });

  it('records every way a session ends for the other processes, even one that no code of ours takes', async () => {
    const { principal } = await enter(h.identity);
    await h.database.asSuperuser(`delete from auth.people where id = $1`, [principal.personId]);
    const rows = await h.database.asSuperuser(`select session_id from auth.revoked_sessions where session_id = $1`, [
      principal.sessionId,
    ]);
    assert.equal(rows.length, 1);
  });

  it('is the only role that can read or write the schema', async () => {
    const roles = ['klar_api', 'klar_ingest', 'klar_worker', 'klar_controller', 'klar_cleanup', 'klar_ops'];
    const rows = await h.database.asSuperuser<{ role: string; name: string }>(
      `select r as role, c.relname as name from unnest($1::text[]) r, pg_class c
       where c.relnamespace = 'auth'::regnamespace and c.relkind = 'r'
         and has_table_privilege(r, c.oid, 'select, insert, update, delete, truncate')`,
      [roles],
    );
    assert.deepEqual(rows, []);
    const truncates = await h.database.asSuperuser(
      `select relname from pg_class where relnamespace = 'auth'::regnamespace and relkind = 'r' and has_table_privilege('klar_auth', oid, 'truncate')`,
    );
    assert.deepEqual(truncates, []);
  });
});
