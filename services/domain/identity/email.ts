import { sha256 } from '#platform/crypto/index.ts';

/**
 * The form of an account's address: what better-auth takes (ASCII, a dot in the domain), within the limits of RFC 5321
 * section 4.5.3.1.1 (64 before the @) and RFC 1035 section 2.3.4 (63 a label), beyond which mail servers refuse it.
 * Without flags, so that it can stand in a JSON Schema; two dots in a row are refused later, as that takes a lookahead,
 * from which programs that make requests up cannot make any.
 */
export const EMAIL_PATTERN =
  /^(?:[A-Za-z0-9_'+-][A-Za-z0-9_'+.-]{0,62})?[A-Za-z0-9_+-]@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/;

/** The one spelling of an address in the database. Only the case is folded: dots and tags belong to the provider. */
export function normalizeEmail(email: string): string {
  return email.trim().normalize('NFC').toLowerCase();
}

/**
 * Whether folding leaves every letter the letter it was. The Kelvin sign (U+212A) becomes `k`: who has the mailbox with
 * the one has not the mailbox with the other.
 */
export function foldsHarmlessly(email: string): boolean {
  return [...email].every((char) => /\p{ASCII}/u.test(char) || !/\p{ASCII}/u.test(normalizeEmail(char)));
}

export type ThrottlePurpose = 'login' | 'login.known' | 'confirm' | 'mail.reset' | 'mail.verify' | 'mail.taken';

/** Key of a throttle row. Hashed: the table also holds addresses that are nobody's, and must not list them. */
export function throttleKey(purpose: ThrottlePurpose, email: string, more = ''): Buffer {
  return sha256(`${purpose}\n${normalizeEmail(email)}\n${more}`);
}
