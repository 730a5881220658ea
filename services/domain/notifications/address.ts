import { hasControlCharacters } from './template.ts';

// No quotes, comments, lists or spaces: narrower than RFC 5322 on purpose, wider than ASCII.
const ATOM = '[^\\s\\u0000-\\u0020\\u007f-\\u00a0\\u2028\\u2029<>()\\[\\]\\\\,;:"@.]+';

export const ADDRESS_MAX = 254;
/** An address that a message may go to; without flags, so that it can stand in a JSON Schema. */
export const ADDRESS_PATTERN = new RegExp(`^${ATOM}(?:\\.${ATOM})*@${ATOM}(?:\\.${ATOM})*$`);

/** Whether a message may be addressed to it. */
export function isAddress(email: string): boolean {
  return email.length <= ADDRESS_MAX && email.isWellFormed() && ADDRESS_PATTERN.test(email);
}

/** Whether a display name can stand in a header. */
export function isDisplayName(name: string): boolean {
  return name.length <= 200 && !hasControlCharacters(name);
}
