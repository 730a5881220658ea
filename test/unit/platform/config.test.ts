import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import {
  ConfigError,
  type Environment,
  generateSecret,
  inspectSettings,
  loadSettings,
  needSecret,
  type ProcessName,
  renderEnvExample,
  SPEC,
} from '#platform/config/index.ts';

const good = {
  DATABASE_URL: 'postgres://klar_api_a:kZ8vQ2xLm4Tn7pRs@db.internal/klar',
  AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
  AUTH_SECRET: generateSecret('AUTH_SECRET'),
  API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
  KLAR_SECRETS_DIR: '/nowhere',
};
const production = {
  ...good,
  KLAR_PROFILE: 'production',
  NODE_ENV: 'production',
  BILLING_MODE: 'production',
  PUBLIC_BASE_URL: 'https://klar.school',
  ADMIN_TOKEN: generateSecret('ADMIN_TOKEN'),
  STRIPE_SECRET_KEY: `sk_live_${generateSecret('x').replaceAll(/[-_]/g, '0')}`,
};

function problemsOf(env: Environment, process: ProcessName = 'api'): string[] {
  return inspectSettings(process, env).problems.map(({ name }) => name);
}

describe('settings', () => {
  it('load with typed values and defaults', () => {
    const settings = loadSettings('api', {
      ...good,
      PORT: '4000',
      ALLOW_NULL_ORIGIN: 'true',
      TRUSTED_PROXIES: '10.0.0.0/8, 192.168.1.1',
    });
    assert.equal(settings.PORT, 4000);
    assert.equal(settings.ADMIN_PORT, 9090);
    assert.equal(settings.ALLOW_NULL_ORIGIN, true);
    assert.deepEqual(settings.TRUSTED_PROXIES, ['10.0.0.0/8', '192.168.1.1/32']);
    assert.equal(settings.DATABASE_URL?.current(), good.DATABASE_URL);
    assert.equal(settings.KLAR_PROFILE, 'development');
  });

  it('take a PEM whose line ends are written out, as an env file must', () => {
    const settings = loadSettings('api', { ...good, AUTH_JWT_KEY: good.AUTH_JWT_KEY.replaceAll('\n', '\\n') });
    assert.equal(settings.AUTH_JWT_KEY?.current(), good.AUTH_JWT_KEY);
  });

  it('report every problem at once, each with its mend', () => {
    const broken = {
      KLAR_SECRETS_DIR: '/nowhere',
      PORT: 'x',
      ADMIN_PORT: '70000',
      ALLOW_NULL_ORIGIN: 'yes',
      KLAR_PROFILE: 'prod',
      PUBLIC_BASE_URL: 'klar.school',
      TRUSTED_PROXIES: '10.0.0.0/40',
      CORS_ALLOW_ORIGINS: 'https://a.example/path',
      DATABASE_URL: 'mysql://x',
      AUTH_ISSUERS: '{',
    };
    assert.throws(
      () => loadSettings('api', broken),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        const names = new Set(error.problems.map(({ name }) => name));
        for (const name of [...Object.keys(broken).slice(1), 'AUTH_JWT_KEY', 'AUTH_SECRET', 'API_SECRET_SALT'])
          assert.ok(names.has(name), name);
        for (const { mend } of error.problems) assert.ok(mend.length > 5);
        for (const { name, mend } of error.problems)
          assert.ok(error.message.includes(name) && error.message.includes(mend));
        return true;
      },
    );
  });

  it('treat an empty variable as not set', () => {
    assert.equal(loadSettings('api', { ...good, PORT: '', STRIPE_API_BASE: ' ' }).PORT, 3000);
  });

  it('accept a complete production', () => {
    assert.deepEqual(inspectSettings('api', production).problems, []);
    assert.equal(loadSettings('api', production).meta.strict, true);
  });

  it('take NODE_ENV=production without a profile for production', () => {
    const { KLAR_PROFILE: _, ...rest } = production;
    assert.equal(loadSettings('api', rest).KLAR_PROFILE, 'production');
    assert.ok(problemsOf({ ...rest, CORS_ALLOW_ORIGINS: '*' }).includes('CORS_ALLOW_ORIGINS'));
  });

  for (const name of ['AUTH_ORIGIN_ALLOWLIST', 'CORS_ALLOW_ORIGINS', 'PUBLIC_ORIGIN_ALLOWLIST']) {
    for (const origin of [
      '*',
      'http://localhost',
      'http://localhost:3000',
      'https://app.localhost',
      'http://127.0.0.1:8080',
      'http://127.9.9.9',
      'http://[::1]:3000',
      'http://0.0.0.0',
    ]) {
      it(`refuse ${origin} in ${name} of staging and production, and take it in development`, () => {
        for (const KLAR_PROFILE of ['staging', 'production']) {
          assert.deepEqual(
            problemsOf({
              ...production,
              KLAR_PROFILE,
              BILLING_MODE: 'production',
              [name]: `https://a.example,${origin}`,
            }),
            [name],
          );
        }
        assert.deepEqual(problemsOf({ ...good, [name]: origin }), []);
      });
    }
  }

  it('refuse localhost origins by flag, and a base URL that is local or not https, in production', () => {
    assert.deepEqual(problemsOf({ ...production, ALLOW_LOCALHOST_ORIGINS: 'true' }), ['ALLOW_LOCALHOST_ORIGINS']);
    assert.deepEqual(problemsOf({ ...production, PUBLIC_BASE_URL: 'http://klar.school' }), ['PUBLIC_BASE_URL']);
    assert.deepEqual(problemsOf({ ...production, PUBLIC_BASE_URL: 'https://localhost' }), ['PUBLIC_BASE_URL']);
    const { PUBLIC_BASE_URL: _, ...rest } = production;
    assert.deepEqual(problemsOf(rest), ['PUBLIC_BASE_URL']);
  });

  it('demand NODE_ENV=production of staging and production', () => {
    assert.deepEqual(problemsOf({ ...production, NODE_ENV: 'development' }), ['NODE_ENV']);
    assert.deepEqual(problemsOf({ ...production, KLAR_PROFILE: 'staging', NODE_ENV: undefined }), ['NODE_ENV']);
  });

  it('refuse the all-in-one, and with it the sandbox, in staging and production', () => {
    assert.ok(problemsOf(production, 'all-in-one').includes('KLAR_PROFILE'));
    assert.ok(!problemsOf({ ...good, KLAR_PROFILE: 'demo' }, 'all-in-one').includes('KLAR_PROFILE'));
  });

  for (const weak of [
    'changeme',
    'change-me-please-change-me-please-1',
    'secret',
    'password123',
    'admin',
    'test-token',
    'x'.repeat(40),
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'abcabcabcabcabcabcabcabcabcabcabcabc',
    'your-secret-goes-here-0123456789abcd',
    'example-example-0123456789abcdefghij',
    'short',
    'placeholder-0123456789-0123456789-01',
  ]) {
    it(`refuse the secret "${weak.slice(0, 20)}" in production, and take it in development`, () => {
      for (const name of ['AUTH_SECRET', 'API_SECRET_SALT', 'ADMIN_TOKEN']) {
        const { problems } = inspectSettings('api', { ...production, [name]: weak });
        assert.deepEqual(
          problems.map((p) => p.name),
          [name],
        );
        assert.ok(!JSON.stringify(problems).includes(weak), 'the value is not repeated');
        assert.deepEqual(problemsOf({ ...good, [name]: weak }), []);
      }
    });
  }

  it('refuse a default password within a database URL, without quoting it', () => {
    const { problems } = inspectSettings('api', { ...production, DATABASE_URL: 'postgres://klar:postgres@db/klar' });
    assert.deepEqual(
      problems.map((p) => p.name),
      ['DATABASE_URL'],
    );
  });

  it('take every secret that is made at random', () => {
    for (let i = 0; i < 300; i += 1) {
      assert.deepEqual(problemsOf({ ...production, ADMIN_TOKEN: generateSecret('ADMIN_TOKEN') }), []);
    }
  });

  it('refuse a Stripe test key where real money moves, and a live one where it must not', () => {
    const test = generateSecret('STRIPE_SECRET_KEY');
    const live = production.STRIPE_SECRET_KEY;
    assert.deepEqual(problemsOf({ ...production, STRIPE_SECRET_KEY: test }), ['STRIPE_SECRET_KEY']);
    assert.deepEqual(problemsOf({ ...good, BILLING_MODE: 'production', STRIPE_SECRET_KEY: test }), [
      'STRIPE_SECRET_KEY',
    ]);
    assert.deepEqual(problemsOf({ ...good, BILLING_MODE: 'production', STRIPE_SECRET_KEY: live }), []);
    assert.deepEqual(problemsOf({ ...good, STRIPE_SECRET_KEY: live }), ['STRIPE_SECRET_KEY']);
    assert.deepEqual(
      problemsOf({ ...production, KLAR_PROFILE: 'staging', BILLING_MODE: 'test', STRIPE_SECRET_KEY: test }),
      [],
    );
    assert.deepEqual(problemsOf({ ...production, STRIPE_API_BASE: 'http://localhost:3900' }), ['STRIPE_API_BASE']);
  });

  it('refuse production without BILLING_MODE=production where money is taken: live payments would match no order', () => {
    const { BILLING_MODE: _, ...rest } = production;
    assert.deepEqual(problemsOf(rest), ['BILLING_MODE']);
    assert.ok(problemsOf(rest, 'worker').includes('BILLING_MODE'));
    assert.deepEqual(problemsOf({ ...rest, STRIPE_SECRET_KEY: undefined, BILLING_PROVIDER: 'manual' }), []);
  });

  it('refuse an AUTH_JWT_KEY that cannot sign, and an ADMIN_TOKEN that nobody could send', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    for (const key of [String(rsa), '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----']) {
      assert.deepEqual(problemsOf({ ...good, AUTH_JWT_KEY: key }), ['AUTH_JWT_KEY']);
    }
    for (const token of ['two words of it', 'klar_looks_like_an_api_key', 'h\u00e9']) {
      assert.deepEqual(problemsOf({ ...good, ADMIN_TOKEN: token }), ['ADMIN_TOKEN'], token);
    }
  });

  it('refuse to believe everybody who sends X-Forwarded-For in production', () => {
    assert.deepEqual(problemsOf({ ...production, TRUSTED_PROXIES: '10.0.0.0/8,0.0.0.0/0' }), ['TRUSTED_PROXIES']);
    assert.deepEqual(problemsOf({ ...production, TRUSTED_PROXIES: '::/0' }), ['TRUSTED_PROXIES']);
    assert.deepEqual(problemsOf({ ...production, TRUSTED_PROXIES: '10.0.0.0/8' }), []);
  });

  it('refuse a wildcard inside an origin: it matches no origin, and who wrote it believes it does', () => {
    assert.deepEqual(problemsOf({ ...good, CORS_ALLOW_ORIGINS: 'https://*.example.com' }), ['CORS_ALLOW_ORIGINS']);
    assert.deepEqual(problemsOf({ ...production, CORS_ALLOW_ORIGINS: 'http://localhost.:3000' }), [
      'CORS_ALLOW_ORIGINS',
    ]);
  });

  it('demand the provider secrets that each process needs in production', () => {
    const { STRIPE_SECRET_KEY: _, ...rest } = production;
    assert.deepEqual(problemsOf(rest), ['STRIPE_SECRET_KEY']);
    assert.deepEqual(problemsOf({ ...rest, BILLING_PROVIDER: 'manual' }), []);
    assert.ok(problemsOf(rest, 'webhook-ingest').includes('STRIPE_WEBHOOK_SECRET'));
  });

  it('give each process only the secrets it may hold', () => {
    const all = {
      ...good,
      STRIPE_SECRET_KEY: generateSecret('STRIPE_SECRET_KEY'),
      STRIPE_WEBHOOK_SECRET: generateSecret('STRIPE_WEBHOOK_SECRET'),
      DATABASE_URL_MIGRATOR: 'postgres://m@db/klar',
      ADMIN_TOKEN: 'x',
    };
    const ingest = loadSettings('webhook-ingest', all);
    assert.deepEqual(ingest.meta.secrets.map(({ name }) => name).sort(), ['DATABASE_URL', 'STRIPE_WEBHOOK_SECRET']);
    assert.equal(ingest.STRIPE_SECRET_KEY, undefined);
    const api = loadSettings('api', all);
    assert.equal(api.STRIPE_WEBHOOK_SECRET, undefined);
    assert.equal(api.DATABASE_URL_MIGRATOR, undefined);
  });

  it('refuse the old names with the new one, and warn of KLAR_ variables nobody knows', () => {
    const { problems } = inspectSettings('worker', {
      ...good,
      MVP_WORKER_ENABLED: 'true',
      LEGACY_QUEUE_WORKER_ENABLED: 'false',
    });
    assert.deepEqual(
      problems.map((p) => p.name),
      ['MVP_WORKER_ENABLED', 'LEGACY_QUEUE_WORKER_ENABLED'],
    );
    assert.ok(problems.every((p) => p.mend.includes('KLAR_WORKER_ENABLED')));
    const { settings } = inspectSettings('worker', {
      ...good,
      KLAR_WORKER_ENABLD: 'true',
      KLAR_SECRETS_DIR: '/nowhere',
      DATABASE_URL_API_FILE: '',
    });
    assert.deepEqual(settings.meta.warnings, [
      'KLAR_WORKER_ENABLD is not a setting; did you mean KLAR_WORKER_ENABLED?',
    ]);
  });

  it('never show a secret: not in the table, the problems, an inspection or JSON', () => {
    const env: Environment = { ...production, STRIPE_SECRET_KEY: 'not-a-stripe-key-kQ9', ADMIN_TOKEN: 'kQ9short' };
    const { settings, problems } = inspectSettings('api', env);
    const text = JSON.stringify([settings, problems, settings.meta.table]);
    for (const secret of ['kZ8vQ2xLm4Tn7pRs', 'kQ9', production.AUTH_SECRET, production.API_SECRET_SALT]) {
      assert.ok(!text.includes(secret));
    }
  });

  it('say the origin of each value', () => {
    const { settings } = inspectSettings('api', { ...good, PORT: '4000' });
    const origin = Object.fromEntries(settings.meta.table.map((row) => [row.name, row.origin]));
    assert.deepEqual(
      [origin.PORT, origin.ADMIN_PORT, origin.AUTH_SECRET, origin.REDIS_URL],
      ['env', 'default', 'env', 'unset'],
    );
  });

  it('tell a code path that it misses a secret, with the mend', () => {
    const settings = loadSettings('cli', { KLAR_SECRETS_DIR: '/nowhere' });
    assert.throws(() => needSecret(settings, 'DATABASE_URL_MIGRATOR'), /DATABASE_URL_MIGRATOR: is missing/);
  });

  it('never throw anything but ConfigError, whatever the environment holds', () => {
    const names = Object.keys(SPEC);
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '*',
        'http://localhost',
        '-1',
        '1e9',
        'true',
        '{}',
        '[]',
        'postgres://',
        'http://[',
        'sk_live_',
        '%',
        'postgres://u:%zz@h/d',
        '😀',
      ),
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 12 }),
        fc.constantFrom<ProcessName>('api', 'worker', 'webhook-ingest', 'cli', 'all-in-one', 'controller'),
        fc.constantFrom('development', 'production'),
        (env, process, NODE_ENV) => {
          try {
            loadSettings(process, { ...good, ...env, NODE_ENV });
          } catch (error) {
            assert.ok(error instanceof ConfigError, String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('.env.example', () => {
  it('names every setting once and holds no value that is in force', () => {
    const text = renderEnvExample();
    for (const name of Object.keys(SPEC))
      assert.equal(text.split('\n').filter((line) => line.startsWith(`#${name}=`)).length, 1, name);
    assert.ok(text.split('\n').every((line) => line === '' || line.startsWith('#')));
  });
});
