import type { OutsideIssuer } from './issuers.ts';
import type { Problem } from './problems.ts';
import type { Secret } from './secret.ts';
import type { ProcessName, SecretSetting } from './setting.ts';

export type Facts = {
  process: ProcessName;
  profile: string;
  /** The values that parsed; a rule about one that did not has nothing to add. */
  get(name: string): unknown;
  isSet(name: string): boolean;
  secrets: { secret: Secret; row: SecretSetting }[];
};

/** The profiles under which strangers and money are about: the rules that a laptop may break hold. */
export function isStrict(profile: string): boolean {
  return profile === 'staging' || profile === 'production';
}

const ORIGIN_LISTS = ['AUTH_ORIGIN_ALLOWLIST', 'CORS_ALLOW_ORIGINS', 'PUBLIC_ORIGIN_ALLOWLIST'];
const LOCALHOST = /^(localhost|.*\.localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\]|\[::ffff:7f.*\])\.?$/i;
/** Values people leave in place: words of documentation, keyboards and repetition. */
const DEFAULT_LOOKING = [
  /^(.)\1*$/,
  /(.{1,6})\1{4,}$/,
  /change[-_ ]?(me|it|this)|replace[-_ ]?(me|this)/i,
  /^(your|my|the|some)[-_ ]|^todo/i,
  /example|placeholder|default|dummy|insecure|x{6,}|123456789|qwerty/i,
  /^(secret|password|passw0rd|admin|token|test|dev|development|local|klar|postgres|letmein|abc|0?123)[-_ ]?[a-z0-9]{0,6}$/i,
];

/** Rules over several settings, or of the strict profiles; each finding says how to mend it. */
export function crossRules(facts: Facts): Problem[] {
  const strict = isStrict(facts.profile);
  return [
    ...(strict ? [...profileRules(facts), ...originRules(facts), ...issuerRules(facts), ...secretRules(facts)] : []),
    ...databaseRules(facts),
    ...stripeRules(facts),
  ];
}

function profileRules(facts: Facts): Problem[] {
  const out: Problem[] = [];
  const { profile } = facts;
  if (facts.get('NODE_ENV') !== 'production') {
    out.push({
      name: 'NODE_ENV',
      problem: `KLAR_PROFILE=${profile} needs NODE_ENV=production`,
      mend: 'set NODE_ENV=production',
    });
  }
  if (facts.isSet('KLAR_FAILPOINT')) {
    out.push({
      name: 'KLAR_FAILPOINT',
      problem: `kills the process on purpose, which ${profile} refuses`,
      mend: 'unset it: it is for crash tests',
    });
  }
  if (((facts.get('TRUSTED_PROXIES') ?? []) as string[]).some((network) => network.endsWith('/0'))) {
    out.push({
      name: 'TRUSTED_PROXIES',
      problem: `believes the X-Forwarded-For of everybody, which ${profile} refuses`,
      mend: 'list the networks of the proxies alone',
    });
  }
  if (facts.process === 'all-in-one') {
    out.push({
      name: 'KLAR_PROFILE',
      problem: `all-in-one runs the sandbox, which ${profile} refuses`,
      mend: 'run api, webhook-ingest and worker as processes of their own (the chart does), or set KLAR_PROFILE=demo',
    });
  }
  return out;
}

function originRules(facts: Facts): Problem[] {
  const out: Problem[] = [];
  for (const name of ORIGIN_LISTS) {
    const list = facts.get(name);
    if (!Array.isArray(list)) continue;
    for (const origin of list as string[]) {
      if (origin === '*') {
        out.push({
          name,
          problem: `* lets every site in, which ${facts.profile} refuses`,
          mend: 'list the origins you trust',
        });
      } else if (isLocalhost(origin)) {
        out.push({
          name,
          problem: `${origin} is this machine, which ${facts.profile} refuses`,
          mend: 'list public origins only',
        });
      }
    }
  }
  if (facts.get('ALLOW_LOCALHOST_ORIGINS') === true) {
    out.push({
      name: 'ALLOW_LOCALHOST_ORIGINS',
      problem: `localhost origins are refused in ${facts.profile}`,
      mend: 'set it to false or leave it out',
    });
  }
  const base = facts.get('PUBLIC_BASE_URL');
  if (facts.isSet('PUBLIC_BASE_URL') && typeof base === 'string') {
    if (isLocalhost(base)) {
      out.push({ name: 'PUBLIC_BASE_URL', problem: 'is this machine', mend: 'give the address people reach you at' });
    } else if (!base.startsWith('https://')) {
      out.push({ name: 'PUBLIC_BASE_URL', problem: 'is not https', mend: 'give an address that starts with https://' });
    }
  }
  return out;
}

/** Keys fetched in the clear are whoever's keys the network wants them to be. */
function issuerRules(facts: Facts): Problem[] {
  const list = (facts.get('AUTH_ISSUERS') ?? []) as readonly OutsideIssuer[];
  return list
    .flatMap(({ issuer, jwks_uri }) => (jwks_uri === undefined ? [issuer] : [issuer, jwks_uri]))
    .filter((address) => !address.startsWith('https://'))
    .map((address) => ({ name: 'AUTH_ISSUERS', problem: `${address} is not https`, mend: 'use its https address' }));
}

function secretRules(facts: Facts): Problem[] {
  const out: Problem[] = [];
  for (const { secret, row } of facts.secrets) {
    for (const { value } of secret.accepted()) {
      const body = /^[a-z]+:\/\//.test(value) ? passwordOf(value) : value.replace(/^((sk|rk)_(test|live)|whsec)_/, '');
      if (body === undefined || body.startsWith('-----BEGIN')) continue;
      if (DEFAULT_LOOKING.some((pattern) => pattern.test(body))) {
        out.push({
          name: secret.name,
          problem: 'looks like a default or an example',
          mend: "make one with: node -p \"require('crypto').randomBytes(32).toString('base64url')\"",
        });
      } else if (value.length < row.minLength) {
        out.push({
          name: secret.name,
          problem: `has ${value.length} characters; ${row.minLength} are the least`,
          mend: "make one with: node -p \"require('crypto').randomBytes(32).toString('base64url')\"",
        });
      }
    }
  }
  return out;
}

/** The database URL each process needs: of its role, or the common one. */
const DATABASE_OF: Partial<Record<ProcessName, string[]>> = {
  api: ['DATABASE_URL_API', 'DATABASE_URL_AUTH'],
  'webhook-ingest': ['DATABASE_URL_INGEST'],
  worker: ['DATABASE_URL_WORKER'],
  controller: ['DATABASE_URL_CONTROLLER'],
};

function databaseRules(facts: Facts): Problem[] {
  const needed = DATABASE_OF[facts.process] ?? [];
  if (facts.isSet('DATABASE_URL')) return [];
  return needed
    .filter((name) => !facts.isSet(name))
    .map((name) => ({
      name,
      problem: 'is missing, and DATABASE_URL too',
      mend: `set ${name} (or DATABASE_URL) to postgres://user:password@host:5432/klar; \`npm start\` needs none`,
    }));
}

function stripeRules(facts: Facts): Problem[] {
  const out: Problem[] = [];
  const strict = isStrict(facts.profile);
  const live = facts.get('BILLING_MODE') === 'production' || facts.profile === 'production';
  // Left out it is `test`, too: whoever takes money would then expect test payments, and match no live one to its order.
  const takesMoney = facts.get('BILLING_PROVIDER') === 'stripe' && /^(api|worker)$/.test(facts.process);
  const mode = facts.isSet('BILLING_MODE') || takesMoney ? facts.get('BILLING_MODE') : undefined;
  if (facts.profile === 'production' && mode === 'test') {
    out.push({
      name: 'BILLING_MODE',
      problem: facts.isSet('BILLING_MODE') ? 'is test in production' : 'is missing in production',
      mend: 'set BILLING_MODE=production, or KLAR_PROFILE=staging',
    });
  }
  const key = facts.secrets.find((s) => s.secret.name === 'STRIPE_SECRET_KEY')?.secret;
  for (const { value } of key?.accepted() ?? []) {
    const isTest = /^(sk|rk)_test_/.test(value);
    if (isTest && live) {
      out.push({
        name: 'STRIPE_SECRET_KEY',
        problem: 'is a test key where real money moves',
        mend: 'give the live key (sk_live_ or rk_live_)',
      });
    } else if (!isTest && !live) {
      out.push({
        name: 'STRIPE_SECRET_KEY',
        problem: 'is a live key while BILLING_MODE is test: it would move real money',
        mend: 'give a test key, or set BILLING_MODE=production',
      });
    }
  }
  if (strict && facts.get('BILLING_PROVIDER') === 'stripe') {
    const needs = { api: 'STRIPE_SECRET_KEY', worker: 'STRIPE_SECRET_KEY', 'webhook-ingest': 'STRIPE_WEBHOOK_SECRET' };
    const name = needs[facts.process as keyof typeof needs];
    if (name && !facts.isSet(name)) {
      out.push({
        name,
        problem: 'is missing',
        mend: `mount $KLAR_SECRETS_DIR/${name}/current, or set BILLING_PROVIDER=manual`,
      });
    }
  }
  const base = facts.get('STRIPE_API_BASE');
  if (
    facts.profile === 'production' &&
    typeof base === 'string' &&
    (isLocalhost(base) || !base.startsWith('https://'))
  ) {
    out.push({ name: 'STRIPE_API_BASE', problem: 'is not Stripe but a stand-in', mend: 'leave it out' });
  }
  return out;
}

function isLocalhost(address: string): boolean {
  return URL.canParse(address) && LOCALHOST.test(new URL(address).hostname);
}

function passwordOf(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  return decoded(new URL(address).password) || undefined;
}

/** A stray % in a password is the driver's business, not a reason to end here. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
