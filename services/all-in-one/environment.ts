import path from 'node:path';
import { ensureSecret } from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import type { GroupRole, LoginRole } from '#platform/db/index.ts';
import { GROUP_ROLES } from '#platform/db/setup.ts';
import type { DataDir } from './data-dir.ts';

type Env = Record<string, string | undefined>;

/** Secrets that a local installation makes for itself; the sandbox's own are beside them in `sandbox`. */
const GENERATED = ['AUTH_JWT_KEY', 'AUTH_SECRET', 'API_SECRET_SALT', 'ADMIN_TOKEN'] as const;

/** The environment of the parts: what the person set, and everything else made or found. */
export async function completeEnvironment(env: Env, dir: DataDir): Promise<Env> {
  const out: Env = { ...env };
  // Seen within a second of being saved, as in a cluster.
  out.KLAR_FLAGS_FILE ??= path.resolve(import.meta.dirname, '../../flags.yaml');
  const ownDir = !env.KLAR_SECRETS_DIR;
  if (ownDir) out.KLAR_SECRETS_DIR = dir.secrets;
  for (const name of GENERATED) {
    if (env[name] || env[`${name}_FILE`]) continue;
    await ensureSecret(dir.secrets, name);
    if (!ownDir) out[`${name}_FILE`] = `${dir.secrets}/${name}/current`;
  }
  return out;
}

/** Passwords of the `_a` logins, kept over restarts. */
export async function rolePasswords(dir: DataDir): Promise<Record<LoginRole, string>> {
  const out: Partial<Record<LoginRole, string>> = {};
  for (const role of GROUP_ROLES) {
    const login: LoginRole = `${role}_a`;
    const name = `PASSWORD_${login.toUpperCase()}`;
    out[login] = (await ensureSecret(dir.secrets, name, { make: () => randomToken(24) })).value;
  }
  return out as Record<LoginRole, string>;
}

/** DATABASE_URL_<ROLE> for each role that the person has not set, derived from a superuser's URL. */
export function databaseEnvironment(env: Env, superuserUrl: string, passwords: Record<LoginRole, string>): Env {
  const out: Env = {};
  for (const role of GROUP_ROLES) {
    const name = `DATABASE_URL_${role.slice('klar_'.length).toUpperCase()}`;
    if (!env[name] && !env[`${name}_FILE`]) out[name] = loginUrl(superuserUrl, role, passwords);
  }
  return out;
}

function loginUrl(superuserUrl: string, role: GroupRole, passwords: Record<LoginRole, string>): string {
  const url = new URL(superuserUrl);
  url.username = `${role}_a`;
  url.password = passwords[`${role}_a`];
  return url.href;
}

export function withDatabase(superuserUrl: string, name: string): string {
  const url = new URL(superuserUrl);
  url.pathname = `/${name}`;
  return url.href;
}
