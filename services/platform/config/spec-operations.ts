import { flag, integer, type SecretSetting, type Setting, secret, text, url } from './setting.ts';

/** A text that must look like something; what it says is told when it does not. */
function matching<S extends Setting<string> | Setting<string | undefined>>(row: S, pattern: RegExp, mend: string): S {
  const parse = (value: string) =>
    pattern.test(value) ? row.parse(value) : { ok: false as const, problem: `"${value}" cannot be read`, mend };
  return { ...row, parse } as S;
}

const CLI = ['cli', 'all-in-one'] as const;

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
  KLAR_FLAGS_FILE: text({
    group: 'Processes',
    processes: ['api', 'webhook-ingest', 'worker', 'all-in-one'],
    example: 'flags.yaml',
    description:
      'Flags: the document that the controller writes, mounted from its ConfigMap, or one of your own, which then wins over the database. From a file called live.json only what the controller writes is taken. all-in-one takes flags.yaml. Absent: what the database says, before that the defaults of the code.',
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

  KLAR_JOB_NAME: text({
    group: 'Tasks',
    processes: ['cli'],
    example: 'klar-backup-29397241',
    description: 'Name of the Job that runs this command, by the downward API: the minute in it is the tick.',
  }),
  KLAR_TASK_SCHEDULE: text({
    group: 'Tasks',
    processes: ['cli'],
    example: '30 2 * * *',
    description: "The CronJob's schedule, so that a run knows which ticks were missed.",
  }),
  KLAR_TASK_TIME_ZONE: text({
    group: 'Tasks',
    processes: ['cli'],
    default: 'Etc/UTC',
    description: "The CronJob's time zone.",
  }),

  BACKUP_ENCRYPT_TO: matching(
    text({
      group: 'Backups',
      processes: CLI,
      example: 'age1...',
      description:
        'Public keys (age recipients, comma-separated) that backups are encrypted to; absent: not encrypted.',
    }),
    /^age1[0-9a-z]+(\s*,\s*age1[0-9a-z]+)*$/,
    'give age recipients like age1..., separated by commas',
  ),
  BACKUP_IDENTITY: secret({
    group: 'Backups',
    processes: CLI,
    shape: { pattern: /^AGE-SECRET-KEY-1[0-9A-Z]+$/, says: 'an age identity that starts with AGE-SECRET-KEY-1' },
    description: 'Private key of the backups; only restore and restore-verify may hold it.',
  }),
  BACKUP_RETENTION: matching(
    text({
      group: 'Backups',
      processes: CLI,
      default: 'daily=7,weekly=4,monthly=12',
      description: 'How many backups `klar backups prune` keeps for days, weeks and months.',
    }),
    /^(hourly|daily|weekly|monthly|yearly)=\d{1,4}(,(hourly|daily|weekly|monthly|yearly)=\d{1,4})*$/,
    'write for example daily=7,weekly=4,monthly=12',
  ),
  BACKUP_JOBS: integer({
    group: 'Backups',
    processes: CLI,
    default: 2,
    min: 1,
    max: 32,
    description: 'Connections of one dump or restore.',
  }),
  BACKUP_WORK_DIR: text({
    group: 'Backups',
    processes: CLI,
    example: '/var/lib/klar/work',
    description:
      'Where a dump lies before it is stored, and a backup before it is restored; absent: the temporary folder.',
  }),

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
