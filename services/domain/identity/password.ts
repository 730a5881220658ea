/** NIST SP 800-63B section 3.1.1.2: at least 8 characters, no rules of composition, long passphrases allowed. */
export const MIN_PASSWORD = 8;
/** Bounds what one request makes us hash; 256 characters is beyond any passphrase. */
export const MAX_PASSWORD = 256;
/** No control characters: nobody can type them again. Without flags, so that it can stand in a JSON Schema. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
export const PASSWORD_PATTERN = /^[^\u0000-\u001f\u007f-\u009f]*$/;

export type PasswordFault = 'too_short' | 'too_long' | 'control_characters' | 'same_as_email';

/**
 * The one spelling of a password: the same keys on another keyboard or system may send other code points
 * (NIST SP 800-63B section 3.1.1.2 asks for NFKC or NFKD). Spaces count.
 */
export function normalizePassword(password: string): string {
  return password.normalize('NFKC');
}

/** What is wrong with a new password, or nothing. Never asked of an existing one: it is only compared. */
export function passwordFault(password: string, email?: string): PasswordFault | undefined {
  const normal = normalizePassword(password);
  // Counted in characters, not UTF-16 units: four emoji are four.
  const length = [...normal].length;
  if (length < MIN_PASSWORD) return 'too_short';
  if (length > MAX_PASSWORD) return 'too_long';
  if (!PASSWORD_PATTERN.test(normal)) return 'control_characters';
  if (email !== undefined && normal.toLowerCase() === email.toLowerCase()) return 'same_as_email';
  return undefined;
}
