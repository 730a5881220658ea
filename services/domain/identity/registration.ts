import { isAddress, isDisplayName } from '#domain/notifications/index.ts';
import { isUniqueViolation, type Tx } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { PersonPrincipal } from './access-token.ts';
import { normalizeEmail, throttleKey } from './email.ts';
import type { Engine } from './engine.ts';
import { byPerson, type Kernel } from './kernel.ts';
import { normalizePassword, type PasswordFault, passwordFault } from './password.ts';
import { VERIFY_LINK_HOURS } from './rules.ts';
import * as people from './store/people.ts';
import * as throttles from './store/throttles.ts';

export interface RegisterInput {
  email: string;
  password: string;
  name: string;
  signal?: AbortSignal | undefined;
}

export interface RegisteredPerson {
  id: string;
  email: string;
  name: string;
}

const taken = () => fail.conflict('email_taken', 'This address already has an account; log in or reset the password.');

/**
 * Registers a person and mails them a link that verifies the address.
 *
 * A taken address is said to be taken (409): the pinned answer carries the new person's id, and since an unverified
 * person may log in at once, a made-up answer would be exposed by the next request. What keeps the door narrow instead
 * is the rate class of the route, the same work for both answers, and a mail to the owner.
 */
export async function register(kernel: Kernel, input: RegisterInput): Promise<RegisteredPerson> {
  const email = normalizeEmail(input.email);
  const name = input.name.trim();
  const [engine] = await kernel.engines();
  if (!isAddress(email)) throw badAddress();
  if (name === '' || !isDisplayName(name))
    throw fail.invalid('invalid_name', 'Give a name without control characters.');
  checkPassword(input.password, email);
  const result = await kernel.hasher
    .withPermit(
      () =>
        kernel.db.withTx(
          async (tx) => {
            const body = { email, password: normalizePassword(input.password), name };
            const outcome = await engine.call(tx, (api) => api.signUpEmail({ body }), { mayHash: true });
            // What is left to refuse after our own checks is an address that better-auth finds malformed.
            if (!outcome.ok) throw badAddress(outcome.code);
            const { existing } = outcome.scope;
            if (existing !== undefined) {
              await tellOwner(kernel, tx, existing);
              return undefined;
            }
            const person = { id: outcome.value.user.id, email, name };
            await kernel.outbox.emit(tx, {
              audit: {
                action: 'people.register',
                actor: byPerson(person.id),
                object: { type: 'person', id: person.id },
              },
              mail: await verificationMail(kernel, engine, person),
            });
            return person;
          },
          { signal: input.signal },
        ),
      input.signal,
    )
    .catch((error) => {
      if (isUniqueViolation(error, 'people_email_key')) return undefined;
      throw error;
    });
  kernel.metrics
    .counter('klar_identity_registrations_total', 'Registrations by result', ['result'])
    .inc({ result: result ? 'done' : 'taken' });
  if (result === undefined) throw taken();
  return result;
}

/** One mail a day: the owner should know, and nobody should be able to fill their mailbox. */
async function tellOwner(kernel: Kernel, tx: Tx, owner: { id: string; email: string; name: string }): Promise<void> {
  const { allowed } = await throttles.use(tx, throttleKey('mail.taken', owner.email), 1, 86_400);
  if (!allowed) return;
  await kernel.outbox.emit(tx, {
    mail: {
      template: 'auth.email_taken',
      to: { email: owner.email, name: owner.name, personId: owner.id },
      data: { name: owner.name, url: kernel.links.login },
    },
  });
}

const MAILS_AN_HOUR = 5;

/** Mails the link again. Nothing is sent for an address that is already verified. */
export async function requestVerification(kernel: Kernel, principal: PersonPrincipal): Promise<void> {
  const [engine] = await kernel.engines();
  const retryAfterS = await kernel.db.withTx(async (tx) => {
    const person = await people.byId(tx, principal.personId);
    if (person === undefined || person.email_verified) return undefined;
    const use = await throttles.use(tx, throttleKey('mail.verify', person.email), MAILS_AN_HOUR, 3_600);
    if (!use.allowed) return use.retryAfterS;
    await kernel.outbox.emit(tx, { mail: await verificationMail(kernel, engine, person) });
    return undefined;
  });
  if (retryAfterS !== undefined)
    throw fail.rateLimited(retryAfterS, 'too_many_mails', 'Enough mails were sent; look into the spam folder.');
}

/** Proves the address with the token of the mail; doing it twice is no error. */
export async function verifyEmail(kernel: Kernel, token: string): Promise<void> {
  const engines = await kernel.engines();
  const verified = await kernel.db.withTx(async (tx) => {
    for (const engine of engines) {
      const outcome = await engine.call(tx, (api) => api.verifyEmail({ query: { token } }));
      if (!outcome.ok) continue;
      const id = outcome.scope.verifiedPersonId;
      if (id !== undefined) {
        await kernel.outbox.emit(tx, {
          audit: { action: 'people.verify_email', actor: byPerson(id), object: { type: 'person', id } },
        });
      }
      return true;
    }
    return false;
  });
  if (!verified) throw badLink();
}

export const badLink = () => fail.unprocessable('link_invalid', 'This link is not valid any more; ask for a new one.');

async function verificationMail(kernel: Kernel, engine: Engine, person: { id: string; email: string; name: string }) {
  const url = kernel.links.verifyEmail(await engine.emailToken(person));
  return {
    template: 'auth.verify_email' as const,
    to: { email: person.email, name: person.name, personId: person.id },
    data: { name: person.name, url, valid_hours: VERIFY_LINK_HOURS },
  };
}

const badAddress = (cause?: string) =>
  fail.unprocessable(
    'invalid_email',
    'This is not an address a message can be sent to.',
    [{ path: 'email', message: 'not an e-mail address' }],
    { cause },
  );

const FAULTS: Record<PasswordFault, string> = {
  too_short: 'The password needs at least 8 characters.',
  too_long: 'The password is too long.',
  control_characters: 'The password holds characters that cannot be typed.',
  same_as_email: 'The password must not be the e-mail address.',
};

export function checkPassword(password: string, email?: string): void {
  const fault = passwordFault(password, email);
  if (fault === undefined) return;
  throw fail.unprocessable('weak_password', FAULTS[fault], [{ path: 'password', message: fault }]);
}
