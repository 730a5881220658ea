import { choice, cidrs, integer, type ProcessName, port, type SecretSetting, type Setting, secret } from './setting.ts';
import { databaseUrls } from './spec-database.ts';

const API: readonly ProcessName[] = ['api', 'all-in-one'];
const INGEST: readonly ProcessName[] = ['webhook-ingest', 'all-in-one'];
const SERVING: readonly ProcessName[] = ['api', 'webhook-ingest', 'worker', 'controller', 'all-in-one'];

/** How processes run and whom they let in. */
export const SERVING_SPEC = {
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
  MAX_REQUESTS_IN_FLIGHT: integer({
    group: 'Ports',
    processes: API,
    default: 200,
    min: 10,
    max: 100_000,
    description:
      'Requests that one process of the API works on at once; those beyond it get 503 with Retry-After, as they would be answered too late.',
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
} as const satisfies Record<string, Setting<unknown> | SecretSetting>;
