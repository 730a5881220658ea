import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { type JWK, errors as joseErrors, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '#platform/clock/index.ts';
import type { Secret } from '#platform/config/index.ts';
import { fail, type KlarError } from '#platform/errors/index.ts';
import { isId, newId } from '#platform/ids/index.ts';
import { ACCESS_TOKEN_S } from './rules.ts';

/** Who a token speaks for. `emailVerified` is as old as the token: five minutes at most. */
export interface PersonPrincipal {
  kind: 'person';
  personId: string;
  sessionId: string;
  email: string;
  emailVerified: boolean;
  name: string;
}

/** Signs and checks our own access tokens (RFC 9068 `at+jwt`, EdDSA). `kid` is the generation of the key. */
export interface AccessTokens {
  readonly issuer: string;
  sign(person: PersonPrincipal): Promise<string>;
  /** Signature, issuer, audience and times; whether the session goes on is not asked here. */
  verify(token: string): Promise<PersonPrincipal>;
  /** Public keys of the generations that are accepted. */
  jwks(): { keys: JWK[] };
}

export const AUDIENCE = 'klar-api';
const TYPE = 'at+jwt';
/** About 5 MB. */
const CHECKED_TOKENS = 8_000;

interface Key {
  generation: string;
  private: KeyObject;
  public: KeyObject;
}

export function createAccessTokens(input: { key: Secret; issuer: string; clock: Clock }): AccessTokens {
  const { key, issuer, clock } = input;
  let ring = readKeys(key);
  // A client sends the same token for five minutes; checking an Ed25519 signature each time costs 0.2 ms of a core.
  const checked = new Map<string, { principal: PersonPrincipal; expiresS: number; generation: string }>();
  key.onChange(() => {
    ring = readKeys(key);
    checked.clear();
  });

  return {
    issuer,
    async sign(person) {
      const current = ring[0];
      if (current === undefined) throw new Error('AUTH_JWT_KEY has no key');
      const issuedAt = Math.floor(clock.now().getTime() / 1_000);
      return new SignJWT({
        sid: person.sessionId,
        email: person.email,
        email_verified: person.emailVerified,
        name: person.name,
      })
        .setProtectedHeader({ alg: 'EdDSA', kid: current.generation, typ: TYPE })
        .setSubject(person.personId)
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + ACCESS_TOKEN_S)
        .sign(current.private);
    },
    async verify(token) {
      const hit = checked.get(token);
      if (hit !== undefined) {
        if (hit.expiresS > clock.now().getTime() / 1_000) {
          key.used(hit.generation);
          return hit.principal;
        }
        checked.delete(token);
        throw expiredToken();
      }
      try {
        const { payload, protectedHeader } = await jwtVerify(
          token,
          ({ kid }) => {
            const found = ring.find(({ generation }) => generation === kid);
            if (found === undefined) throw new joseErrors.JWKSNoMatchingKey();
            return found.public;
          },
          {
            algorithms: ['EdDSA'],
            typ: TYPE,
            issuer,
            audience: AUDIENCE,
            requiredClaims: ['exp', 'iat', 'sub'],
            currentDate: clock.now(),
          },
        );
        const { sub, sid, email, email_verified, name } = payload;
        if (typeof sub !== 'string' || !isId('usr', sub) || typeof sid !== 'string' || !isId('ses', sid))
          throw invalidToken();
        if (typeof email !== 'string' || typeof name !== 'string') throw invalidToken();
        const principal: PersonPrincipal = {
          kind: 'person',
          personId: sub,
          sessionId: sid,
          email,
          emailVerified: email_verified === true,
          name,
        };
        if (checked.size >= CHECKED_TOKENS) checked.clear();
        const generation = protectedHeader.kid ?? '';
        key.used(generation);
        checked.set(token, { principal: Object.freeze(principal), expiresS: payload.exp ?? 0, generation });
        return principal;
      } catch (error) {
        throw tokenError(error);
      }
    },
    jwks: () => ({
      keys: ring.map(
        (entry) =>
          ({ ...entry.public.export({ format: 'jwk' }), kid: entry.generation, alg: 'EdDSA', use: 'sig' }) as JWK,
      ),
    }),
  };
}

function readKeys(secret: Secret): Key[] {
  return secret.accepted().map(({ value, generation }) => {
    const key = createPrivateKey(value);
    // Another kind of key would sign with another algorithm, and every verifier would refuse the tokens.
    if (key.asymmetricKeyType !== 'ed25519')
      throw new Error(`AUTH_JWT_KEY must be an Ed25519 key, not ${key.asymmetricKeyType}`);
    return { generation, private: key, public: createPublicKey(key) };
  });
}

const CHALLENGE = { headers: { 'WWW-Authenticate': 'Bearer error="invalid_token"' } };

export const invalidToken = (cause?: unknown): KlarError =>
  fail.unauthenticated('invalid_token', 'The access token is not valid.', { ...CHALLENGE, cause });
export const expiredToken = (): KlarError =>
  fail.unauthenticated('token_expired', 'The access token has expired; refresh it.', CHALLENGE);
export const sessionEnded = (): KlarError =>
  fail.unauthenticated('session_ended', 'The session has ended; log in again.', CHALLENGE);

/** What a client is told about a token that was not taken: that it expired, or nothing. */
export function tokenError(error: unknown): unknown {
  if (error instanceof joseErrors.JWTExpired) return expiredToken();
  if (error instanceof joseErrors.JOSEError) return invalidToken(error);
  return error;
}

/**
 * An access token of nobody, signed with this key: a rotation uses it to see whether a key is taken. It opens nothing, as
 * no such person or session exists.
 */
export function probeToken(input: { key: Secret; issuer: string; clock: Clock }): Promise<string> {
  return createAccessTokens(input).sign({
    kind: 'person',
    personId: newId('usr'),
    sessionId: newId('ses'),
    email: 'probe@invalid',
    emailVerified: false,
    name: 'Probe',
  });
}
