import assert from 'node:assert/strict';
import type { TokenPair } from '#domain/identity/index.ts';
import { CLIENT, codeOf, enter, type Harness, openHarness } from './harness.ts';

describe('identity: refresh tokens', () => {
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  const refresh = (refreshToken: string): Promise<TokenPair> => h.identity.refresh({ refreshToken, client: CLIENT });
  /** As if the last rotation had been so many seconds ago. */
  const age = (sessionId: string, seconds: number) =>
    h.database.asSuperuser(
      `update auth.session_families set rotated_at = rotated_at - make_interval(secs => $2) where session_id = $1`,
      [sessionId, seconds],
    );

  it('rotates with every use', async () => {
    const { tokens } = await enter(h.identity);
    const second = await refresh(tokens.refreshToken);
    const third = await refresh(second.refreshToken);
    assert.equal(new Set([tokens.refreshToken, second.refreshToken, third.refreshToken]).size, 3);
    assert.equal(third.expiresIn, 300);
  });

  it('lets the previous token work once more within 30 s, with the same answer, so that nothing forks', async () => {
    const { tokens } = await enter(h.identity);
    const lost = await refresh(tokens.refreshToken);
    const again = await refresh(tokens.refreshToken);
    assert.equal(again.refreshToken, lost.refreshToken);
    assert.equal(await codeOf(refresh(tokens.refreshToken)), 'refresh_token_superseded');
    await refresh(again.refreshToken);
  });

  it('ends the session when the previous token comes back after 30 s, and refuses its access tokens', async () => {
    const { tokens, principal } = await enter(h.identity);
    const next = await refresh(tokens.refreshToken);
    await age(principal.sessionId, 31);
    assert.equal(await codeOf(refresh(tokens.refreshToken)), 'refresh_token_reused');
    assert.equal(await codeOf(refresh(next.refreshToken)), 'invalid_refresh_token');
    assert.equal(await codeOf(h.identity.verifyAccessToken(next.accessToken)), 'session_ended');
    assert.deepEqual(await h.audit(principal.sessionId, 2), ['sessions.login', 'sessions.reuse']);
  });

  it('ends the session when a token from before the previous one comes back, at once', async () => {
    const { tokens } = await enter(h.identity);
    const second = await refresh(tokens.refreshToken);
    const third = await refresh(second.refreshToken);
    assert.equal(await codeOf(refresh(tokens.refreshToken)), 'refresh_token_reused');
    assert.equal(await codeOf(refresh(third.refreshToken)), 'invalid_refresh_token');
  });

  it('gives 50 parallel uses of one token one next token, twice, and the session lives', async () => {
    const { tokens } = await enter(h.identity);
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => refresh(tokens.refreshToken)));
    const given = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.refreshToken] : []));
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    assert.equal(given.length, 2);
    assert.equal(new Set(given).size, 1);
    assert.deepEqual(new Set(refused), new Set(['refresh_token_superseded']));
    await refresh(given[0] ?? '');
  });

  it('ends nothing for an invented token that names a session', async () => {
    const { tokens, principal } = await enter(h.identity);
    const invented = `rt_${principal.sessionId.slice(4)}_1_${'A'.repeat(43)}`;
    assert.equal(await codeOf(refresh(invented)), 'invalid_refresh_token');
    assert.equal(await codeOf(refresh('rt_')), 'invalid_refresh_token');
    assert.equal(await codeOf(refresh(tokens.accessToken)), 'invalid_refresh_token');
    const next = await refresh(tokens.refreshToken);
    // A later generation than the newest is nobody's either.
    const [, session, , mac] = next.refreshToken.split('_');
    assert.equal(await codeOf(refresh(`rt_${session}_z_${mac}`)), 'invalid_refresh_token');
    await refresh(next.refreshToken);
  });

  it('ends after 30 days without use, and after 180 days however busy', async () => {
    const idle = await enter(h.identity);
    await h.database.asSuperuser(`update auth.sessions set expires_at = now() where id = $1`, [
      idle.principal.sessionId,
    ]);
    assert.equal(await codeOf(refresh(idle.tokens.refreshToken)), 'session_expired');
    const busy = await enter(h.identity);
    await h.database.asSuperuser(`update auth.sessions set created_at = now() - interval '181 days' where id = $1`, [
      busy.principal.sessionId,
    ]);
    assert.equal(await codeOf(refresh(busy.tokens.refreshToken)), 'session_expired');
  });

  it('stores nothing that is or makes a refresh token', async () => {
    const { tokens, principal } = await enter(h.identity);
    const [row] = await h.database.asSuperuser<{ text: string }>(
      `select f::text || s::text as text from auth.session_families f join auth.sessions s on s.id = f.session_id where s.id = $1`,
      [principal.sessionId],
    );
    const mac = tokens.refreshToken.split('_').at(-1) ?? '';
    assert.ok(!(row?.text ?? mac).includes(mac));
  });
});
