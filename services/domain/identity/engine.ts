import { createEmailVerificationToken } from 'better-auth/api';
import { type BetterAuthOptions, betterAuth } from 'better-auth/minimal';
import { bearer } from 'better-auth/plugins/bearer';
import { twoFactor } from 'better-auth/plugins/two-factor';
import type { Tx } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { currentScope, type Scope, scopes, transactionAdapter } from './adapter.ts';
import type { PasswordHashing } from './hasher.ts';
import { MAX_PASSWORD, MIN_PASSWORD } from './password.ts';
import { RESET_LINK_MINUTES, SESSION_DAYS, VERIFY_LINK_HOURS } from './rules.ts';
import * as sessionStore from './store/sessions.ts';

/** What became of a call: better-auth's refusals are answers, not exceptions, so that its counters can be committed. */
export type Outcome<T> =
  | { ok: true; value: T; scope: Scope }
  | { ok: false; code: string; status: number; scope: Scope };

/** better-auth 1.7 used in process. Its HTTP handler is never mounted: every way in is a route of ours. */
export interface Engine {
  /**
   * Calls better-auth inside `tx`.
   * @param mayHash the caller holds a permit of the hasher; without it hashing throws, because it would hold a
   *   database connection while it waits
   */
  call<T>(tx: Tx, fn: (api: Api) => Promise<T>, options?: { mayHash?: boolean }): Promise<Outcome<T>>;
  /** As `call`, for what better-auth does only for somebody logged in: it is shown a session that ends with the call. */
  callAs<T>(tx: Tx, personId: string, fn: (api: Api, headers: Headers) => Promise<T>): Promise<Outcome<T>>;
  /** A signed token that proves the reader of a mailbox; bound to the person and the address. */
  emailToken(person: { id: string; email: string }): Promise<string>;
  /** The challenge of a login that waits for its second factor, from and to better-auth's cookie. */
  challengeOf(headers: Headers): Promise<string>;
  headersOf(challenge: string): Promise<Headers>;
}

type Auth = ReturnType<typeof makeAuth>;
export type Api = Auth['api'];

export interface EngineInput {
  /** The current secret, then the previous one. */
  secrets: { value: string; version: number }[];
  baseUrl: string;
  hashing: PasswordHashing;
  log: Logger;
}

const ID_PREFIX: Record<string, string> = {
  user: 'usr',
  session: 'ses',
  account: 'acc',
  verification: 'ver',
  twoFactor: 'tfa',
};

function makeAuth(input: EngineInput) {
  const permitted = () => {
    if (!currentScope().mayHash) throw new Error('a password was hashed without a permit');
  };
  return betterAuth({
    appName: 'Klar',
    baseURL: input.baseUrl,
    secrets: input.secrets,
    database: transactionAdapter,
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    // Its messages hold addresses; what matters is counted and logged here.
    logger: {
      level: 'error',
      log: (level, message) => input.log.log(level === 'error' ? 'error' : 'debug', `better-auth: ${message}`),
    },
    advanced: {
      // Called in process: there is no browser request whose origin could be checked. The http layer checks origins.
      disableCSRFCheck: true,
      disableOriginCheck: true,
      // Kept by our own statement, as the http layer found it.
      ipAddress: { disableIpTracking: true },
      database: { generateId: ({ model }) => newId(ID_PREFIX[model] ?? 'ath') },
    },
    session: { expiresIn: SESSION_DAYS * 86_400, disableSessionRefresh: true },
    verification: { storeIdentifier: 'hashed', disableCleanup: true },
    account: { accountLinking: { enabled: false } },
    emailVerification: {
      sendVerificationEmail: async () => {},
      expiresIn: VERIFY_LINK_HOURS * 3600,
      afterEmailVerification: async ({ id }) => {
        currentScope().verifiedPersonId = id;
      },
    },
    emailAndPassword: {
      enabled: true,
      autoSignIn: false,
      minPasswordLength: MIN_PASSWORD,
      maxPasswordLength: MAX_PASSWORD,
      resetPasswordTokenExpiresIn: RESET_LINK_MINUTES * 60,
      password: {
        hash: async (password) => {
          permitted();
          return input.hashing.hash(password);
        },
        verify: async ({ hash, password }) => {
          permitted();
          return input.hashing.verify(hash, password);
        },
      },
      onExistingUserSignUp: async ({ user }) => {
        currentScope().existing = { id: user.id, email: user.email, name: user.name };
      },
      sendResetPassword: async ({ token, user }) => {
        const scope = currentScope();
        scope.resetToken = token;
        scope.resetPersonId = user.id;
      },
      onPasswordReset: async ({ user }) => {
        currentScope().resetPersonId = user.id;
      },
    },
    plugins: [bearer(), twoFactor({ issuer: 'Klar', totpOptions: { digits: 6, period: 30 } })],
  } satisfies BetterAuthOptions);
}

interface ApiErrorLike {
  name: string;
  statusCode: number;
  body?: { code?: string };
}

const isApiError = (error: unknown): error is ApiErrorLike =>
  error instanceof Error &&
  error.name === 'APIError' &&
  typeof (error as unknown as ApiErrorLike).statusCode === 'number';

const CHALLENGE_COOKIE = 'two_factor';

export function createEngine(input: EngineInput): Engine {
  const auth = makeAuth(input);
  const cookieName = async () => (await auth.$context).createAuthCookie(CHALLENGE_COOKIE).name;

  async function within<T>(scope: Scope, fn: () => Promise<T>): Promise<Outcome<T>> {
    try {
      const value = await scopes.run(scope, fn);
      if (scope.failed !== undefined) throw scope.failed;
      return { ok: true, value, scope };
    } catch (error) {
      if (scope.failed !== undefined) throw scope.failed;
      if (!isApiError(error) || error.statusCode >= 500) throw error;
      return { ok: false, code: error.body?.code ?? 'REFUSED', status: error.statusCode, scope };
    }
  }

  return {
    call: (tx, fn, options) => within({ tx, mayHash: options?.mayHash ?? false, sessions: [] }, () => fn(auth.api)),
    async callAs(tx, personId, fn) {
      const { internalAdapter } = await auth.$context;
      const scope: Scope = { tx, mayHash: true, sessions: [] };
      const outcome = await within(scope, async () => {
        const session = await internalAdapter.createSession(personId);
        return fn(auth.api, new Headers({ authorization: `Bearer ${session.token}` }));
      });
      // better-auth replaces the session when a second factor changes; none of these was ever anybody's.
      await sessionStore.deleteWorkingSessions(
        tx,
        scope.sessions.map(({ id }) => id),
      );
      return outcome;
    },
    async emailToken(person) {
      const { secret } = await auth.$context;
      return createEmailVerificationToken(secret, person.email, undefined, VERIFY_LINK_HOURS * 3600, {
        userId: person.id,
      });
    },
    async challengeOf(headers) {
      const name = await cookieName();
      const cookie = headers.getSetCookie().find((line) => line.startsWith(`${name}=`));
      const value = cookie?.slice(name.length + 1).split(';')[0];
      if (!value) throw new Error('better-auth set no second-factor cookie');
      return value;
    },
    async headersOf(challenge) {
      // The challenge comes from the client: nothing in it may end the cookie and begin another.
      const safe = /^[A-Za-z0-9%._~+/=-]{1,512}$/.test(challenge) ? challenge : 'invalid';
      return new Headers({ cookie: `${await cookieName()}=${safe}` });
    },
  };
}
