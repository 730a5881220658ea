import { createRemoteJWKSet, decodeJwt, type JWTPayload, errors as joseErrors, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Clock } from '#platform/clock/index.ts';
import type { OutsideIssuer } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { expiredToken, invalidToken, tokenError } from './access-token.ts';
import { foldsHarmlessly, normalizeEmail } from './email.ts';
import { OUTSIDE_CLOCK_TOLERANCE_S, OUTSIDE_TOKEN_MAX_S } from './rules.ts';

/** What an outside token says, after everything about it was checked. */
export interface OutsideClaims {
  issuer: string;
  subject: string;
  issuedAtS: number;
  /** Names this token or this login at its issuer. */
  tokenId: string | undefined;
  email: string | undefined;
  emailVerified: boolean;
  name: string | undefined;
}

export interface OutsideIssuers {
  trusts(issuer: string): boolean;
  /** @throws KlarError unauthenticated; unavailable `issuer_unavailable` when its keys cannot be fetched */
  verify(token: string): Promise<OutsideClaims>;
}

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** One slow issuer must not hold our requests; a burst of unknown key ids asks it once in ten seconds. */
const FETCH_TIMEOUT_MS = 3_000;
const COOL_DOWN_MS = 10_000;
const KEYS_LIVE_MS = 600_000;

export function createOutsideIssuers(
  issuers: readonly OutsideIssuer[],
  clock: Clock,
  { coolDownMs = COOL_DOWN_MS }: { coolDownMs?: number } = {},
): OutsideIssuers {
  const trusted = new Map(issuers.map((entry) => [entry.issuer, { entry, keys: keysOf(entry, coolDownMs) }]));

  return {
    trusts: (issuer) => trusted.has(issuer),
    async verify(token) {
      const found = trusted.get(unverifiedIssuer(token) ?? '');
      if (found === undefined) throw invalidToken();
      const { entry } = found;
      const keys = await found.keys();
      try {
        const { payload } = await jwtVerify(token, keys, {
          algorithms: [...entry.algorithms],
          issuer: entry.issuer,
          audience: entry.audience,
          clockTolerance: OUTSIDE_CLOCK_TOLERANCE_S,
          // Also refuses a token from the future.
          maxTokenAge: OUTSIDE_TOKEN_MAX_S,
          requiredClaims: ['exp', 'iat', 'sub'],
          currentDate: clock.now(),
        });
        return claimsOf(entry.issuer, payload, clock.now());
      } catch (error) {
        throw keysAreAway(error) ? issuerAway(error) : tokenError(error);
      }
    },
  };
}

/** Issuer as the token says; trusted only to choose whose keys to check it with. */
export function unverifiedIssuer(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function claimsOf(issuer: string, payload: JWTPayload, now: Date): OutsideClaims {
  const { sub, iat = 0, exp = 0, jti, sid, email, email_verified, name } = payload;
  if (typeof sub !== 'string' || sub.length === 0 || sub.length > 255 || /\p{Cc}/u.test(sub)) throw invalidToken();
  if (exp - now.getTime() / 1_000 > OUTSIDE_TOKEN_MAX_S + OUTSIDE_CLOCK_TOLERANCE_S) throw expiredToken();
  return {
    issuer,
    subject: sub,
    issuedAtS: iat,
    tokenId: typeof sid === 'string' ? sid : jti,
    email: typeof email === 'string' && foldsHarmlessly(email) ? normalizeEmail(email) : undefined,
    // Some issuers send the text "true".
    emailVerified: email_verified === true || email_verified === 'true',
    name: typeof name === 'string' ? name : undefined,
  };
}

function keysOf(entry: OutsideIssuer, coolDownMs: number): () => Promise<KeySet> {
  let keys: KeySet | undefined;
  let pending: Promise<KeySet> | undefined;
  let failedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (keys !== undefined) return keys;
    // An issuer that is down is asked now and then, not by every request.
    if (performance.now() - failedAt < 5_000) throw issuerAway();
    pending ??= discover(entry)
      .then((address) => {
        keys = createRemoteJWKSet(new URL(address), {
          timeoutDuration: FETCH_TIMEOUT_MS,
          cooldownDuration: coolDownMs,
          cacheMaxAge: KEYS_LIVE_MS,
        });
        return keys;
      })
      .catch((error) => {
        failedAt = performance.now();
        throw issuerAway(error);
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  };
}

/** OpenID Connect Discovery 1.0 section 4: the document must name the very issuer it was asked of. */
async function discover(entry: OutsideIssuer): Promise<string> {
  if (entry.jwks_uri !== undefined) return entry.jwks_uri;
  const address = `${entry.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await fetch(address, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS), redirect: 'error' });
  if (!response.ok) throw new Error(`${address} answered ${response.status}`);
  const document = z
    .looseObject({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) })
    .parse(await response.json());
  if (document.issuer !== entry.issuer) throw new Error(`${address} speaks for ${document.issuer}`);
  // Keys fetched in the clear are whoever's keys the network wants them to be; settings refuse them only where they see them.
  if (entry.issuer.startsWith('https:') && !document.jwks_uri.startsWith('https:'))
    throw new Error(`${address} names keys that are not on https`);
  return document.jwks_uri;
}

/** The keys could not be fetched, which says nothing about the token: 503, so that clients keep it. */
function keysAreAway(error: unknown): boolean {
  if (error instanceof joseErrors.JWKSTimeout || error instanceof joseErrors.JWKSInvalid) return true;
  // jose throws its base class for an answer that is not 200 or not JSON, and lets fetch's own errors through.
  if (error instanceof joseErrors.JOSEError) return error.code === 'ERR_JOSE_GENERIC';
  return error instanceof TypeError || (error instanceof Error && error.name === 'TimeoutError');
}

const issuerAway = (cause?: unknown) =>
  fail.unavailable('issuer_unavailable', 'The keys of the token issuer cannot be fetched; try again.', 5, { cause });
