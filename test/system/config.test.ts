import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generateSecret } from '#platform/config/index.ts';
import { startProcess } from '../support/process.ts';

const random = (prefix: string) => `${prefix}${generateSecret('any').replaceAll(/[-_]/g, '0')}`;
const databaseUrl = (role: string) => `postgres://klar_${role}_a:${random('')}@db.internal:5432/klar`;

/** What a good production gives all of its processes. */
const SHARED = { KLAR_PROFILE: 'production', NODE_ENV: 'production', BILLING_MODE: 'production' };
const PROVIDER = { PUBLIC_BASE_URL: 'https://klar.school', STRIPE_SECRET_KEY: random('sk_live_') };
const GOOD = {
  api: {
    ...SHARED,
    ...PROVIDER,
    DATABASE_URL_API: databaseUrl('api'),
    DATABASE_URL_AUTH: databaseUrl('auth'),
    AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
    AUTH_SECRET: generateSecret('AUTH_SECRET'),
    API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
    ADMIN_TOKEN: generateSecret('ADMIN_TOKEN'),
  },
  'webhook-ingest': {
    ...SHARED,
    DATABASE_URL_INGEST: databaseUrl('ingest'),
    STRIPE_WEBHOOK_SECRET: random('whsec_'),
  },
  worker: {
    ...SHARED,
    ...PROVIDER,
    DATABASE_URL_WORKER: databaseUrl('worker'),
    SMTP_URL: `smtp://klar:${random('')}@mail.internal:587`,
    SMTP_FROM: 'Klar <no-reply@klar.school>',
  },
} as const;
type Server = keyof typeof GOOD;

/** A bad value, or undefined for none at all; and a word of what is said about it. */
type Faults = Record<string, [value: string | undefined, says: RegExp]>;

const TESTING = random('sk_test_');
const FAULTS: Record<Server, Faults> = {
  api: {
    AUTH_SECRET: [undefined, /is missing/],
    DATABASE_URL_AUTH: [undefined, /is missing/],
    PORT: ['http', /not a whole number/],
    RATE_LIMIT_READ: ['0', /not a whole number from 1/],
    DB_PREPARED: ['maybe', /not one of on, off/],
    ALLOW_NULL_ORIGIN: ['yes', /neither true nor false/],
    TRUSTED_PROXIES: ['10.0.0.0/40', /not a network/],
    OTEL_EXPORTER_OTLP_ENDPOINT: ['collector:4318', /not a URL/],
    AUTH_JWT_KEY: ['-----BEGIN PUBLIC KEY-----', /not an Ed25519 private key/],
    CORS_ALLOW_ORIGINS: ['https://app.klar.school,*', /every site/],
    AUTH_ORIGIN_ALLOWLIST: ['http://localhost:5173', /this machine/],
    PUBLIC_ORIGIN_ALLOWLIST: ['http://[::ffff:127.0.0.1]:80/', /not an origin/],
    ALLOW_LOCALHOST_ORIGINS: ['true', /refused in production/],
    PUBLIC_BASE_URL: ['http://klar.school', /not https/],
    API_SECRET_SALT: ['change-me-change-me-change-me-change-me', /looks like a default/],
    ADMIN_TOKEN: ['N3vGq8', /least/],
    DATABASE_URL_API: ['postgres://klar_api_a:password@db.internal/klar', /looks like a default/],
    STRIPE_SECRET_KEY: [TESTING, /test key where real money moves/],
    STRIPE_API_BASE: ['http://127.0.0.1:3900', /not Stripe but a stand-in/],
    BILLING_MODE: ['test', /test in production/],
    KLAR_FAILPOINT: ['ingest.before_insert', /kills the process/],
    MVP_WORKER_ENABLED: ['true', /KLAR_WORKER_ENABLED instead/],
    NODE_ENV: ['development', /needs NODE_ENV=production/],
  },
  'webhook-ingest': {
    DATABASE_URL_INGEST: [undefined, /is missing/],
    INGEST_PORT: ['99999', /whole number from 0 to 65535/],
    STRIPE_WEBHOOK_SECRET: ['whsec_test', /looks like a default/],
    LOG_LEVEL: ['verbose', /not one of/],
  },
  worker: {
    DATABASE_URL_WORKER: ['mysql://db.internal/klar', /starts with postgres/],
    SMTP_URL: [undefined, /is missing/],
    SMTP_FROM: [undefined, /is missing/],
    STRIPE_SECRET_KEY: [TESTING, /test key/],
    PUBLIC_BASE_URL: ['https://localhost', /this machine/],
    DB_POOL_SIZE: ['ten', /not a whole number/],
  },
};

/** Nothing of the developer's own environment or mounted secrets may answer. */
const start = async (entry: string, env: object, args: string[] = []) => {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  const process = startProcess(entry, { KLAR_SECRETS_DIR: '/nonexistent', PORT: '0', ADMIN_PORT: '0', ...given }, args);
  const hung = setTimeout(() => void process.kill(), 20_000);
  const code = await process.exited;
  clearTimeout(hung);
  return { code, output: process.output() };
};
const checkConfig = (name: string, env: object) =>
  start('services/cli/main.ts', env, ['config', 'check', '--process', name, '--json']);

describe('settings of a production', function () {
  this.timeout(60_000);

  for (const name of Object.keys(FAULTS) as Server[]) {
    const faults = FAULTS[name];
    const bad = {
      ...GOOD[name],
      ...Object.fromEntries(Object.entries(faults).map(([setting, [value]]) => [setting, value])),
    };

    it(`that are good are taken from ${name}`, async () => {
      const { code, output } = await checkConfig(name, GOOD[name]);
      assert.equal(code, 0, output);
    });

    it(`that are bad end ${name} with 78 and all ${Object.keys(faults).length} of them, each with its mend`, async () => {
      const { code, output } = await start(`services/${name}/main.ts`, bad);
      assert.equal(code, 78, output);
      const told = new Map<string, string[]>();
      for (const [, setting = '', problem = '', mend = ''] of output.matchAll(/^ {2}(\w+): (.+)\n {4}-> (.+)$/gm)) {
        told.set(setting, [...(told.get(setting) ?? []), problem + mend]);
        assert.ok(mend.length > 5, `${setting}: ${mend}`);
      }
      for (const [setting, [, says]] of Object.entries(faults)) {
        assert.match(told.get(setting)?.join('\n') ?? 'nothing', says, setting);
      }
      assert.deepEqual([...told.keys()].sort(), Object.keys(faults).sort());
      const secrets = [TESTING, 'change-me', 'N3vGq8', 'klar_api_a:password@', 'whsec_test'];
      for (const secret of secrets) assert.ok(!output.includes(secret), `${secret} was shown`);
      assert.ok(!output.includes('    at '), 'a stack helps nobody here');
    });

    it(`that are bad are told the same by klar config check --process ${name}`, async () => {
      const { code, output } = await checkConfig(name, bad);
      assert.equal(code, 78);
      const problems = JSON.parse(output).problems as { name: string; mend: string }[];
      assert.deepEqual([...new Set(problems.map((problem) => problem.name))].sort(), Object.keys(faults).sort());
    });
  }

  for (const origin of [
    'http://localhost:3000',
    'https://app.localhost',
    'http://localhost.',
    'http://127.0.0.2',
    'http://0.0.0.0:8080',
    'http://[::1]:3000',
    'http://[::ffff:7f00:1]',
    '*',
  ]) {
    it(`refuse ${origin} as an origin`, async () => {
      const { code, output } = await checkConfig('api', { ...GOOD.api, CORS_ALLOW_ORIGINS: origin });
      assert.equal(code, 78, output);
      assert.match(output, /CORS_ALLOW_ORIGINS/);
    });
  }

  it('hold for whoever says NODE_ENV=production and no profile', async () => {
    const env = { ...GOOD.api, KLAR_PROFILE: undefined, CORS_ALLOW_ORIGINS: '*' };
    const { code, output } = await start('services/api/main.ts', env);
    assert.equal(code, 78);
    assert.match(output, /1 problem:\n {2}CORS_ALLOW_ORIGINS/);
  });

  it('are refused from broken secret files, by the file', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'klar-config-'));
    try {
      await mkdir(path.join(folder, 'STRIPE_WEBHOOK_SECRET'));
      await writeFile(path.join(folder, 'STRIPE_WEBHOOK_SECRET/current'), '');
      const env = {
        ...GOOD['webhook-ingest'],
        KLAR_SECRETS_DIR: folder,
        STRIPE_WEBHOOK_SECRET: undefined,
        DATABASE_URL_INGEST: undefined,
        DATABASE_URL_INGEST_FILE: path.join(folder, 'nowhere'),
      };
      const { code, output } = await start('services/webhook-ingest/main.ts', env);
      assert.equal(code, 78);
      assert.match(output, /STRIPE_WEBHOOK_SECRET: .*current: is empty/);
      assert.match(output, /DATABASE_URL_INGEST: .*nowhere cannot be read \(ENOENT\)/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('the sandbox', function () {
  this.timeout(60_000);
  const secrets = { STRIPE_SECRET_KEY: random('sk_test_'), STRIPE_WEBHOOK_SECRET: random('whsec_') };

  for (const profile of ['staging', 'production']) {
    for (const entry of ['services/sandbox/main.ts', 'services/all-in-one/main.ts']) {
      it(`does not run in ${profile}: ${entry} ends with 78 and leaves nothing behind`, async () => {
        const data = path.join(tmpdir(), random('klar-refused-'));
        const env = { KLAR_PROFILE: profile, NODE_ENV: 'production', KLAR_DATA_DIR: data, ...secrets };
        const { code, output } = await start(entry, { ...env, SANDBOX_PORT: '0', SANDBOX_MAIL_PORT: '0' });
        assert.equal(code, 78, output);
        assert.match(output, new RegExp(`KLAR_PROFILE: .*${profile} refuses`));
        assert.ok(!existsSync(data));
      });
    }
  }
});
