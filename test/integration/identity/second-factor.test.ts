import assert from 'node:assert/strict';
import { totp } from '../../support/totp.ts';
import { CLIENT, codeOf, enter, type Harness, openHarness, PASSWORD } from './harness.ts';

describe('identity: second factor', () => {
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  async function withSecondFactor() {
    const person = await enter(h.identity);
    const setup = await h.identity.enableSecondFactor(person.principal, PASSWORD);
    const firstCode = totp(setup.totpUri);
    await h.identity.confirmSecondFactor(person.principal, firstCode);
    return { ...person, ...setup, firstCode };
  }

  const login = (email: string, code?: string) => h.identity.login({ email, password: PASSWORD, code, client: CLIENT });

  async function challengeOf(email: string): Promise<string> {
    const error = await login(email).catch((thrown) => thrown);
    assert.equal(error.code, 'second_factor_required');
    assert.deepEqual(error.extra.members.methods, ['totp', 'backup_code']);
    return error.extra.members.challenge;
  }

  it('asks for a code only once it was confirmed, and keeps the session that switched it on', async () => {
    const { email, principal, tokens } = await enter(h.identity);
    const { totpUri, backupCodes } = await h.identity.enableSecondFactor(principal, PASSWORD);
    assert.match(totpUri, /^otpauth:\/\/totp\/Klar/);
    assert.equal(backupCodes.length, 10);
    await login(email);
    assert.equal(await codeOf(h.identity.confirmSecondFactor(principal, '000000')), 'wrong_code');
    await h.identity.confirmSecondFactor(principal, totp(totpUri));
    await h.identity.verifyAccessToken(tokens.accessToken);
    await h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT });
    assert.equal((await h.identity.listSessions(principal, { limit: 10 })).length, 2);
    await challengeOf(email);
    assert.deepEqual(await h.audit(principal.personId, 2), ['people.register', 'second_factor.enable']);
  });

  it('forgets a login that waits for its code when the password is changed meanwhile', async () => {
    const { email, principal, backupCodes } = await withSecondFactor();
    const challenge = await challengeOf(email);
    await h.identity.changePassword(principal, { currentPassword: PASSWORD, newPassword: 'another good passphrase' });
    const late = h.identity.loginSecondFactor({ challenge, code: backupCodes[0] ?? '', client: CLIENT });
    assert.equal(await codeOf(late), 'invalid_code');
  });

  it('logs in with the challenge and a code, or with the code at once', async () => {
    const { email, totpUri } = await withSecondFactor();
    const challenge = await challengeOf(email);
    const tokens = await h.identity.loginSecondFactor({ challenge, code: totp(totpUri, 1), client: CLIENT });
    assert.equal((await h.identity.verifyAccessToken(tokens.accessToken)).email, email);
    const other = await withSecondFactor();
    await login(other.email, ` ${totp(other.totpUri, 1).slice(0, 3)} ${totp(other.totpUri, 1).slice(3)}`);
  });

  it('takes a code once, also the one that switched it on', async () => {
    const { email, totpUri, firstCode } = await withSecondFactor();
    assert.equal(await codeOf(login(email, firstCode)), 'invalid_code');
    const code = totp(totpUri, 1);
    const results = await Promise.all([login(email, code), login(email, code), login(email, code)].map(codeOf));
    assert.deepEqual(results.sort(), ['invalid_code', 'invalid_code', 'no error']);
  });

  it('takes a backup code once; new ones replace the old', async () => {
    const { email, backupCodes, principal } = await withSecondFactor();
    await login(email, backupCodes[0]);
    assert.equal(await codeOf(login(email, backupCodes[0])), 'invalid_code');
    const renewed = await h.identity.renewBackupCodes(principal, PASSWORD);
    assert.equal(await codeOf(login(email, backupCodes[1])), 'invalid_code');
    await login(email, renewed[1]);
  });

  it('uses a challenge once and refuses an invented or foreign one', async () => {
    const { email, totpUri } = await withSecondFactor();
    const challenge = await challengeOf(email);
    await h.identity.loginSecondFactor({ challenge, code: totp(totpUri, 1), client: CLIENT });
    const again = (value: string) =>
      codeOf(h.identity.loginSecondFactor({ challenge: value, code: totp(totpUri, -1), client: CLIENT }));
    assert.equal(await again(challenge), 'invalid_code');
    assert.equal(await again('x; better-auth.session_token=abc'), 'invalid_code');
    assert.equal(await again('2fa-x.c2lnbmF0dXJl'), 'invalid_code');
  });

  it('locks after ten wrong codes over several challenges, right ones included', async () => {
    const { email, totpUri } = await withSecondFactor();
    for (let i = 0; i < 10; i += 1) assert.equal(await codeOf(login(email, '000000')), 'invalid_code');
    assert.equal(await codeOf(login(email, totp(totpUri, 1))), 'second_factor_locked');
  });

  it('is not a way to guess the password with a stolen token, nor to lock its owner out', async () => {
    const { principal, email } = await enter(h.identity);
    for (let i = 0; i < 10; i += 1) {
      assert.equal(await codeOf(h.identity.enableSecondFactor(principal, 'wrong password')), 'wrong_password');
    }
    assert.equal(await codeOf(h.identity.enableSecondFactor(principal, PASSWORD)), 'login_locked');
    await login(email);
  });

  it('is switched off with the password, once', async () => {
    const { email, principal, tokens } = await withSecondFactor();
    assert.equal(await codeOf(h.identity.enableSecondFactor(principal, PASSWORD)), 'second_factor_already_on');
    assert.equal(await codeOf(h.identity.disableSecondFactor(principal, 'wrong password')), 'wrong_password');
    await h.identity.disableSecondFactor(principal, PASSWORD);
    await login(email);
    await h.identity.verifyAccessToken(tokens.accessToken);
    assert.equal(await codeOf(h.identity.renewBackupCodes(principal, PASSWORD)), 'second_factor_off');
    assert.equal(await codeOf(h.identity.confirmSecondFactor(principal, '123456')), 'second_factor_not_pending');
  });

  it('leaves no working session behind and stores the secret encrypted', async () => {
    const { principal, totpUri } = await withSecondFactor();
    const secret = new URL(totpUri).searchParams.get('secret') ?? 'none';
    const [row] = await h.database.asSuperuser<{ text: string; orphans: number }>(
      `select (select t::text from auth.two_factors t where person_id = $1) as text,
         (select count(*)::int from auth.sessions s where not exists (select 1 from auth.session_families f where f.session_id = s.id)) as orphans`,
      [principal.personId],
    );
    assert.equal(row?.orphans, 0);
    assert.ok(!(row?.text ?? secret).includes(secret));
    assert.match(row?.text ?? '', /\$ba\$\d+\$/);
  });
});
