import type { Secret } from '#platform/config/index.ts';

/**
 * The URL for what must not go through PgBouncer. One Secret often serves several commands: its DATABASE_DIRECT_URL then
 * says where PostgreSQL is, and the role's own URL who comes. Undefined when neither is set.
 */
export function directUrl(direct: Secret | undefined, own: Secret | undefined): string | undefined {
  if (direct === undefined || own === undefined) return (direct ?? own)?.current();
  const [place, login] = [new URL(direct.current()), new URL(own.current())];
  place.username = login.username;
  place.password = login.password;
  return place.href;
}
