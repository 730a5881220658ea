import { domainToASCII } from 'node:url';
import { hasControlCharacters } from './template.ts';

// No quotes, comments, lists or spaces: narrower than RFC 5322 on purpose, wider than ASCII.
const NO_LOCAL = '\\s\\u0000-\\u0020\\u007f-\\u00a0\\u2028\\u2029<>()\\[\\]\\\\,;:"@';
// RFC 5321 section 4.5.3.1.1 and RFC 1035 section 2.3.4: beyond them a mail server refuses the address for good.
const LOCAL_MAX = 64;
const LABEL_MAX = 63;
const LOCAL = `[^${NO_LOCAL}.](?:[^${NO_LOCAL}]{0,${LOCAL_MAX - 2}}[^${NO_LOCAL}.])?`;
// Letters and digits of any script, hyphens inside.
const NO_LABEL = ':-@\\[-`{-\\u00a0\\s\\u2028\\u2029';
const EDGE = `[^\\u0000-/${NO_LABEL}]`;
const LABEL = `${EDGE}(?:[^\\u0000-,./${NO_LABEL}]{0,${LABEL_MAX - 2}}${EDGE})?`;

export const ADDRESS_MAX = 254;
/**
 * The form of an address; its only flag is how a JSON Schema reads its pattern. No lookahead, from which programs that
 * make requests up cannot make any.
 */
export const ADDRESS_PATTERN = new RegExp(`^${LOCAL}@${LABEL}(?:\\.${LABEL})*$`, 'u');

/** Whether a message may be addressed to it. The pattern counts characters; the limits are of bytes, as they are sent. */
export function isAddress(email: string): boolean {
  if (Buffer.byteLength(email) > ADDRESS_MAX || !email.isWellFormed() || !ADDRESS_PATTERN.test(email)) return false;
  const [local = '', domain = ''] = email.split('@');
  return Buffer.byteLength(local) <= LOCAL_MAX && !local.includes('..') && isDomain(domain);
}

/** A domain in other letters than ASCII has longer labels where it is looked up (`xn--...`). */
function isDomain(domain: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  if (/^[\u0000-\u007f]*$/.test(domain)) return true;
  const ascii = domainToASCII(domain);
  return ascii !== '' && ascii.split('.').every((label) => label.length <= LABEL_MAX);
}

/** Whether a display name can stand in a header. */
export function isDisplayName(name: string): boolean {
  return [...name].length <= 200 && !hasControlCharacters(name);
}
