/** JSON Schema of the chart's `cronjobs` and `monitoring`, which do not follow from the settings. */
import { TASK_NAMES, taskOf } from '#domain/operations/index.ts';

type Schema = Record<string, unknown>;

const closed = (properties: Record<string, Schema>, more: Schema = {}): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  ...more,
});
const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const seconds = (minimum: number): Schema => ({ type: 'integer', minimum });
const labels: Schema = { type: 'object', additionalProperties: text };
const objects: Schema = { type: 'array', items: { type: 'object' } };
const quantity: Schema = {
  type: ['string', 'number'],
  pattern: '^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$',
};
const storage: Schema = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(Mi|Gi|Ti|M|G|T)$' };
const amounts = closed({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity });

/** Five fields; what Kubernetes and `klar` both read. A name like @daily is refused: `klar` takes ticks from the minutes. */
const schedule: Schema = { type: 'string', pattern: '^\\S+( \\S+){4}$' };

/** What a task says for itself or leaves to cronjobs.defaults. */
const SHARED: Record<string, Schema> = {
  timeZone: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$' },
  suspend: flag,
  // Kubernetes looks every ten seconds: with a shorter deadline a job may never start.
  startingDeadlineSeconds: seconds(30),
  activeDeadlineSeconds: seconds(10),
  backoffLimit: { type: 'integer', minimum: 0, maximum: 10 },
  successfulJobsHistoryLimit: { type: 'integer', minimum: 1 },
  failedJobsHistoryLimit: { type: 'integer', minimum: 1 },
  ttlSecondsAfterFinished: seconds(60),
  resources: closed({ requests: amounts, limits: amounts }),
  args: { type: 'array', items: text },
  podAnnotations: labels,
  nodeSelector: labels,
  tolerations: objects,
  affinity: { type: 'object' },
  priorityClassName: text,
};

const task = (more: Record<string, Schema>): Schema =>
  closed(
    {
      ...SHARED,
      enabled: flag,
      schedule,
      every: { type: 'string', pattern: '^[1-9][0-9]*[mhd]$' },
      workDir: closed({ size: storage, storageClass: text }),
      ...more,
    },
    { required: ['enabled', 'schedule', 'every'] },
  );

/** Those that work with the store of the backups have an identity of their own. */
const identity = { serviceAccount: closed({ annotations: labels }) };

export const cronjobsSchema: Schema = closed({
  defaults: closed(SHARED),
  ...Object.fromEntries(
    TASK_NAMES.map((name) => [name, task(taskOf(name).needs?.includes('BACKUP_URL') ? identity : {})]),
  ),
  backupVolume: closed({
    existingClaim: text,
    size: storage,
    storageClass: text,
    accessMode: { enum: ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'] },
    keep: flag,
  }),
  toolbox: closed({ enabled: flag }),
});

const promDuration: Schema = { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' };

export const monitoringSchema: Schema = closed({
  enabled: flag,
  labels,
  podMonitor: closed({ enabled: flag, interval: promDuration, scrapeTimeout: promDuration }),
  rules: closed({
    enabled: flag,
    runbookBaseUrl: { type: 'string', pattern: '^(https?://.+)?$' },
    disabled: { type: 'array', items: { type: 'string', pattern: '^Klar[A-Za-z]+$' } },
    severity: {
      type: 'object',
      propertyNames: { pattern: '^Klar[A-Za-z]+$' },
      additionalProperties: { enum: ['page', 'ticket'] },
    },
    labels,
  }),
});
