import type { Secret, Settings } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { EXIT } from '../command.ts';

/** The first of these settings that has a value. */
export function databaseUrl<Name extends keyof Settings & string>(settings: Settings, names: readonly Name[]): string {
  for (const name of names) {
    const secret = settings[name] as Secret | undefined;
    if (secret !== undefined) return secret.current();
  }
  const missing = fail.invalid(
    'database_url_missing',
    `Set ${names.join(' or ')} to postgres://user:password@host:5432/klar.`,
  );
  // A wrong setting, as every other: a Job that ends so is not tried again.
  throw Object.assign(missing, { exitCode: EXIT.config });
}
