import assert from 'node:assert/strict';
import { generateKeyPair, SignJWT } from 'jose';
import { systemClock } from '#platform/clock/index.ts';
import { createOutsideIssuers } from '../../../services/domain/identity/outside-issuers.ts';
import { type FakeIssuer, startFakeIssuer } from './fake-issuer.ts';
import { address, codeOf, enter, type Harness, openHarness, tokenOf } from './harness.ts';

describe('identity: outside issuers', () => {
  let h: Harness;
  let issuer: FakeIssuer;
  let serial = 0;
  before(async () => {
    issuer = await startFakeIssuer();
    h = await openHarness({
      settings: { AUTH_ISSUERS: [{ issuer: issuer.issuer, audience: 'klar', algorithms: ['ES256'] }] } as never,
    });
  });
  after(async () => {
    await h.close();
    await issuer.close();
  });

  const now = () => Math.floor(Date.now() / 1_000);
  const subject = () => {
    serial += 1;
    return `subject-${serial}`;
  };
  const good = (claims = {}) => issuer.token({ sub: subject(), email: address(), email_verified: true, ...claims });
  const verify = (token: string) => h.identity.verifyAccessToken(token);

  it('takes a good token; the first sight of a subject makes one person, however many requests see it', async () => {
    const email = address();
    const token = await good({ email: email.toUpperCase(), name: 'Grace Hopper' });
    const principals = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    assert.equal(new Set(principals.map(({ personId }) => personId)).size, 1);
    const [principal] = principals;
    assert.equal(principal?.email, email);
    assert.equal(principal?.emailVerified, true);
    assert.equal(principal?.name, 'Grace Hopper');
    assert.match(principal?.sessionId ?? '', /^out_[0-9a-f]{32}$/);
    assert.deepEqual(await h.audit(principal?.personId ?? '', 1), ['people.register']);
  });

  it('refuses every token that is not exactly right', async () => {
    const stranger = await generateKeyPair('ES256');
    const claims = {
      iss: issuer.issuer,
      aud: 'klar',
      sub: 'x',
      email: address(),
      email_verified: true,
      iat: now(),
      exp: now() + 300,
    };
    const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const hmac = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'key-1' });
    const token = await good();
    const bad: Record<string, string> = {
      'another audience': await good({ aud: 'other' }),
      'no audience': await good({ aud: undefined }),
      'an issuer that is not listed': await good({ iss: 'http://127.0.0.1:1' }),
      'an issuer with a slash more': await good({ iss: `${issuer.issuer}/` }),
      'no expiry': await good({ exp: undefined }),
      'no time of issue': await good({ iat: undefined }),
      'no subject': await good({ sub: undefined }),
      'a subject with control characters': await good({ sub: 'a\u0000b' }),
      'issued in the future': await good({ iat: now() + 120, exp: now() + 300 }),
      'not yet valid': await good({ nbf: now() + 120 }),
      'a key id nobody published': await issuer.token({ email: address() }, { kid: 'nobody' }),
      'alg none': `${b64({ alg: 'none', kid: 'key-1' })}.${b64(claims)}.`,
      'HS256 under the public key': await hmac.sign(Buffer.from(JSON.stringify(issuer.publicJwk()))),
      'a stranger’s signature': await new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'key-1' })
        .sign(stranger.privateKey),
      'a changed payload': token.replace(/\.[^.]+\./, `.${b64({ ...claims, sub: 'admin' })}.`),
      'no token': 'not.a.token',
      empty: '',
      long: `${token}${'A'.repeat(10_000)}`,
    };
    for (const [what, value] of Object.entries(bad)) {
      assert.equal(await codeOf(verify(value)), 'invalid_token', what);
    }
    for (const claims of [
      { exp: now() - 61, iat: now() - 400 },
      { iat: now() - 90_000, exp: now() + 60 },
      { exp: now() + 200_000 },
    ]) {
      assert.equal(await codeOf(verify(await good(claims))), 'token_expired', JSON.stringify(claims));
    }
  });

  it('forgives clocks 60 s, both ways', async () => {
    await verify(await good({ exp: now() - 55, iat: now() - 300 }));
    await verify(await good({ iat: now() + 55, nbf: now() + 55, exp: now() + 300 }));
  });

  it('asks for keys once in a while only, whatever key ids arrive', async () => {
    const other = await startFakeIssuer();
    try {
      const identity = h.another({
        settings: {
          AUTH_ISSUERS: [
            { issuer: other.issuer, audience: 'klar', algorithms: ['ES256'], jwks_uri: `${other.issuer}/keys` },
          ],
        } as never,
      });
      await identity.verifyAccessToken(await other.token({ sub: subject(), email: address() }));
      assert.equal(other.keyRequests(), 1);
      const unknown = await Promise.all(
        Array.from({ length: 20 }, async () =>
          codeOf(identity.verifyAccessToken(await other.token({}, { kid: 'flood' }))),
        ),
      );
      assert.deepEqual(new Set(unknown), new Set(['invalid_token']));
      assert.ok(other.keyRequests() <= 2, `${other.keyRequests()} requests`);
    } finally {
      await other.close();
    }
  });

  it('follows a key rotation of the issuer', async () => {
    const other = await startFakeIssuer();
    try {
      const entry = { issuer: other.issuer, audience: 'klar', algorithms: ['ES256' as const] };
      const issuers = createOutsideIssuers([entry], systemClock, { coolDownMs: 0 });
      const old = await other.token();
      await issuers.verify(old);
      await other.rotate();
      await issuers.verify(await other.token());
      assert.equal(await codeOf(issuers.verify(old)), 'invalid_token');
    } finally {
      await other.close();
    }
  });

  it('fetches no keys in the clear for an issuer that is spoken to over https', async () => {
    const asked: string[] = [];
    const { fetch } = globalThis;
    globalThis.fetch = async (address) => {
      asked.push(String(address));
      return Response.json({ issuer: 'https://id.example.com', jwks_uri: 'http://id.example.com/keys', keys: [] });
    };
    try {
      const entry = { issuer: 'https://id.example.com', audience: 'klar', algorithms: ['ES256'] };
      const issuers = createOutsideIssuers([entry], systemClock);
      const token = await issuer.token({ iss: entry.issuer });
      assert.equal(await codeOf(issuers.verify(token)), 'issuer_unavailable');
    } finally {
      globalThis.fetch = fetch;
    }
    assert.deepEqual(asked, ['https://id.example.com/.well-known/openid-configuration']);
  });

  it('says 503 and not 401 when the keys of the issuer cannot be fetched', async () => {
    const other = await startFakeIssuer();
    other.fail(true);
    try {
      for (const jwks_uri of [undefined, `${other.issuer}/keys`]) {
        const identity = h.another({
          settings: {
            AUTH_ISSUERS: [{ issuer: other.issuer, audience: 'klar', algorithms: ['ES256'], jwks_uri }],
          } as never,
        });
        assert.equal(await codeOf(identity.verifyAccessToken(await other.token())), 'issuer_unavailable');
      }
    } finally {
      await other.close();
    }
  });

  it('links to an existing account only when both sides have proven the address', async () => {
    const { email, principal } = await enter(h.identity);
    const sub = subject();
    const proven = await issuer.token({ sub, email, email_verified: true });
    assert.equal(await codeOf(verify(proven)), 'account_link_refused');
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    assert.equal(
      await codeOf(verify(await issuer.token({ sub, email, email_verified: false }))),
      'account_link_refused',
    );
    assert.equal((await verify(proven)).personId, principal.personId);
    assert.ok((await h.audit(principal.personId, 3)).includes('people.link_issuer'));
  });

  it('opens nobody’s account to a letter that only looks like theirs when it is folded', async () => {
    const email = address('kim');
    const { principal } = await enter(h.identity, email);
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    // U+212A, the Kelvin sign: another mailbox, and lower case makes `k` of it.
    const token = await good({ email: email.replace('k', '\u212a') });
    assert.equal(await codeOf(verify(token)), 'outside_account_without_email');
    const own = await good({ email: email.replace('kim', 'k\u00ecm') });
    assert.notEqual((await verify(own)).personId, principal.personId);
  });

  it('opens no account with a second factor that was not linked before it had one', async () => {
    const { email, principal } = await enter(h.identity);
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    await h.database.asSuperuser(`update auth.people set two_factor_enabled = true where id = $1`, [
      principal.personId,
    ]);
    assert.equal(await codeOf(verify(await good({ email }))), 'account_link_refused');
  });

  it('leaves a stranger who claimed your address at an issuer outside once you have reset the password', async () => {
    const email = address();
    const claims = { sub: subject(), email, email_verified: false };
    const stranger = await verify(await issuer.token(claims));
    // You took the mail for one that you had asked for.
    await h.identity.requestVerification(stranger);
    await h.identity.verifyEmail(tokenOf((await h.mail('auth.verify_email', email)).url));
    await h.identity.forgotPassword(email);
    const token = tokenOf((await h.mail('auth.reset_password', email)).url);
    await h.identity.resetPassword({ token, password: 'another good passphrase' });
    assert.equal(await codeOf(verify(await issuer.token({ ...claims, iat: now() + 2 }))), 'account_link_refused');
    const proven = await verify(await issuer.token({ ...claims, email_verified: true, iat: now() + 2 }));
    assert.equal(proven.personId, stranger.personId);
  });

  it('needs an address, and notices when the issuer proves it later', async () => {
    assert.equal(await codeOf(verify(await good({ email: undefined }))), 'outside_account_without_email');
    assert.equal(await codeOf(verify(await good({ email: 'a b\n@example.com' }))), 'outside_account_without_email');
    const claims = { sub: subject(), email: address(), email_verified: false };
    assert.equal((await verify(await issuer.token(claims))).emailVerified, false);
    assert.equal((await verify(await issuer.token({ ...claims, email_verified: true }))).emailVerified, true);
    assert.equal((await verify(await issuer.token(claims))).emailVerified, true);
  });

  it('ends an outside session on logout, and all of them on logout everywhere, in other processes too', async () => {
    let clock = 0;
    const other = h.another({ monotonic: () => clock });
    const claims = { sub: subject(), email: address(), email_verified: true };
    const phone = await issuer.token({ ...claims, jti: 'phone' });
    const laptop = await issuer.token({ ...claims, jti: 'laptop' });
    await other.verifyAccessToken(phone);
    await other.verifyAccessToken(laptop);
    await h.identity.logout(await verify(phone));
    assert.equal(await codeOf(verify(phone)), 'session_ended');
    clock += 4_500;
    assert.equal(await codeOf(other.verifyAccessToken(phone)), 'session_ended');
    const principal = await other.verifyAccessToken(laptop);
    await h.identity.logoutEverywhere(principal);
    assert.equal(await codeOf(verify(laptop)), 'session_ended');
    clock += 4_500;
    assert.equal(await codeOf(other.verifyAccessToken(laptop)), 'session_ended');
    await verify(await issuer.token({ ...claims, jti: 'again', iat: now() + 2 }));
  });
});
