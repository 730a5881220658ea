import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { decodeProtectedHeader, SignJWT } from 'jose';
import { fakeClock } from '#platform/clock/index.ts';
import { fixedSecret, type Secret, type SecretValue } from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { CLIENT, codeOf, ed25519Pem, enter, type Harness, openHarness, PASSWORD, tokenOf } from './harness.ts';

/** A secret that a test rotates: the old value stays accepted. */
function rotating(name: string, value: string): Secret & { rotate(next: string): void; retire(): void } {
  let values: SecretValue[] = [{ value, generation: 'g1' }];
  const listeners = new Set<() => void>();
  const set = (next: SecretValue[]) => {
    values = next;
    for (const listener of listeners) listener();
  };
  const first = () => values[0] as SecretValue;
  return {
    ...fixedSecret(name, value),
    current: () => first().value,
    accepted: () => [...values],
    generation: () => first().generation,
    onChange: (fn) => {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    rotate: (next) => set([{ value: next, generation: `g${Number(first().generation.slice(1)) + 1}` }, first()]),
    retire: () => set([first()]),
  };
}

describe('identity: access tokens and keys', () => {
  let h: Harness;
  const clock = fakeClock(new Date());
  const key = rotating('AUTH_JWT_KEY', ed25519Pem());
  const secret = rotating('AUTH_SECRET', randomToken());
  before(async () => {
    h = await openHarness({ clock, settings: { AUTH_JWT_KEY: key, AUTH_SECRET: secret } as never });
  });
  after(() => h.close());

  it('live five minutes', async () => {
    const { tokens } = await enter(h.identity);
    clock.advance(299_000);
    await h.identity.verifyAccessToken(tokens.accessToken);
    clock.advance(2_000);
    assert.equal(await codeOf(h.identity.verifyAccessToken(tokens.accessToken)), 'token_expired');
    const next = await h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT });
    await h.identity.verifyAccessToken(next.accessToken);
  });

  it('are refused when anything about them is changed, and when another kind of key or algorithm made them', async () => {
    const { tokens, principal } = await enter(h.identity);
    const [header = '', payload = '', signature = ''] = tokens.accessToken.split('.');
    const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const kid = decodeProtectedHeader(tokens.accessToken).kid;
    const [jwk] = h.identity.jwks().keys;
    const signed = (changes: object, head: object = {}) =>
      new SignJWT({ ...claims, ...changes })
        .setProtectedHeader({ alg: 'EdDSA', kid, typ: 'at+jwt', ...head })
        .sign(createPrivateKey(key.current()));
    await h.identity.verifyAccessToken(await signed({}));
    const bad: Record<string, string> = {
      'another person': `${header}.${b64({ ...claims, sub: 'usr_00000000000070008000000000000000' })}.${signature}`,
      'alg none': `${b64({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.`,
      'HS256 under the public key': await new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid })
        .sign(Buffer.from(jwk?.x ?? '', 'base64url')),
      'another audience': await signed({ aud: 'other' }),
      'another issuer': await signed({ iss: 'http://elsewhere' }),
      'another type': await signed({}, { typ: 'JWT' }),
      'no key id': await signed({}, { kid: undefined }),
      'no session': await signed({ sid: undefined }),
      'an outside session': await signed({ sid: principal.sessionId.replace('ses_', 'out_') }),
      'a crit header': `${b64({ alg: 'EdDSA', typ: 'at+jwt', kid, crit: ['x'], x: 1 })}.${payload}.${signBytes(null, Buffer.from(`${b64({ alg: 'EdDSA', typ: 'at+jwt', kid, crit: ['x'], x: 1 })}.${payload}`), createPrivateKey(key.current())).toString('base64url')}`,
    };
    for (const [what, token] of Object.entries(bad)) {
      assert.equal(await codeOf(h.identity.verifyAccessToken(token)), 'invalid_token', what);
    }
  });

  it('survive a rotation of the signing key until the old one is retired; new ones carry the new generation', async () => {
    const { tokens } = await enter(h.identity);
    const before = decodeProtectedHeader(tokens.accessToken).kid;
    key.rotate(ed25519Pem());
    const fresh = await enter(h.identity);
    assert.notEqual(decodeProtectedHeader(fresh.tokens.accessToken).kid, before);
    await h.identity.verifyAccessToken(tokens.accessToken);
    assert.deepEqual(
      h.identity.jwks().keys.map(({ kid }) => kid),
      [key.generation(), before],
    );
    assert.deepEqual(Object.keys(h.identity.jwks().keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x']);
    key.retire();
    assert.equal(await codeOf(h.identity.verifyAccessToken(tokens.accessToken)), 'invalid_token');
    await h.identity.verifyAccessToken(fresh.tokens.accessToken);
  });

  it('keeps refresh tokens, mailed links and second factors alive through a rotation of AUTH_SECRET', async () => {
    const { email, principal, tokens } = await enter(h.identity);
    const link = tokenOf((await h.mail('auth.verify_email', email)).url);
    const { backupCodes } = await h.identity.enableSecondFactor(principal, PASSWORD);
    await h.database.asSuperuser(`update auth.two_factors set verified = true where person_id = $1`, [
      principal.personId,
    ]);
    await h.database.asSuperuser(`update auth.people set two_factor_enabled = true where id = $1`, [
      principal.personId,
    ]);
    secret.rotate(randomToken());
    await h.identity.refresh({ refreshToken: tokens.refreshToken, client: CLIENT });
    await h.identity.verifyEmail(link);
    await h.identity.login({ email, password: PASSWORD, code: backupCodes[0], client: CLIENT });
  });

  it('refuses a signing key of another kind when it starts', () => {
    assert.throws(
      () => h.another({ settings: { AUTH_JWT_KEY: fixedSecret('AUTH_JWT_KEY', rsaPem()) } as never }),
      /Ed25519/,
    );
  });
});

const rsaPem = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
