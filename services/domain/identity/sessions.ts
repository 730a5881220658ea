import { fail } from '#platform/errors/index.ts';
import type { PersonPrincipal } from './access-token.ts';
import { ANONYMOUS, byPerson, type Client, type Kernel, printable, type TokenPair, tokenPair } from './kernel.ts';
import { decideRefresh, isAuthentic, parseRefreshToken } from './refresh-token.ts';
import { OUTSIDE_CLOCK_TOLERANCE_S, OUTSIDE_TOKEN_MAX_S } from './rules.ts';
import * as people from './store/people.ts';
import * as store from './store/sessions.ts';

/** A session as its person sees it. */
export interface SessionView {
  id: string;
  ip: string;
  userAgent: string;
  createdAt: Date;
  lastUsedAt: Date;
  expiresAt: Date;
  /** The one that asks. */
  current: boolean;
}

type RefreshResult =
  | { kind: 'rotate' | 'repeat'; tokens: TokenPair }
  | { kind: 'unknown' | 'expired' | 'superseded' }
  | { kind: 'reuse'; sessionId: string };

/**
 * Exchanges a refresh token for a new pair.
 * @throws KlarError unauthenticated `invalid_refresh_token`, `session_expired`, `refresh_token_superseded` (a sibling
 *   already has the next one; use that), `refresh_token_reused` (the session has been ended)
 */
export async function refresh(
  kernel: Kernel,
  input: { refreshToken: string; client: Client; signal?: AbortSignal | undefined },
): Promise<TokenPair> {
  const presented = parseRefreshToken(input.refreshToken);
  const result: RefreshResult =
    presented === undefined
      ? { kind: 'unknown' }
      : await kernel.db.withTx(
          async (tx): Promise<RefreshResult> => {
            const family = await store.lock(tx, presented.sessionId);
            if (family === undefined || !isAuthentic(presented, kernel.secrets(), family.seed))
              return { kind: 'unknown' };
            if (!family.live) return { kind: 'expired' };
            const state = {
              generation: family.generation,
              rotatedMsAgo: family.rotated_ms_ago,
              graceUsed: family.grace_used,
            };
            const decision = decideRefresh(state, presented.generation);
            const pair = (generation: number) =>
              tokenPair(kernel, {
                sessionId: family.session_id,
                generation,
                seed: family.seed,
                person: { ...family, id: family.person_id },
              });
            switch (decision) {
              case 'rotate':
                await store.rotate(tx, family.session_id, {
                  ip: printable(input.client.ip),
                  userAgent: printable(input.client.userAgent),
                });
                return { kind: decision, tokens: await pair(family.generation + 1) };
              case 'repeat':
                await store.takeGrace(tx, family.session_id);
                return { kind: decision, tokens: await pair(family.generation) };
              case 'reuse':
                await store.end(tx, family.session_id, family.person_id);
                await kernel.outbox.emit(tx, {
                  audit: {
                    action: 'sessions.reuse',
                    actor: ANONYMOUS,
                    object: { type: 'session', id: family.session_id },
                    details: {
                      person_id: family.person_id,
                      generation: presented.generation,
                      current: family.generation,
                    },
                  },
                });
                return { kind: decision, sessionId: family.session_id };
              default:
                return { kind: decision };
            }
          },
          { signal: input.signal },
        );
  return answer(kernel, result);
}

function answer(kernel: Kernel, result: RefreshResult): TokenPair {
  kernel.metrics
    .counter('klar_identity_refreshes_total', 'Refreshes by result', ['result'])
    .inc({ result: result.kind });
  switch (result.kind) {
    case 'rotate':
    case 'repeat':
      return result.tokens;
    case 'expired':
      throw fail.unauthenticated('session_expired', 'The session has expired; log in again.');
    case 'superseded':
      throw fail.unauthenticated(
        'refresh_token_superseded',
        'This token was already exchanged; use the one from that answer.',
      );
    case 'reuse':
      kernel.revocations.add([result.sessionId]);
      kernel.log.warn('an old refresh token was used again; its session was ended', { session_id: result.sessionId });
      throw fail.unauthenticated(
        'refresh_token_reused',
        'This token was used before; the session has been ended. Log in again.',
      );
    case 'unknown':
      throw fail.unauthenticated('invalid_refresh_token', 'The refresh token is not valid; log in again.');
  }
}

/** Ends the session of the caller. */
export async function logout(kernel: Kernel, principal: PersonPrincipal): Promise<void> {
  await kernel.db.withTx(async (tx) => {
    if (principal.sessionId.startsWith('out_')) {
      await store.endOutside(tx, principal.sessionId, OUTSIDE_TOKEN_MAX_S + 2 * OUTSIDE_CLOCK_TOLERANCE_S);
    } else {
      await store.end(tx, principal.sessionId, principal.personId);
    }
    await kernel.outbox.emit(tx, ended(principal.personId, principal.sessionId));
  });
  kernel.revocations.add([principal.sessionId]);
}

/** Ends every session of the caller, tokens of outside issuers included. */
export async function logoutEverywhere(kernel: Kernel, principal: PersonPrincipal): Promise<void> {
  const { personId } = principal;
  const ids = await kernel.db.withTx(async (tx) => {
    const ids = await store.endAll(tx, personId);
    await people.refuseOutsideTokens(tx, personId);
    await kernel.outbox.emit(tx, {
      audit: {
        action: 'sessions.logout_all',
        actor: byPerson(personId),
        object: { type: 'person', id: personId },
        details: { sessions: ids.length },
      },
    });
    return ids;
  });
  kernel.outside.forget(personId);
  kernel.revocations.add(ids);
}

/** Ends one session of the caller's. @throws KlarError not_found for anybody else's. */
export async function endOne(kernel: Kernel, principal: PersonPrincipal, sessionId: string): Promise<void> {
  const found = await kernel.db.withTx(async (tx) => {
    if (!(await store.end(tx, sessionId, principal.personId))) return false;
    await kernel.outbox.emit(tx, ended(principal.personId, sessionId));
    return true;
  });
  if (!found) throw fail.notFound();
  kernel.revocations.add([sessionId]);
}

/** Newest first; `before` is the id of the last one of the page before. */
export async function list(
  kernel: Kernel,
  principal: PersonPrincipal,
  page: { before?: string | undefined; limit: number },
): Promise<SessionView[]> {
  // Every id sorts below '~'.
  const rows = await kernel.db.withTx((tx) => store.list(tx, principal.personId, page.before ?? '~', page.limit), {
    readOnly: true,
  });
  return rows.map((row) => ({
    id: row.id,
    ip: row.ip_address ?? '',
    userAgent: row.user_agent ?? '',
    createdAt: row.created_at,
    lastUsedAt: row.updated_at,
    expiresAt: row.expires_at,
    current: row.id === principal.sessionId,
  }));
}

const ended = (personId: string, sessionId: string) => ({
  audit: { action: 'sessions.logout' as const, actor: byPerson(personId), object: { type: 'session', id: sessionId } },
});
