import {
  choice,
  cidrs,
  flag,
  integer,
  issuers,
  origins,
  type ProcessName,
  port,
  type SecretSetting,
  type Setting,
  secret,
  text,
  url,
} from './setting.ts';
import { databaseUrls } from './spec-database.ts';

const API: readonly ProcessName[] = ['api', 'all-in-one'];
const INGEST: readonly ProcessName[] = ['webhook-ingest', 'all-in-one'];
const WORKER: readonly ProcessName[] = ['worker', 'all-in-one'];
const SERVING: readonly ProcessName[] = ['api', 'webhook-ingest', 'worker', 'controller', 'all-in-one'];
/** What calls providers for payments: the API opens checkouts, the worker reads objects, the CLI replays and syncs. */
const PROVIDER: readonly ProcessName[] = ['api', 'worker', 'cli', 'all-in-one'];

const PEM = {
  pattern: /^-----BEGIN PRIVATE KEY-----[\s\S]+-----END PRIVATE KEY-----\s*$/,
  says: 'a PKCS#8 PEM private key',
};

/**
 * Every setting of every process: the only place where an environment variable is named. `klar config check`,
 * `.env.example` and the chart's table are made from it.
 */
export const SPEC = {
  KLAR_PROFILE: choice(['development', 'test', 'demo', 'staging', 'production'], {
    group: 'Profile',
    // NODE_ENV=production alone must never get the lenient rules; see defaultProfile() in load.ts.
    default: 'development',
    description:
      'How strict the rules are. staging and production demand NODE_ENV=production, refuse the sandbox, weak secrets and localhost. Default: production where NODE_ENV=production, else development.',
  }),
  NODE_ENV: choice(['development', 'test', 'production'], {
    group: 'Profile',
    default: 'development',
    description: 'What libraries look at (express hides stack traces under production).',
  }),
  LOG_LEVEL: choice(['error', 'warn', 'info', 'debug', 'silent'], {
    group: 'Profile',
    default: 'info',
    description: 'Lowest level that is logged; logs are JSON lines on stdout.',
  }),

  PORT: port({
    group: 'Ports',
    processes: API,
    default: 3000,
    description: 'Public HTTP port of the API; in all-in-one it serves everything public.',
  }),
  INGEST_PORT: port({ group: 'Ports', processes: INGEST, default: 3001, description: 'HTTP port of webhook-ingest.' }),
  ADMIN_PORT: port({
    group: 'Ports',
    processes: SERVING,
    default: 9090,
    description: 'Admin port with /livez /readyz /metrics /versionz; never on the ingress.',
  }),
  SANDBOX_PORT: port({
    group: 'Ports',
    processes: ['all-in-one'],
    default: 3900,
    description: 'Port of the sandbox that stands in for Stripe.',
  }),
  SANDBOX_MAIL_PORT: port({
    group: 'Ports',
    processes: ['all-in-one'],
    default: 3925,
    description: 'SMTP port of the mail catcher.',
  }),
  SHUTDOWN_DELAY_MS: integer({
    group: 'Ports',
    processes: SERVING,
    default: 0,
    max: 120_000,
    description:
      'How long to go on serving after readiness turned false: the time the cluster needs to take a pod out of its endpoints. The chart sets 5000.',
  }),
  TRUSTED_PROXIES: cidrs({
    group: 'Ports',
    processes: ['api', 'webhook-ingest', 'all-in-one'],
    default: [],
    example: '10.0.0.0/8',
    description: 'Networks of the proxies whose X-Forwarded-For is believed; none by default.',
  }),

  ...databaseUrls(),
  DB_POOL_SIZE: integer({
    group: 'Database',
    default: 10,
    min: 1,
    max: 500,
    description: 'Connections per pool; a full pool sheds with 503.',
  }),
  DB_PREPARED: choice(['on', 'off'], {
    group: 'Database',
    default: 'on',
    description: 'Named prepared statements; off for PgBouncer before 1.21.',
  }),
  REDIS_URL: secret({
    group: 'Database',
    processes: API,
    shape: { pattern: /^rediss?:\/\//, says: 'a URL that starts with redis:// or rediss://' },
    example: 'redis://localhost:6379',
    description: 'Shares rate limits between pods; without it each pod counts alone.',
  }),

  RATE_LIMIT_AUTH: integer({
    group: 'Limits',
    processes: API,
    default: 60,
    min: 1,
    description: 'Requests per minute and address to the authentication routes; accounts have a limit of their own.',
  }),
  RATE_LIMIT_READ: integer({
    group: 'Limits',
    processes: API,
    default: 1_200,
    min: 1,
    description: 'Reads per minute and caller (address, where nobody is logged in).',
  }),
  RATE_LIMIT_WRITE: integer({
    group: 'Limits',
    processes: API,
    default: 300,
    min: 1,
    description: 'Changes per minute and caller.',
  }),
  RATE_LIMIT_BILLING: integer({
    group: 'Limits',
    processes: API,
    default: 120,
    min: 1,
    description: 'Orders, checkouts and other money per minute and caller.',
  }),
  RATE_LIMIT_MEDIA: integer({
    group: 'Limits',
    processes: API,
    default: 300,
    min: 1,
    description: 'Room tokens, uploads and downloads per minute and caller.',
  }),
  RATE_LIMIT_OPS: integer({
    group: 'Limits',
    processes: API,
    default: 600,
    min: 1,
    description: 'Readiness, status and admin requests per minute and caller.',
  }),
  RATE_LIMIT_BAD_CREDENTIALS: integer({
    group: 'Limits',
    processes: API,
    default: 600,
    min: 1,
    description: 'Refused tokens and keys per minute and address, before none from there is looked at any more.',
  }),
  RATE_LIMIT_TENANT_FACTOR: integer({
    group: 'Limits',
    processes: API,
    default: 20,
    min: 1,
    description: 'How many times the limit of one caller a whole school may use.',
  }),

  PUBLIC_BASE_URL: url({
    group: 'Origins',
    processes: ['api', 'worker', 'cli', 'all-in-one'],
    protocols: ['http', 'https'],
    default: 'http://localhost:3000',
    requiredIn: 'strict',
    example: 'https://klar.example.com',
    description: 'The address people and providers reach us at: links in mails, return URLs of checkouts.',
  }),
  AUTH_ORIGIN_ALLOWLIST: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://app.example.com',
    description: 'Origins that may call the authentication routes from a browser.',
  }),
  CORS_ALLOW_ORIGINS: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://app.example.com',
    description: 'Origins that may call the API from a browser.',
  }),
  PUBLIC_ORIGIN_ALLOWLIST: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://www.example.com',
    description: 'Origins that may call the public routes, and that checkouts may return to.',
  }),
  ALLOW_LOCALHOST_ORIGINS: flag({
    group: 'Origins',
    processes: API,
    default: false,
    description: 'Also take any http://localhost:<port>; refused in staging and production.',
  }),
  ALLOW_NULL_ORIGIN: flag({
    group: 'Origins',
    processes: API,
    default: false,
    description: 'Also take `Origin: null` (files, sandboxed frames).',
  }),

  AUTH_JWT_KEY: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'always',
    shape: PEM,
    description: 'Ed25519 private key (PKCS#8 PEM) that signs access tokens.',
  }),
  AUTH_SECRET: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'always',
    minLength: 32,
    description: 'Key under which better-auth signs and encrypts its own values.',
  }),
  AUTH_ISSUERS: issuers({
    group: 'Identity',
    processes: API,
    default: [],
    example: '[{"issuer":"https://id.example.com","audience":"klar"}]',
    description: 'Outside issuers whose tokens are taken: a JSON list of {issuer, audience, jwks_uri?, algorithms?}.',
  }),
  API_SECRET_SALT: secret({
    group: 'Identity',
    processes: ['api', 'cli', 'all-in-one'],
    requiredIn: 'always',
    minLength: 32,
    description: 'Pepper of the API keys; also signs list cursors.',
  }),
  ADMIN_TOKEN: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'strict',
    minLength: 32,
    description: 'Bearer token of platform operators for /api/admin and /api/ops.',
  }),

  BILLING_MODE: choice(['test', 'production'], {
    group: 'Payments',
    processes: ['api', 'worker', 'webhook-ingest', 'cli', 'all-in-one'],
    default: 'test',
    description: 'Whether real money moves: production takes live keys only, test takes test keys only.',
  }),
  BILLING_PROVIDER: choice(['stripe', 'manual'], {
    group: 'Payments',
    processes: ['api', 'worker', 'webhook-ingest', 'cli', 'all-in-one'],
    default: 'stripe',
    description: 'Who takes payments.',
  }),
  BILLING_DUNNING_OWNER: choice(['stripe', 'klar'], {
    group: 'Payments',
    processes: ['worker', 'cli', 'all-in-one'],
    default: 'klar',
    description: 'Who retries failed subscription payments.',
  }),
  STRIPE_SECRET_KEY: secret({
    group: 'Payments',
    processes: PROVIDER,
    shape: {
      pattern: /^(sk|rk)_(test|live)_\S+$/,
      says: 'a Stripe key that starts with sk_test_, sk_live_, rk_test_ or rk_live_',
    },
    description: 'Stripe API key. Set, it replaces the sandbox in all-in-one.',
  }),
  STRIPE_WEBHOOK_SECRET: secret({
    group: 'Payments',
    processes: INGEST,
    shape: { pattern: /^whsec_\S+$/, says: 'a signing secret that starts with whsec_' },
    description: 'Signing secret of the Stripe webhook endpoint.',
  }),
  STRIPE_API_BASE: url({
    group: 'Payments',
    processes: PROVIDER,
    protocols: ['http', 'https'],
    example: 'https://api.stripe.com',
    description: 'Another server that speaks the Stripe API; absent: Stripe, or the sandbox in all-in-one.',
  }),
  STRIPE_METERED_PRICE_ID: text({
    group: 'Payments',
    processes: PROVIDER,
    example: 'price_...',
    description: 'Stripe price that metered usage is reported to.',
  }),
  BAKONG_API_BASE: url({
    group: 'Payments',
    processes: PROVIDER,
    protocols: ['http', 'https'],
    description: 'Bakong API; absent: the sandbox in all-in-one.',
  }),
  BAKONG_TOKEN: secret({ group: 'Payments', processes: PROVIDER, description: 'Bakong API token.' }),

  LIVEKIT_URL: url({
    group: 'Seminars',
    processes: ['api', 'worker', 'cli', 'all-in-one'],
    protocols: ['ws', 'wss', 'http', 'https'],
    description: 'LiveKit server.',
  }),
  LIVEKIT_API_KEY: secret({
    group: 'Seminars',
    processes: ['api', 'webhook-ingest', 'worker', 'controller', 'all-in-one'],
    description: 'LiveKit API key.',
  }),
  LIVEKIT_API_SECRET: secret({
    group: 'Seminars',
    processes: ['api', 'webhook-ingest', 'worker', 'controller', 'all-in-one'],
    minLength: 32,
    description: 'LiveKit API secret.',
  }),

  SMTP_URL: secret({
    group: 'Mail',
    processes: WORKER,
    requiredIn: 'strict',
    shape: { pattern: /^smtps?:\/\//, says: 'a URL that starts with smtp:// or smtps://' },
    example: 'smtp://user:password@mail.example.com:587',
    description: 'Mail server; absent: the mail catcher in all-in-one.',
  }),
  SMTP_FROM: text({
    group: 'Mail',
    processes: WORKER,
    default: 'Klar <no-reply@localhost>',
    requiredIn: 'strict',
    example: 'Klar <no-reply@example.com>',
    description: 'Sender of the mails.',
  }),

  S3_ENDPOINT: url({
    group: 'Storage',
    protocols: ['http', 'https'],
    description: 'S3-compatible storage; absent: AWS.',
  }),
  AWS_REGION: text({ group: 'Storage', description: 'Region of the storage.' }),
  AWS_ACCESS_KEY_ID: secret({ group: 'Storage', description: 'Storage key id.' }),
  AWS_SECRET_ACCESS_KEY: secret({ group: 'Storage', description: 'Storage secret.' }),
  AWS_SESSION_TOKEN: secret({ group: 'Storage', description: 'Storage session token.' }),
  BACKUP_URL: url({
    group: 'Storage',
    processes: ['cli', 'all-in-one'],
    protocols: ['file', 's3'],
    example: 's3://bucket/prefix',
    description: 'Where backups go.',
  }),

  KLAR_WORKER_ENABLED: flag({
    group: 'Processes',
    processes: ['worker', 'all-in-one'],
    default: true,
    description: 'false leaves the worker out of all-in-one, as a separate deployment would run it.',
  }),
  KLAR_SECRETS_DIR: text({
    group: 'Processes',
    default: '/etc/klar/secrets',
    description: 'Folder with <NAME>/current and <NAME>/previous; read again within a second of a change.',
  }),
  KLAR_DATA_DIR: text({
    group: 'Processes',
    processes: ['all-in-one'],
    default: '.klar',
    description: 'Where all-in-one keeps its database and secrets.',
  }),
  KLAR_SANDBOX: flag({
    group: 'Processes',
    processes: ['all-in-one'],
    default: true,
    description: 'Run the sandbox for providers that are not set; refused in staging and production.',
  }),
  KLAR_FAILPOINT: text({
    group: 'Processes',
    example: 'ingest.after_commit:3',
    description: 'Crash tests only: kill -9 of this process at a named point; refused in staging and production.',
  }),
  KLAR_IMAGE_DIGEST: text({ group: 'Processes', description: 'Digest of the running image, for /versionz.' }),
  KLAR_COMMIT: text({ group: 'Processes', description: 'Commit of the running code, for /versionz.' }),

  MONITOR_ALERT_WEBHOOK_URL: secret({
    group: 'Observability',
    processes: ['worker', 'cli', 'all-in-one'],
    shape: { pattern: /^https?:\/\//, says: 'a URL that starts with https://' },
    description: 'Where unattended tasks shout.',
  }),
  SENTRY_DSN: secret({
    group: 'Observability',
    shape: { pattern: /^https?:\/\//, says: 'a URL that starts with https://' },
    description: 'Switches error reports to Sentry on.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: url({
    group: 'Observability',
    protocols: ['http', 'https'],
    example: 'http://otel-collector:4318',
    description: 'Switches OpenTelemetry traces on (OTLP over HTTP).',
  }),
} as const satisfies Record<string, Setting<unknown> | SecretSetting>;

export type SettingName = keyof typeof SPEC;

/** Names of before; a deployment that still sets one must not believe that it works. */
export const RENAMED: Readonly<Record<string, SettingName>> = {
  MVP_WORKER_ENABLED: 'KLAR_WORKER_ENABLED',
  LEGACY_QUEUE_WORKER_ENABLED: 'KLAR_WORKER_ENABLED',
};
