/**
 * Words that may not be a school's address: hosts and paths the platform uses or may come to use, and names
 * that would let a school pose as the platform.
 */
export const RESERVED_SLUGS: ReadonlySet<string> = new Set(
  `abuse account accounts admin administrator api app assets audit auth billing blog cdn console current dashboard
  dev docs embed files ftp go healthz help hostmaster imap ingest internal invitations invite klar legal livez
  localhost login logout mail me media metrics new official ops payments platform pop postmaster privacy readyz
  register root sandbox secure security settings sfu signup smtp staff staging static status stripe support system
  tenant tenants terms webhook webhooks webmaster www`.split(/\s+/),
);

export const SLUG_MIN = 3;
export const SLUG_MAX = 40;
/**
 * Letters, digits and single hyphens inside: a DNS label, as it may become a host name. No double hyphen, because
 * `xn--` begins an encoded international name that a browser shows as something else.
 */
export const SLUG_PATTERN = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** Why `slug` cannot be a school's address; undefined when it can. */
export function slugProblem(slug: string): 'invalid_slug' | 'slug_reserved' | undefined {
  if (slug.length < SLUG_MIN || slug.length > SLUG_MAX || !SLUG_PATTERN.test(slug)) return 'invalid_slug';
  return RESERVED_SLUGS.has(slug) ? 'slug_reserved' : undefined;
}

// Control characters (they would end a mail header), line and paragraph separators, and direction overrides (they make
// a name read as another).
const NEVER = '\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069';
// What is not seen. A name made of it alone is no name.
const UNSEEN =
  ' \\u00a0\\u00ad\\u115f\\u1160\\u1680\\u180e\\u2000-\\u200f\\u202f\\u205f-\\u2060\\u3000\\u3164\\ufeff\\uffa0';

export const NAME_MAX = 120;
/** A name that can be shown and mailed; without flags, so that it can stand in a JSON Schema. */
export const NAME_PATTERN = new RegExp(`^[^${NEVER}]*[^${NEVER}${UNSEEN}][^${NEVER}]*$`);

/** Whether a name can be shown and mailed. */
export function isPlainName(name: string): boolean {
  return name.isWellFormed() && [...name].length <= NAME_MAX && NAME_PATTERN.test(name);
}

/** One spelling per address: the invited and the registered one are compared in this form. */
export function normalizeEmail(email: string): string {
  return email.trim().normalize('NFC').toLowerCase();
}
