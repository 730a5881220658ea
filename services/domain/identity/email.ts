import { sha256 } from '#platform/crypto/index.ts';

/** The one spelling of an address in the database. Only the case is folded: dots and tags belong to the provider. */
export function normalizeEmail(email: string): string {
  return email.trim().normalize('NFC').toLowerCase();
}

export type ThrottlePurpose = 'login' | 'login.known' | 'confirm' | 'mail.reset' | 'mail.verify' | 'mail.taken';

/** Key of a throttle row. Hashed: the table also holds addresses that are nobody's, and must not list them. */
export function throttleKey(purpose: ThrottlePurpose, email: string, more = ''): Buffer {
  return sha256(`${purpose}\n${normalizeEmail(email)}\n${more}`);
}
