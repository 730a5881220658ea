import { hasControlCharacters } from './template.ts';

/** Whether a message may be addressed to it. Deliberately narrower than RFC 5322: no quotes, comments, lists. */
export function isAddress(email: string): boolean {
  return (
    email.length <= 254 &&
    /^[^\s\p{Cc}<>()[\]\\,;:"@]{1,64}@[^\s\p{Cc}<>()[\]\\,;:"@]{1,253}$/u.test(email) &&
    !email.includes('..')
  );
}

/** Whether a display name can stand in a header. */
export function isDisplayName(name: string): boolean {
  return name.length <= 200 && !hasControlCharacters(name);
}
