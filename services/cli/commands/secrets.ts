import path from 'node:path';
import {
  ConfigError,
  DATABASE_ROLES,
  type DatabaseRole,
  didYouMean,
  type EnsureSecretOptions,
  type Environment,
  ensureSecret,
  inspectSettings,
} from '#platform/config/index.ts';
import { randomToken } from '#platform/crypto/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, EXIT, UsageError } from '../command.ts';

/** What every installation needs; nobody else can give these. */
const OWN = ['AUTH_JWT_KEY', 'AUTH_SECRET', 'API_SECRET_SALT', 'ADMIN_TOKEN'] as const;
/** Stand-ins that only the sandbox takes, so they are made when asked for. */
const SANDBOX = ['STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET'] as const;
const DATABASE_URLS = (Object.keys(DATABASE_ROLES) as DatabaseRole[]).map((role) => `DATABASE_URL_${role}`);
const KNOWN: readonly string[] = [...OWN, ...SANDBOX, ...DATABASE_URLS];

/** `klar secrets generate`: safe to run at every start; it tells names and places, never a value. */
export const secretsGenerate: Command = {
  options: {
    dir: { type: 'string', value: 'folder', description: 'Where they go: <folder>/<NAME>/current' },
    only: { type: 'string', value: 'name', multiple: true, description: 'Only this one' },
    database: {
      type: 'string',
      value: 'url',
      description: 'For DATABASE_URL_<ROLE>: the server without a login, e.g. postgres://host:5432/klar',
    },
    'group-readable': { type: 'boolean', description: 'Mode 640 instead of 600, for a process of another user' },
    force: { type: 'boolean', description: 'Also under KLAR_PROFILE=staging and production' },
  },
  notes:
    `Without --only: ${OWN.join(', ')}.\n` +
    `Asked for by name: ${SANDBOX.join(', ')} (for the sandbox), and DATABASE_URL_<ROLE> with a password of its own\n` +
    `for each of ${Object.keys(DATABASE_ROLES).join(', ')}; \`klar roles ensure\` then sets that password.\n` +
    'What is there is never overwritten. A process finds them with KLAR_SECRETS_DIR=<folder>.',
  async run({ options, env, answer }) {
    const folder = options.dir as string | undefined;
    if (!folder) throw new UsageError('--dir is missing.', 'klar secrets generate --dir <folder>');
    const names = (options.only as string[] | undefined) ?? [...OWN];
    for (const name of names) refuseUnknown(name);
    const server = options.database as string | undefined;
    const makers = new Map(names.map((name) => [name, makerOf(name, server)]));
    refuseProduction(env, names, options.force === true);

    const groupReadable = options['group-readable'] === true;
    const secrets: { name: string; file: string; state: 'made' | 'kept' }[] = [];
    for (const [name, make] of makers) {
      const { file, made } = await ensureSecret(path.resolve(folder), name, { ...make, groupReadable });
      secrets.push({ name, file, state: made ? 'made' : 'kept' });
    }
    answer(
      { secrets },
      secrets.map(({ state, file }) => `${state}  ${file}`),
    );
    return EXIT.ok;
  },
};

function refuseUnknown(name: string): void {
  if (KNOWN.includes(name)) return;
  const meant = didYouMean(name, KNOWN);
  throw new UsageError(
    `${name} cannot be made here.`,
    `${meant ? `Did you mean ${meant}? ` : ''}There is: ${KNOWN.join(', ')}`,
  );
}

function makerOf(name: string, server: string | undefined): EnsureSecretOptions {
  if (!DATABASE_URLS.includes(name)) return {};
  if (!server || !/^postgres(ql)?:\/\/[^/]/.test(server) || !URL.canParse(server)) {
    throw new UsageError(
      server ? '--database is not a URL that can be used.' : `${name} needs --database.`,
      'Give the server without a login: --database postgres://host:5432/klar',
    );
  }
  const url = new URL(server);
  url.username = `klar_${name.slice('DATABASE_URL_'.length).toLowerCase()}_a`;
  return {
    make: () => {
      url.password = randomToken(24);
      return url.href;
    },
  };
}

function refuseProduction(env: Environment, names: readonly string[], forced: boolean): void {
  const { settings, problems } = inspectSettings('cli', env);
  // A profile that cannot be read must not pass for a lenient one.
  const unreadable = problems.filter(({ name }) => name === 'KLAR_PROFILE');
  if (unreadable.length > 0) throw new ConfigError('cli', unreadable);
  if (!settings.meta.strict) return;
  const standIns = SANDBOX.filter((name) => names.includes(name));
  if (standIns.length > 0) {
    throw fail.forbidden(
      'sandbox_in_production',
      `KLAR_PROFILE=${settings.KLAR_PROFILE} has no sandbox: take ${standIns.join(' and ')} from Stripe's dashboard.`,
    );
  }
  if (forced) return;
  throw fail.forbidden(
    'production_secrets',
    `KLAR_PROFILE=${settings.KLAR_PROFILE}: its secrets belong into the place that keeps and backs them up (a vault, sealed ` +
      'secrets); losing API_SECRET_SALT ends every API key, losing AUTH_JWT_KEY every session. Made here, they exist in ' +
      'this folder only. If that is what you want, say --force; for a laptop set KLAR_PROFILE=development.',
  );
}
