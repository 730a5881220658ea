import { hmacSha256, safeEqual } from '#platform/crypto/index.ts';
import { isId } from '#platform/ids/index.ts';
import { REFRESH_GRACE_MS } from './rules.ts';

/**
 * Refresh tokens are `rt_<session>_<generation>_<mac>`; the mac is HMAC-SHA256 over (session, generation, seed) under
 * AUTH_SECRET. So a retry within the grace time can be given the very token the lost answer held (nothing forks), and
 * an old token still proves that it once was real: only such a token can end a family, an invented one ends nothing.
 */

export interface PresentedToken {
  sessionId: string;
  generation: number;
  mac: string;
}

export function mintRefreshToken(secret: string, sessionId: string, generation: number, seed: Buffer): string {
  return `rt_${sessionId.slice(4)}_${generation.toString(36)}_${macOf(secret, sessionId, generation, seed)}`;
}

/** The parts of a token, or undefined for anything that does not have its form. */
export function parseRefreshToken(token: string): PresentedToken | undefined {
  const match = /^rt_([0-9a-f]{32})_([0-9a-z]{1,6})_([A-Za-z0-9_-]{43})$/.exec(token);
  if (match === null) return undefined;
  const sessionId = `ses_${match[1]}`;
  const generation = Number.parseInt(match[2] ?? '', 36);
  return isId('ses', sessionId) ? { sessionId, generation, mac: match[3] ?? '' } : undefined;
}

/** Whether the token was made by us, with any of the secrets still accepted. */
export function isAuthentic(token: PresentedToken, secrets: readonly string[], seed: Buffer): boolean {
  return secrets.some((secret) => safeEqual(macOf(secret, token.sessionId, token.generation, seed), token.mac));
}

function macOf(secret: string, sessionId: string, generation: number, seed: Buffer): string {
  return hmacSha256(
    secret,
    Buffer.concat([Buffer.from(`klar refresh token\n${sessionId}\n${generation}\n`), seed]),
  ).toString('base64url');
}

export interface FamilyState {
  generation: number;
  /** Since the current generation was made. */
  rotatedMsAgo: number;
  graceUsed: boolean;
}

/**
 * - `rotate`: the current token; the next generation replaces it
 * - `repeat`: the previous one, once, within the grace time: the answer was lost, or another tab was faster
 * - `superseded`: the previous one again within the grace time: refused, but no sign of theft yet
 * - `reuse`: an old token after its time: somebody else has a copy, the family ends
 * - `unknown`: a token of the future (the database was restored from a backup)
 */
export type RefreshDecision = 'rotate' | 'repeat' | 'superseded' | 'reuse' | 'unknown';

export function decideRefresh(state: FamilyState, presented: number): RefreshDecision {
  if (presented === state.generation) return 'rotate';
  if (presented > state.generation) return 'unknown';
  const inGrace = presented === state.generation - 1 && state.rotatedMsAgo <= REFRESH_GRACE_MS;
  if (!inGrace) return 'reuse';
  return state.graceUsed ? 'superseded' : 'repeat';
}
