/** How to start a PostgreSQL program (pg_dump, pg_restore) against a database. */
export interface ClientEnvironment {
  /** For `--dbname`; without the password, because a command line is readable to every process of the machine. */
  url: string;
  /** Carries the password; nothing else of ours. */
  env: Record<string, string>;
}

/** Parameters of a URL that only the driver for Node knows; libpq refuses a URL with one. */
const DRIVER_ONLY = ['uselibpqcompat', 'pool', 'ssl', 'stringtype', 'max'];

/** Turns a URL as Klar's settings have it into what libpq takes. */
export function clientEnvironment(url: string): ClientEnvironment {
  const changed = new URL(url);
  // Where both are given the query's counts, for the driver as for libpq.
  const password = changed.searchParams.get('password') ?? decodeURIComponent(changed.password);
  changed.password = '';
  changed.searchParams.delete('password');
  for (const name of DRIVER_ONLY) changed.searchParams.delete(name);
  // The driver's word for what libpq calls `require`: encrypted, whoever answers.
  if (changed.searchParams.get('sslmode') === 'no-verify') changed.searchParams.set('sslmode', 'require');
  return { url: changed.href, env: password === '' ? {} : { PGPASSWORD: password } };
}
