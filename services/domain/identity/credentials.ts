import type { Tx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { PersonPrincipal } from './access-token.ts';
import { normalizeEmail, throttleKey } from './email.ts';
import type { Api, Outcome } from './engine.ts';
import { ANONYMOUS, byPerson, type Kernel } from './kernel.ts';
import { countFailure, locked } from './login.ts';
import { normalizePassword } from './password.ts';
import { badLink, checkPassword } from './registration.ts';
import { RESET_LINK_MINUTES } from './rules.ts';
import * as people from './store/people.ts';
import * as sessions from './store/sessions.ts';
import * as throttles from './store/throttles.ts';

const MAILS_AN_HOUR = 5;

/**
 * Asks for a reset link. The same insert for every address, and the rest after the answer: neither its words nor its
 * time say whether there is such a person.
 */
export async function forgotPassword(kernel: Kernel, emailInput: string): Promise<void> {
  const email = normalizeEmail(emailInput);
  await kernel.db.withTx(async (tx) => {
    const { allowed } = await throttles.use(tx, throttleKey('mail.reset', email), MAILS_AN_HOUR, 3_600);
    if (allowed) await kernel.outbox.emit(tx, { resetFor: email });
  });
}

/** The second half of `forgotPassword`, run by the outbox. */
export async function expandReset(kernel: Kernel, tx: Tx, email: string, requestId: string | undefined): Promise<void> {
  const [engine] = await kernel.engines();
  const { scope } = await engine.call(tx, (api) => api.requestPasswordReset({ body: { email } }));
  const { resetToken, resetPersonId } = scope;
  if (resetToken === undefined || resetPersonId === undefined) return;
  const person = await people.byId(tx, resetPersonId);
  if (person === undefined) return;
  await kernel.outbox.emit(tx, {
    ...(requestId === undefined ? {} : { requestId }),
    audit: { action: 'people.request_password_reset', actor: ANONYMOUS, object: { type: 'person', id: person.id } },
    mail: {
      template: 'auth.reset_password',
      to: { email: person.email, name: person.name, personId: person.id },
      data: { name: person.name, url: kernel.links.resetPassword(resetToken), valid_minutes: RESET_LINK_MINUTES },
    },
  });
}

/**
 * Sets a new password with the token of the mail and ends every session. Reading the mail proves the address; a second
 * factor that was set up before that proof may be a stranger's and is removed. So are links to outside accounts, always:
 * a stranger's may have been there when the address was verified by a mail that its owner did not ask for. One whose
 * issuer vouches for the address is linked again by its next token.
 */
export async function resetPassword(
  kernel: Kernel,
  input: { token: string; password: string; signal?: AbortSignal | undefined },
): Promise<void> {
  checkPassword(input.password);
  const [engine] = await kernel.engines();
  const result = await kernel.hasher.withPermit(
    () =>
      kernel.db.withTx(
        async (tx) => {
          const body = { token: input.token, newPassword: normalizePassword(input.password) };
          const outcome = await engine.call(tx, (api) => api.resetPassword({ body }), { mayHash: true });
          const personId = outcome.scope.resetPersonId;
          if (!outcome.ok || personId === undefined) return undefined;
          const person = await people.lock(tx, personId);
          if (person === undefined) return undefined;
          if (!person.email_verified) await people.dropSecondFactor(tx, personId);
          await people.dropOutsideAccounts(tx, personId);
          await people.dropOpenTokens(tx, personId);
          const verified = await people.verify(tx, personId);
          const ended = await sessions.endAll(tx, personId);
          await people.refuseOutsideTokens(tx, personId);
          await throttles.clear(tx, [throttleKey('login', person.email), throttleKey('confirm', person.email)]);
          await kernel.outbox.emit(tx, {
            audit: {
              action: 'people.reset_password',
              actor: byPerson(personId),
              object: { type: 'person', id: personId },
              details: { sessions: ended.length, verified },
            },
          });
          return { personId, ended };
        },
        { signal: input.signal },
      ),
    input.signal,
  );
  if (result === undefined) throw badLink();
  kernel.outside.forget(result.personId);
  kernel.revocations.add(result.ended);
}

/** Changes the password of somebody logged in who knows the old one; ends their other sessions. */
export async function changePassword(
  kernel: Kernel,
  principal: PersonPrincipal,
  input: { currentPassword: string; newPassword: string; signal?: AbortSignal | undefined },
): Promise<void> {
  checkPassword(input.newPassword, principal.email);
  const ended = await withPassword(kernel, principal, {
    signal: input.signal,
    call: (api, headers) =>
      api.changePassword({
        body: {
          currentPassword: normalizePassword(input.currentPassword),
          newPassword: normalizePassword(input.newPassword),
        },
        headers,
      }),
    after: async (tx) => {
      const ids = await sessions.endAll(tx, principal.personId, principal.sessionId);
      await people.dropOpenTokens(tx, principal.personId);
      await kernel.outbox.emit(tx, {
        audit: {
          action: 'people.change_password',
          actor: byPerson(principal.personId),
          object: { type: 'person', id: principal.personId },
          details: { sessions: ids.length },
        },
      });
      return ids;
    },
  });
  kernel.revocations.add(ended);
}

export interface WithPassword<V, R> {
  signal?: AbortSignal | undefined;
  call(api: Api, headers: Headers): Promise<V>;
  /** After better-auth took the password, in the same transaction. */
  after(tx: Tx, value: V): Promise<R>;
}

type PasswordResult<R> =
  | { kind: 'done'; value: R }
  | { kind: 'locked'; retryAfterS: number }
  | { kind: 'refused'; code: string };

/**
 * Something that needs the password again. Wrong ones are counted as failed logins are, but apart from them: a stolen
 * access token must not become a way to guess the password without a limit, nor one to lock its owner out.
 */
export async function withPassword<V, R>(
  kernel: Kernel,
  principal: PersonPrincipal,
  work: WithPassword<V, R>,
): Promise<R> {
  const [engine] = await kernel.engines();
  const email = normalizeEmail(principal.email);
  const key = throttleKey('confirm', email);
  const attempt = async (tx: Tx): Promise<PasswordResult<R>> => {
    const state = await throttles.lock(tx, key);
    if (state.lockedS > 0) return { kind: 'locked', retryAfterS: Math.ceil(state.lockedS) };
    const outcome: Outcome<V> = await engine.callAs(tx, principal.personId, work.call);
    if (!outcome.ok) {
      if (outcome.code === 'INVALID_PASSWORD') await countFailure(kernel, tx, { email, key, state });
      return { kind: 'refused', code: outcome.code };
    }
    await throttles.clear(tx, [key]);
    return { kind: 'done', value: await work.after(tx, outcome.value) };
  };
  const result = await kernel.turnstile.run(email, () =>
    kernel.hasher.withPermit(() => kernel.db.withTx(attempt, { signal: work.signal }), work.signal),
  );
  if (result.kind === 'done') return result.value;
  if (result.kind === 'locked') throw locked(result.retryAfterS);
  throw refusal(result.code);
}

function refusal(code: string) {
  switch (code) {
    case 'TOTP_ALREADY_ENABLED':
      return fail.conflict('second_factor_already_on', 'A second factor is already on; switch it off first.');
    case 'TWO_FACTOR_NOT_ENABLED':
      return fail.conflict('second_factor_off', 'No second factor is on.');
    case 'CREDENTIAL_ACCOUNT_NOT_FOUND':
      return fail.conflict('no_password', 'This account has no password yet; set one with a password reset.');
    default:
      // 403, not 401: the caller is logged in, and a client must not throw its session away.
      return fail.forbidden('wrong_password', 'The password is wrong.');
  }
}
