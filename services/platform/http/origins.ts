/** Which browser origins may call. Exact match: a suffix or prefix rule is how `klar.example.evil.com` gets in. */
export interface OriginRules {
  /** For rate class `auth`. */
  auth: readonly string[];
  /** For everything that needs a login. */
  cors: readonly string[];
  /** For public routes. */
  public: readonly string[];
  /** Our own, from PUBLIC_BASE_URL: pages served by this process call it. */
  own: string | undefined;
  allowLocalhost: boolean;
  allowNull: boolean;
}

export type OriginUse = 'auth' | 'cors' | 'public';

// No user info, no path, IPv6 loopback in brackets: what browsers send and nothing more.
const LOCALHOST = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/;

/** Whether the `Origin` header's value may use routes of this kind. */
export function originAllowed(origin: string, use: OriginUse, rules: OriginRules): boolean {
  if (origin === 'null') return rules.allowNull;
  if (LOCALHOST.test(origin) && rules.allowLocalhost) return true;
  if (origin === rules.own) return true;
  const lists = use === 'public' ? [rules.public, rules.cors] : [rules[use]];
  // `*` passes the settings' rules in development only.
  return lists.some((list) => list.includes(origin) || list.includes('*'));
}

/** Headers of an answer to an allowed origin. Without credentials mode: tokens travel in Authorization, never in a cookie. */
export function corsHeaders(origin: string): Record<string, string> {
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': 'X-Request-Id, Retry-After, Idempotent-Replayed',
  };
}

/** Headers of an allowed preflight. */
export function preflightHeaders(origin: string, methods: readonly string[]): Record<string, string> {
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Allow-Methods': methods.join(', '),
    'Access-Control-Allow-Headers': 'Authorization, Content-Type, Idempotency-Key, Klar-Tenant, X-Request-Id',
    'Access-Control-Max-Age': '600',
  };
}
