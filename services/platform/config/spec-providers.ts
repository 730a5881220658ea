import { choice, type ProcessName, type SecretSetting, type Setting, secret, text, url } from './setting.ts';

const INGEST: readonly ProcessName[] = ['webhook-ingest', 'all-in-one'];
const WORKER: readonly ProcessName[] = ['worker', 'all-in-one'];
/** What calls providers for payments: the API opens checkouts, the worker reads objects, the CLI replays and syncs. */
const PROVIDER: readonly ProcessName[] = ['api', 'worker', 'cli', 'all-in-one'];

/** The world outside: payments, seminars, mail, storage. */
export const PROVIDER_SPEC = {
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
  STRIPE_ROTATION_KEY: secret({
    group: 'Payments',
    processes: ['controller', 'all-in-one'],
    shape: { pattern: /^(sk|rk)_(test|live)_\S+$/, says: 'a Stripe key, best a restricted one that starts with rk_' },
    description:
      'Restricted Stripe key that may write webhook endpoints, read events, and nothing else. Absent: STRIPE_WEBHOOK_SECRET is not rotated.',
  }),
  STRIPE_API_BASE: url({
    group: 'Payments',
    processes: [...PROVIDER, 'controller'],
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
    processes: ['api', 'worker', 'controller', 'cli', 'all-in-one'],
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

  LIVEKIT_KEY_FILE: text({
    group: 'Seminars',
    processes: ['controller', 'all-in-one'],
    description: 'The key file of livekit-server, which the controller writes. Absent: LiveKit keys are not rotated.',
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
  AWS_ACCESS_KEY_ID: secret({ group: 'Storage', processes: ['cli', 'all-in-one'], description: 'Storage key id.' }),
  AWS_SECRET_ACCESS_KEY: secret({ group: 'Storage', processes: ['cli', 'all-in-one'], description: 'Storage secret.' }),
  AWS_SESSION_TOKEN: secret({
    group: 'Storage',
    processes: ['cli', 'all-in-one'],
    description: 'Storage session token.',
  }),
  BACKUP_URL: url({
    group: 'Storage',
    processes: ['cli', 'all-in-one'],
    protocols: ['file', 's3'],
    example: 's3://bucket/prefix',
    description: 'Where backups go.',
  }),
} as const satisfies Record<string, Setting<unknown> | SecretSetting>;
