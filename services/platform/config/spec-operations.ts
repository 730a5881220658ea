import { flag, type SecretSetting, type Setting, secret, text, url } from './setting.ts';

/** How parts are put together and watched. */
export const OPERATIONS_SPEC = {
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
