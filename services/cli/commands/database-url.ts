import type { Secret, Settings } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';

/** The first of these settings that has a value. */
export function databaseUrl<Name extends keyof Settings & string>(settings: Settings, names: readonly Name[]): string {
  for (const name of names) {
    const secret = settings[name] as Secret | undefined;
    if (secret !== undefined) return secret.current();
  }
  throw fail.invalid('database_url_missing', `Set ${names.join(' or ')} to postgres://user:password@host:5432/klar.`);
}
