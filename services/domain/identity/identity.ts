import { createHash } from 'node:crypto';
import type { JWK } from 'jose';
import type { Clock } from '#platform/clock/index.ts';
import { needSecret, type Settings } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';
import { createAccessTokens, invalidToken, type PersonPrincipal, sessionEnded } from './access-token.ts';
import * as credentials from './credentials.ts';
import type { Engine } from './engine.ts';
import { createHasher, type Hasher } from './hasher.ts';
import type { Client, Kernel, Links, TokenPair } from './kernel.ts';
import * as login from './login.ts';
import { createLoop } from './loop.ts';
import { createOutbox } from './outbox.ts';
import { createOutsideAccounts } from './outside-accounts.ts';
import { createOutsideIssuers, unverifiedIssuer } from './outside-issuers.ts';
import * as registration from './registration.ts';
import { createRevocations } from './revocations.ts';
import * as secondFactor from './second-factor.ts';
import * as sessions from './sessions.ts';
import * as outboxStore from './store/outbox.ts';
import * as people from './store/people.ts';
import * as sessionStore from './store/sessions.ts';
import { createTurnstile } from './turnstile.ts';

/** A person as other modules may see one. */
export interface Person {
  id: string;
  email: string;
  emailVerified: boolean;
  name: string;
  secondFactor: boolean;
}

/** Who is who. One per process that serves the api; every method may be called before `start` has finished. */
export interface Identity {
  /** Begins polling revocations, handing over audit rows and mails, and cleaning up. */
  start(): void;
  /** Stops all of that and waits for what is running. */
  stop(): Promise<void>;

  /**
   * The person behind a Bearer token, ours or an outside issuer's, checked in process.
   * @throws KlarError unauthenticated `invalid_token`, `token_expired`, `session_ended`; forbidden for an outside
   *   account that may not be linked; unavailable when an issuer's keys, or the database after 4 s without it, are away
   */
  verifyAccessToken(token: string): Promise<PersonPrincipal>;
  /** Public keys of our access tokens, as RFC 7517 has them. */
  jwks(): { keys: JWK[] };

  register(input: registration.RegisterInput): Promise<registration.RegisteredPerson>;
  login(input: login.LoginInput): Promise<TokenPair>;
  loginSecondFactor(input: login.SecondFactorInput): Promise<TokenPair>;
  refresh(input: { refreshToken: string; client: Client; signal?: AbortSignal }): Promise<TokenPair>;
  logout(principal: PersonPrincipal): Promise<void>;
  logoutEverywhere(principal: PersonPrincipal): Promise<void>;
  listSessions(principal: PersonPrincipal, page: { before?: string; limit: number }): Promise<sessions.SessionView[]>;
  endSession(principal: PersonPrincipal, sessionId: string): Promise<void>;

  requestVerification(principal: PersonPrincipal): Promise<void>;
  verifyEmail(token: string): Promise<void>;
  forgotPassword(email: string): Promise<void>;
  resetPassword(input: { token: string; password: string; signal?: AbortSignal }): Promise<void>;
  changePassword(
    principal: PersonPrincipal,
    input: { currentPassword: string; newPassword: string; signal?: AbortSignal },
  ): Promise<void>;

  enableSecondFactor(principal: PersonPrincipal, password: string): Promise<secondFactor.SecondFactorSetup>;
  confirmSecondFactor(principal: PersonPrincipal, code: string): Promise<void>;
  disableSecondFactor(principal: PersonPrincipal, password: string): Promise<void>;
  renewBackupCodes(principal: PersonPrincipal, password: string): Promise<string[]>;

  /** Persons by id; unknown ids are missing from the answer. */
  people(ids: readonly string[]): Promise<Map<string, Person>>;
}

export interface IdentityInput {
  settings: Pick<
    Settings,
    'PUBLIC_BASE_URL' | 'AUTH_ISSUERS' | 'AUTH_JWT_KEY' | 'AUTH_SECRET' | 'meta' | 'KLAR_SECRETS_DIR'
  >;
  /** As klar_auth. */
  db: Db;
  /** As klar_api: audit rows and mails are written with it. */
  apiDb: Db;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  /** For tests: bounds of the password hasher. */
  hashing?: { concurrency?: number; queue?: number };
  /** For tests: milliseconds that never go back. */
  monotonic?: () => number;
}

const CLEANUP_MS = 600_000;
/** No token of ours or of a sane issuer is longer; a megabyte in a header is not decoded to find that out. */
const MAX_TOKEN_LENGTH = 8_192;

/** @throws TypeError or ConfigError for settings that cannot work */
export function createIdentity(input: IdentityInput): Identity {
  const { settings, db, apiDb, clock, metrics, monotonic } = input;
  const log = input.log.child({ part: 'identity' });
  const secret = needSecret(settings as Settings, 'AUTH_SECRET');
  const tokens = createAccessTokens({
    key: needSecret(settings as Settings, 'AUTH_JWT_KEY'),
    issuer: settings.PUBLIC_BASE_URL,
    clock,
  });
  const issuers = createOutsideIssuers(settings.AUTH_ISSUERS, clock);
  const hasher = createHasher({ metrics, ...input.hashing });
  const revocations = createRevocations({
    load: (signal) => db.withTx((tx) => sessionStore.revoked(tx), { readOnly: true, signal, retries: 0 }),
    ask: (sessionId) => db.withTx((tx) => sessionStore.ended(tx, sessionId), { readOnly: 'one flight' }),
    log,
    metrics,
    ...(monotonic === undefined ? {} : { monotonic }),
  });
  const outbox = createOutbox({
    db,
    apiDb,
    log,
    metrics,
    expandReset: (tx, email, requestId) => credentials.expandReset(kernel, tx, email, requestId),
  });
  const cleanup = createLoop({ name: 'identity cleanup', everyMs: CLEANUP_MS, log, runOnce: () => clean(db, metrics) });
  const kernel: Kernel = {
    db,
    engines: enginesOf({ secret, baseUrl: settings.PUBLIC_BASE_URL, hasher, log }),
    hasher,
    turnstile: createTurnstile(),
    outbox,
    tokens,
    revocations,
    outside: createOutsideAccounts({ db, outbox, metrics, ...(monotonic === undefined ? {} : { monotonic }) }),
    secrets: () => secret.accepted().map(({ value }) => value),
    links: linksOf(settings.PUBLIC_BASE_URL),
    log,
    metrics,
  };
  const loops = [revocations.loop, outbox.loop, cleanup];
  const refused = metrics.counter('klar_identity_tokens_refused_total', 'Access tokens that were not taken', ['code']);

  async function verify(token: string): Promise<PersonPrincipal> {
    if (token.length > MAX_TOKEN_LENGTH) throw invalidToken();
    const issuer = unverifiedIssuer(token);
    if (issuer === undefined) throw invalidToken();
    const principal =
      issuer === tokens.issuer || !issuers.trusts(issuer)
        ? await tokens.verify(token)
        : await kernel.outside.resolve(await issuers.verify(token), token);
    if (await revocations.isEnded(principal.sessionId)) throw sessionEnded();
    return principal;
  }

  return {
    start() {
      for (const loop of loops) loop.start();
    },
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
    async verifyAccessToken(token) {
      try {
        return await verify(token);
      } catch (error) {
        refused.inc({ code: String((error as { code?: unknown }).code ?? 'error') });
        throw error;
      }
    },
    jwks: () => tokens.jwks(),
    register: (request) => registration.register(kernel, request),
    login: (request) => login.login(kernel, request),
    loginSecondFactor: (request) => login.loginSecondFactor(kernel, request),
    refresh: (request) => sessions.refresh(kernel, request),
    logout: (principal) => sessions.logout(kernel, principal),
    logoutEverywhere: (principal) => sessions.logoutEverywhere(kernel, principal),
    listSessions: (principal, page) => sessions.list(kernel, principal, page),
    endSession: (principal, id) => sessions.endOne(kernel, principal, id),
    requestVerification: (principal) => registration.requestVerification(kernel, principal),
    verifyEmail: (token) => registration.verifyEmail(kernel, token),
    forgotPassword: (email) => credentials.forgotPassword(kernel, email),
    resetPassword: (request) => credentials.resetPassword(kernel, request),
    changePassword: (principal, request) => credentials.changePassword(kernel, principal, request),
    enableSecondFactor: (principal, password) => secondFactor.enable(kernel, principal, password),
    confirmSecondFactor: (principal, code) => secondFactor.confirm(kernel, principal, code),
    disableSecondFactor: (principal, password) => secondFactor.disable(kernel, principal, password),
    renewBackupCodes: (principal, password) => secondFactor.renewBackupCodes(kernel, principal, password),
    async people(ids) {
      if (ids.length === 0) return new Map();
      const rows = await db.withTx((tx) => people.byIds(tx, ids), { readOnly: 'one flight' });
      return new Map(rows.map((row) => [row.id, personOf(row)]));
    },
  };
}

const personOf = (row: people.PersonRow): Person => ({
  id: row.id,
  email: row.email,
  emailVerified: row.email_verified,
  name: row.name,
  secondFactor: row.two_factor_enabled,
});

function linksOf(base: string): Links {
  return {
    verifyEmail: (token) => `${base}/verify-email#token=${encodeURIComponent(token)}`,
    resetPassword: (token) => `${base}/reset-password#token=${encodeURIComponent(token)}`,
    login: `${base}/`,
  };
}

/** better-auth under each accepted secret, loaded when first needed and made anew when AUTH_SECRET rotates. */
function enginesOf(input: {
  secret: ReturnType<typeof needSecret>;
  baseUrl: string;
  hasher: Hasher;
  log: Logger;
}): Kernel['engines'] {
  let made: Promise<readonly [Engine, ...Engine[]]> | undefined;
  input.secret.onChange(() => {
    made = undefined;
  });
  const make = async (): Promise<readonly [Engine, ...Engine[]]> => {
    const { createEngine } = await import('./engine.ts');
    const secrets = input.secret.accepted().map(({ value }) => ({ value, version: versionOf(value) }));
    const engine = (first: { value: string; version: number }) =>
      createEngine({
        secrets: [first, ...secrets.filter((other) => other !== first)],
        baseUrl: input.baseUrl,
        hashing: input.hasher,
        log: input.log,
      });
    const [current, ...previous] = secrets;
    if (current === undefined) throw new Error('AUTH_SECRET has no value');
    return [engine(current), ...previous.map(engine)];
  };
  return () => {
    made ??= make();
    return made;
  };
}

/** better-auth names the key of a ciphertext by a number: one that follows from the key survives any reordering. */
function versionOf(secret: string): number {
  return createHash('sha256').update(`klar better-auth key version\n${secret}`).digest().readUInt32BE(0);
}

async function clean(db: Db, metrics: Metrics): Promise<undefined> {
  const { waiting, oldest_s } = await db.withTx(async (tx) => {
    await outboxStore.clean(tx);
    return outboxStore.measure(tx);
  });
  metrics.gauge('klar_identity_outbox_waiting', 'Audit rows and mails not yet handed over').set(waiting);
  metrics.gauge('klar_identity_outbox_oldest_seconds', 'Age of the oldest of them').set(oldest_s);
}
