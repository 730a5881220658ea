import { sha256 } from '#platform/crypto/index.ts';
import type { Tx } from '#platform/db/index.ts';
import { fail, type KlarError } from '#platform/errors/index.ts';
import { normalizeEmail, throttleKey } from './email.ts';
import type { Engine } from './engine.ts';
import { ANONYMOUS, byPerson, type Client, type Kernel, openSession, printable, type TokenPair } from './kernel.ts';
import { afterFailure } from './lockout.ts';
import { normalizePassword } from './password.ts';
import * as people from './store/people.ts';
import * as sessions from './store/sessions.ts';
import * as throttles from './store/throttles.ts';

export interface LoginInput {
  email: string;
  password: string;
  /** Code of the second factor, when the client already has it. */
  code?: string | undefined;
  client: Client;
  signal?: AbortSignal | undefined;
}

export interface SecondFactorInput {
  /** From the refusal `second_factor_required`. */
  challenge: string;
  /** Six digits of the authenticator, or a backup code. */
  code: string;
  client: Client;
  signal?: AbortSignal | undefined;
}

type LoginResult =
  | { kind: 'done'; tokens: TokenPair }
  | { kind: 'refused' }
  | { kind: 'locked'; retryAfterS: number }
  | { kind: 'challenge'; challenge: string }
  | { kind: 'code_refused' }
  | { kind: 'code_locked' };

/** An address nobody has and a wrong password: the same words, the same work. */
export const badCredentials = (): KlarError =>
  fail.unauthenticated('invalid_credentials', 'The address or the password is wrong.');
export const locked = (retryAfterS: number): KlarError =>
  fail.rateLimited(retryAfterS, 'login_locked', 'Too many failed logins; wait, or reset the password.');
const badCode = () => fail.unauthenticated('invalid_code', 'The code is wrong, used, or too late.');

/** How long better-auth locks a second factor after ten wrong codes. */
const CODE_LOCK_S = 900;

/**
 * Logs in with e-mail and password.
 * @throws KlarError unauthenticated `invalid_credentials`, `second_factor_required` (with a `challenge`),
 *   `invalid_code`; rate_limited `login_locked`, `second_factor_locked`; unavailable `login_busy`
 */
export async function login(kernel: Kernel, input: LoginInput): Promise<TokenPair> {
  const email = normalizeEmail(input.email);
  const [engine] = await kernel.engines();
  const result = await kernel.turnstile.run(email, () =>
    kernel.hasher.withPermit(
      () => kernel.db.withTx((tx) => tryPassword(kernel, engine, tx, { ...input, email }), { signal: input.signal }),
      input.signal,
    ),
  );
  return answer(kernel, result);
}

/** Finishes a login that waits for its second factor. */
export async function loginSecondFactor(kernel: Kernel, input: SecondFactorInput): Promise<TokenPair> {
  const [engine] = await kernel.engines();
  const result = await kernel.db.withTx((tx) => tryCode(kernel, engine, tx, input), { signal: input.signal });
  return answer(kernel, result);
}

async function tryPassword(kernel: Kernel, engine: Engine, tx: Tx, input: LoginInput): Promise<LoginResult> {
  const { email, password, client } = input;
  // Strangers may fail as often as they like: who is logged in from this address is counted apart, so that nobody can
  // keep the owner of an account out of it.
  const known = await sessions.knownAddress(tx, email, printable(client.ip));
  const key = known ? knownKey(email, client) : throttleKey('login', email);
  const state = await throttles.lock(tx, key);
  if (state.lockedS > 0) return { kind: 'locked', retryAfterS: Math.ceil(state.lockedS) };
  const outcome = await engine.call(
    tx,
    (api) =>
      api.signInEmail({
        body: { email, password: normalizePassword(password) },
        returnHeaders: true,
      }),
    { mayHash: true },
  );
  if (!outcome.ok) {
    await countFailure(kernel, tx, { email, key, state });
    return { kind: 'refused' };
  }
  if ('twoFactorRedirect' in outcome.value.response) {
    const challenge = await engine.challengeOf(outcome.value.headers);
    // The count stays: knowing the password alone does not clear it.
    if (input.code === undefined) return { kind: 'challenge', challenge };
    return tryCode(kernel, engine, tx, { challenge, code: input.code, client });
  }
  const session = outcome.scope.sessions.at(-1);
  if (session === undefined) throw new Error('better-auth opened no session');
  return finish(kernel, tx, {
    sessionId: session.id,
    personId: outcome.value.response.user.id,
    method: 'password',
    client,
  });
}

async function tryCode(
  kernel: Kernel,
  engine: Engine,
  tx: Tx,
  input: Omit<SecondFactorInput, 'signal'>,
): Promise<LoginResult> {
  const code = input.code.replace(/\s/g, '');
  const headers = await engine.headersOf(input.challenge);
  const totp = /^\d{6}$/.test(code);
  const outcome = await engine.call(tx, async (api) =>
    totp ? api.verifyTOTP({ body: { code }, headers }) : api.verifyBackupCode({ body: { code }, headers }),
  );
  if (!outcome.ok) return { kind: outcome.status === 429 ? 'code_locked' : 'code_refused' };
  const session = outcome.scope.sessions.at(-1);
  const personId = outcome.value.user.id;
  if (session === undefined) throw new Error('better-auth opened no session');
  // Who looked over a shoulder has the code, too: it opens one session only.
  if (totp && !(await people.spend(tx, personId, spentHash(personId, code)))) {
    await sessions.deleteWorkingSessions(tx, [session.id]);
    return { kind: 'code_refused' };
  }
  return finish(kernel, tx, {
    sessionId: session.id,
    personId,
    method: totp ? 'password+totp' : 'password+backup_code',
    client: input.client,
  });
}

const knownKey = (email: string, client: Client): Buffer => throttleKey('login.known', email, printable(client.ip));

export const spentHash = (personId: string, code: string): Buffer => sha256(`${personId}\n${code}`);

async function finish(
  kernel: Kernel,
  tx: Tx,
  done: { sessionId: string; personId: string; method: string; client: Client },
): Promise<LoginResult> {
  const { sessionId, personId, method, client } = done;
  const person = await people.byId(tx, personId);
  if (person === undefined) return { kind: 'refused' };
  await throttles.clear(tx, [throttleKey('login', person.email), knownKey(person.email, client)]);
  await kernel.outbox.emit(tx, {
    audit: {
      action: 'sessions.login',
      actor: byPerson(personId),
      object: { type: 'session', id: sessionId },
      details: { method },
    },
  });
  return { kind: 'done', tokens: await openSession(kernel, tx, { sessionId, person, client }) };
}

/** Counts a wrong password, for an address that exists or not, and notes in the audit when that locks somebody. */
export async function countFailure(
  kernel: Kernel,
  tx: Tx,
  input: { email: string; key: Buffer; state: throttles.LockedThrottle },
): Promise<void> {
  const next = afterFailure(input.state);
  await throttles.fail(tx, input.key, next);
  if (next.lockS === 0) return;
  kernel.metrics.counter('klar_identity_lockouts_total', 'Accounts locked for a while after failed logins').inc();
  const person = await people.byEmail(tx, input.email);
  if (person === undefined) return;
  await kernel.outbox.emit(tx, {
    audit: {
      action: 'people.lock',
      actor: ANONYMOUS,
      object: { type: 'person', id: person.id },
      details: { failures: next.failures, seconds: next.lockS },
    },
  });
}

function answer(kernel: Kernel, result: LoginResult): TokenPair {
  kernel.metrics.counter('klar_identity_logins_total', 'Logins by result', ['result']).inc({ result: result.kind });
  switch (result.kind) {
    case 'done':
      return result.tokens;
    case 'refused':
      throw badCredentials();
    case 'locked':
      throw locked(result.retryAfterS);
    case 'challenge':
      throw fail.unauthenticated('second_factor_required', 'A code of the second factor is needed.', {
        members: { challenge: result.challenge, methods: ['totp', 'backup_code'] },
      });
    case 'code_refused':
      throw badCode();
    case 'code_locked':
      throw fail.rateLimited(CODE_LOCK_S, 'second_factor_locked', 'Too many wrong codes; wait before the next one.');
  }
}
