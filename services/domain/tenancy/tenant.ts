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

/**
 * Whether a name can be shown and mailed: no control characters (they would end a mail header), no line or
 * paragraph separators, no direction overrides (they make a name read as another), something visible.
 */
export function isPlainName(name: string): boolean {
  return (
    name.isWellFormed() && !/[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u.test(name) && /[\p{L}\p{N}]/u.test(name)
  );
}

/** One spelling per address: the invited and the registered one are compared in this form. */
export function normalizeEmail(email: string): string {
  return email.trim().normalize('NFC').toLowerCase();
}
