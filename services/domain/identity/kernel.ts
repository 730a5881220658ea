import { randomBytes } from 'node:crypto';
import type { Db, Tx } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import type { AccessTokens } from './access-token.ts';
import type { Engine } from './engine.ts';
import type { Hasher } from './hasher.ts';
import type { Outbox } from './outbox.ts';
import type { OutsideAccounts } from './outside-accounts.ts';
import { mintRefreshToken } from './refresh-token.ts';
import type { Revocations } from './revocations.ts';
import { ACCESS_TOKEN_S } from './rules.ts';
import type { PersonRow } from './store/people.ts';
import * as sessions from './store/sessions.ts';
import type { Turnstile } from './turnstile.ts';

/** What the operations of this module share. */
export interface Kernel {
  /** As klar_auth. */
  db: Db;
  /** better-auth under the current secret, then under the previous ones, for what was signed before a rotation. */
  engines(): Promise<readonly [Engine, ...Engine[]]>;
  hasher: Hasher;
  turnstile: Turnstile;
  outbox: Outbox;
  tokens: AccessTokens;
  revocations: Revocations;
  outside: OutsideAccounts;
  /** AUTH_SECRET: current, then previous. */
  secrets(): string[];
  links: Links;
  log: Logger;
  metrics: Metrics;
}

/** Addresses that go into mails. The token stands behind `#`: no server, proxy or referrer ever sees it. */
export interface Links {
  verifyEmail(token: string): string;
  resetPassword(token: string): string;
  login: string;
}

/** Where a login or a refresh comes from; shown to the person in the list of their sessions. */
export interface Client {
  ip: string;
  userAgent: string;
}

/** What a login and a refresh answer. */
export interface TokenPair {
  accessToken: string;
  /** Seconds. */
  expiresIn: number;
  refreshToken: string;
}

/** Makes a session that better-auth opened ours: from now on it has refresh tokens and can be revoked. */
export async function openSession(
  kernel: Kernel,
  tx: Tx,
  input: { sessionId: string; person: PersonRow; client: Client },
): Promise<TokenPair> {
  const { sessionId, person, client } = input;
  const seed = randomBytes(16);
  await sessions.openFamily(tx, { sessionId, seed, ip: printable(client.ip), userAgent: printable(client.userAgent) });
  return tokenPair(kernel, { sessionId, generation: 1, seed, person });
}

export async function tokenPair(
  kernel: Kernel,
  input: {
    sessionId: string;
    generation: number;
    seed: Buffer;
    person: Pick<PersonRow, 'id' | 'email' | 'email_verified' | 'name'>;
  },
): Promise<TokenPair> {
  const { sessionId, generation, seed, person } = input;
  const [secret] = kernel.secrets();
  if (secret === undefined) throw new Error('AUTH_SECRET has no value');
  return {
    accessToken: await kernel.tokens.sign({
      kind: 'person',
      personId: person.id,
      sessionId,
      email: person.email,
      emailVerified: person.email_verified,
      name: person.name,
    }),
    expiresIn: ACCESS_TOKEN_S,
    refreshToken: mintRefreshToken(secret, sessionId, generation, seed),
  };
}

/** A user agent is whatever a client sends. */
export function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]/g, '?')
    .trim()
    .slice(0, 300);
}

export const byPerson = (id: string) => ({ kind: 'person' as const, id });
/** Somebody who has not said who they are, or not proven it. */
export const ANONYMOUS = { kind: 'system' as const, id: 'anonymous' };
