import type { Secret } from '#platform/config/index.ts';

/** What both the driver and libpq take from the query, before what stands in front of the host. */
const LOGIN = ['user', 'password'] as const;

/**
 * The URL for what must not go through PgBouncer. One Secret often serves several commands: its DATABASE_DIRECT_URL then
 * says where PostgreSQL is, and the role's own URL who comes. Undefined when neither is set.
 */
export function directUrl(direct: Secret | undefined, own: Secret | undefined): string | undefined {
  if (direct === undefined || own === undefined) return (direct ?? own)?.current();
  const [place, login] = [new URL(direct.current()), new URL(own.current())];
  place.username = login.username;
  place.password = login.password;
  for (const name of LOGIN) {
    place.searchParams.delete(name);
    const given = login.searchParams.get(name);
    if (given !== null) place.searchParams.set(name, given);
  }
  return place.href;
}
