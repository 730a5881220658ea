import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { address, CLIENT, codeOf, enter, type Harness, openHarness, PASSWORD, tokenOf } from './harness.ts';

const NEW = 'another good passphrase';

describe('identity: passwords', () => {
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  const resetToken = async (email: string): Promise<string> => {
    await h.identity.forgotPassword(email);
    return tokenOf((await h.mail('auth.reset_password', email)).url);
  };
  const login = (email: string, password: string) => h.identity.login({ email, password, client: CLIENT });

  it('resets by mail: the old password is dead, every session has ended, the link works once', async () => {
    const { email, principal, tokens } = await enter(h.identity);
    const token = await resetToken(email);
    await h.identity.resetPassword({ token, password: NEW });
    assert.equal(await codeOf(h.identity.verifyAccessToken(tokens.accessToken)), 'session_ended');
    assert.equal(
      await codeOf(h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT })),
      'invalid_refresh_token',
    );
    assert.equal(await codeOf(login(email, PASSWORD)), 'invalid_credentials');
    await login(email, NEW);
    assert.equal(await codeOf(h.identity.resetPassword({ token, password: 'a third passphrase' })), 'link_invalid');
    const actions = await h.audit(principal.personId, 3);
    assert.deepEqual(actions, ['people.register', 'people.request_password_reset', 'people.reset_password']);
  });

  it('sets one password when a link is used by 10 at once', async () => {
    const { email } = await enter(h.identity);
    const token = await resetToken(email);
    const codes = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        codeOf(h.identity.resetPassword({ token, password: `passphrase ${i}${i}${i}` })),
      ),
    );
    assert.equal(codes.filter((code) => code === 'no error').length, 1);
    await login(email, `passphrase ${`${codes.indexOf('no error')}`.repeat(3)}`);
  });

  it('makes older links worthless with a reset, and every link with a change of the password', async () => {
    const { email } = await enter(h.identity);
    const older = await resetToken(email);
    await h.identity.forgotPassword(email);
    const newer = await until(async () => {
      const token = tokenOf((await h.mail('auth.reset_password', email)).url);
      return token === older ? undefined : token;
    });
    await h.identity.resetPassword({ token: newer, password: NEW });
    assert.equal(await codeOf(h.identity.resetPassword({ token: older, password: PASSWORD })), 'link_invalid');

    const second = await enter(h.identity);
    const open = await resetToken(second.email);
    await h.identity.changePassword(second.principal, { currentPassword: PASSWORD, newPassword: NEW });
    assert.equal(await codeOf(h.identity.resetPassword({ token: open, password: PASSWORD })), 'link_invalid');
  });

  it('refuses an expired link, and keeps its token only as a hash', async () => {
    const { email, principal } = await enter(h.identity);
    const token = await resetToken(email);
    const rows = await h.database.asSuperuser<{ identifier: string }>(
      `update auth.verifications set expires_at = now() - interval '1 second' where value = $1 returning identifier`,
      [principal.personId],
    );
    assert.equal(rows.length, 1);
    assert.ok(!rows[0]?.identifier.includes(token));
    assert.equal(await codeOf(h.identity.resetPassword({ token, password: NEW })), 'link_invalid');
    await login(email, PASSWORD);
  });

  it('says nothing about who exists: an unknown address leaves the same row behind, and gets no mail', async () => {
    const unknown = address('nobody');
    await h.identity.forgotPassword(unknown);
    const { email } = await enter(h.identity);
    await resetToken(email);
    assert.deepEqual(await h.mails(unknown), []);
  });

  it('sends at most five reset mails an hour to an address', async () => {
    const { email } = await enter(h.identity);
    for (let i = 0; i < 8; i += 1) await h.identity.forgotPassword(email);
    const other = await enter(h.identity);
    await resetToken(other.email);
    assert.equal((await h.mails(email)).filter((template) => template === 'auth.reset_password').length, 5);
  });

  it('gives a stranger who registered your address nothing: the reset proves it is yours and drops what they set up', async () => {
    const { email, principal, tokens } = await enter(h.identity);
    await h.identity.enableSecondFactor(principal, PASSWORD);
    await h.database.asSuperuser(`update auth.two_factors set verified = true where person_id = $1`, [
      principal.personId,
    ]);
    await h.database.asSuperuser(`update auth.people set two_factor_enabled = true where id = $1`, [
      principal.personId,
    ]);
    assert.equal(await codeOf(login(email, PASSWORD)), 'second_factor_required');
    await h.identity.resetPassword({ token: await resetToken(email), password: NEW });
    const mine = await login(email, NEW);
    assert.equal((await h.identity.verifyAccessToken(mine.accessToken)).emailVerified, true);
    assert.equal(await codeOf(h.identity.verifyAccessToken(tokens.accessToken)), 'session_ended');
  });

  it('keeps the second factor of a verified person through a reset', async () => {
    const { email, principal } = await enter(h.identity);
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    await h.identity.enableSecondFactor(principal, PASSWORD);
    await h.database.asSuperuser(`update auth.two_factors set verified = true where person_id = $1`, [
      principal.personId,
    ]);
    await h.database.asSuperuser(`update auth.people set two_factor_enabled = true where id = $1`, [
      principal.personId,
    ]);
    await h.identity.resetPassword({ token: await resetToken(email), password: NEW });
    assert.equal(await codeOf(login(email, NEW)), 'second_factor_required');
  });

  it('changes the password of who knows it, ends the other sessions and keeps this one', async () => {
    const { email, principal, tokens } = await enter(h.identity);
    const other = await login(email, PASSWORD);
    assert.equal(
      await codeOf(h.identity.changePassword(principal, { currentPassword: 'wrong', newPassword: NEW })),
      'wrong_password',
    );
    assert.equal(
      await codeOf(h.identity.changePassword(principal, { currentPassword: PASSWORD, newPassword: email })),
      'weak_password',
    );
    await h.identity.changePassword(principal, { currentPassword: PASSWORD, newPassword: NEW });
    await h.identity.verifyAccessToken(tokens.accessToken);
    await h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT });
    assert.equal(await codeOf(h.identity.verifyAccessToken(other.accessToken)), 'session_ended');
    assert.equal(await codeOf(login(email, PASSWORD)), 'invalid_credentials');
    await login(email, NEW);
  });

  it('mails the verification link again, five times an hour, and never to a verified address', async () => {
    const { email, principal } = await enter(h.identity);
    for (let i = 0; i < 5; i += 1) await h.identity.requestVerification(principal);
    assert.equal(await codeOf(h.identity.requestVerification(principal)), 'too_many_mails');
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    await h.identity.requestVerification(principal);
  });
});
