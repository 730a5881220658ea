import assert from 'node:assert/strict';
import { address, CLIENT, codeOf, enter, type Harness, openHarness, PASSWORD, tokenOf } from './harness.ts';

describe('identity: register, verify, log in', () => {
  let h: Harness;
  before(async () => {
    h = await openHarness();
  });
  after(() => h.close());

  it('registers a person, whose password is stored as argon2id only, and mails a link that verifies', async () => {
    const { email, person, principal, tokens } = await enter(h.identity);
    assert.match(person.id, /^usr_[0-9a-f]{32}$/);
    assert.deepEqual(principal, {
      kind: 'person',
      personId: person.id,
      sessionId: principal.sessionId,
      email,
      emailVerified: false,
      name: 'Ada Lovelace',
    });
    assert.match(principal.sessionId, /^ses_[0-9a-f]{32}$/);
    assert.equal(tokens.expiresIn, 300);
    const [account] = await h.database.asSuperuser<{ password: string }>(
      'select password from auth.accounts where person_id = $1',
      [person.id],
    );
    assert.match(account?.password ?? '', /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);

    const mail = await h.mail('auth.verify_email', email);
    assert.match(mail.url ?? '', /^http:\/\/localhost:3000\/verify-email#token=/);
    await h.identity.verifyEmail(tokenOf(mail.url));
    await h.identity.verifyEmail(tokenOf(mail.url));
    const next = await h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT });
    assert.equal((await h.identity.verifyAccessToken(next.accessToken)).emailVerified, true);
    assert.deepEqual(await h.audit(person.id, 2), ['people.register', 'people.verify_email']);
  });

  it('refuses a link that is forged or for another address', async () => {
    assert.equal(await codeOf(h.identity.verifyEmail('nonsense')), 'link_invalid');
    const { email } = await enter(h.identity);
    const token = tokenOf((await h.mail('auth.verify_email', email)).url);
    assert.equal(await codeOf(h.identity.verifyEmail(`${token.slice(0, -2)}xx`)), 'link_invalid');
  });

  it('folds the case of an address and refuses it twice, telling its owner once', async () => {
    const email = address('Grace');
    await h.identity.register({ email: email.toUpperCase(), password: PASSWORD, name: 'Grace' });
    assert.equal(await codeOf(h.identity.register({ email, password: PASSWORD, name: 'Mallory' })), 'email_taken');
    assert.equal(await codeOf(h.identity.register({ email, password: PASSWORD, name: 'Mallory' })), 'email_taken');
    await h.mail('auth.email_taken', email.toLowerCase());
    assert.deepEqual((await h.mails(email.toLowerCase())).sort(), ['auth.email_taken', 'auth.verify_email']);
  });

  it('makes one person of 20 registrations of one address at once', async () => {
    const email = address();
    const codes = await Promise.all(
      Array.from({ length: 20 }, () => codeOf(h.identity.register({ email, password: PASSWORD, name: 'Ada' }))),
    );
    assert.equal(codes.filter((code) => code === 'no error').length, 1);
    assert.equal(codes.filter((code) => code === 'email_taken').length, 19);
    const rows = await h.database.asSuperuser('select id from auth.people where email = $1', [email]);
    assert.equal(rows.length, 1);
  });

  it('answers a wrong password and an unknown address with the same bytes', async () => {
    const { email } = await enter(h.identity);
    const wrong = await h.identity
      .login({ email, password: 'not the password', client: CLIENT })
      .catch((error) => error);
    const unknown = await h.identity
      .login({ email: address('nobody'), password: PASSWORD, client: CLIENT })
      .catch((error) => error);
    assert.equal(wrong.code, 'invalid_credentials');
    assert.deepEqual(
      [unknown.code, unknown.detail, unknown.status, unknown.extra],
      [wrong.code, wrong.detail, wrong.status, wrong.extra],
    );
  });

  it('refuses short passwords, control characters, and addresses no message can be sent to', async () => {
    const { identity } = h;
    const email = address();
    assert.equal(await codeOf(identity.register({ email, password: 'short', name: 'A' })), 'weak_password');
    assert.equal(await codeOf(identity.register({ email, password: email, name: 'A' })), 'weak_password');
    assert.equal(
      await codeOf(identity.register({ email: 'a b@example.com', password: PASSWORD, name: 'A' })),
      'invalid_email',
    );
    assert.equal(
      await codeOf(identity.register({ email, password: PASSWORD, name: 'A\nBcc: x@example.com' })),
      'invalid_name',
    );
  });

  it('takes a password typed on a keyboard that sends other code points', async () => {
    const email = address();
    await h.identity.register({ email, password: 'caf\u00e9 au lait', name: 'A' });
    await h.identity.login({ email, password: 'cafe\u0301 au lait', client: CLIENT });
  });

  it('puts no password and no token into a log or the audit', async () => {
    const rows = await h.database.asSuperuser<{ text: string }>(`select details::text as text from app.audit_pending`);
    assert.ok(rows.length > 0);
    for (const { text } of rows) assert.doesNotMatch(text, /eyJ|rt_|argon2|correct horse/);
  });
});
