import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Random letters and digits. A byte above 247 is thrown away: 256 is no multiple of 62 and would favour the first. */
export function randomLetters(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && text.length < length) text += ALPHABET[byte % 62];
    }
  }
  return text;
}

/** An id as Stripe makes them: a checkout session is `cs_test_a1...`, a request `req_...`, others `<prefix>_3...`. */
export function stripeId(prefix: string): string {
  if (prefix === 'cs') return `cs_test_a1${randomLetters(56)}`;
  if (prefix === 'req') return `req_${randomLetters(14)}`;
  if (prefix === 'cus') return `cus_${randomLetters(14)}`;
  return `${prefix}_3${randomLetters(23)}`;
}
