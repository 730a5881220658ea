import {
  affinity,
  bySecret,
  configSchema,
  flag,
  hostName,
  integer,
  labels,
  like,
  list,
  name,
  nameOrNone,
  object,
  oneOf,
  resources,
  type Schema,
  secretKey,
  size,
  text,
  tolerations,
} from './chart-schema.ts';
import { cronjobsSchema, monitoringSchema } from './chart-schema-operations.ts';

const selector = object({
  matchLabels: labels,
  matchExpressions: list(
    object({ key: text, operator: oneOf('In', 'NotIn', 'Exists', 'DoesNotExist'), values: list(text) }),
  ),
});
const peers = list(
  object({
    podSelector: selector,
    namespaceSelector: selector,
    ipBlock: object(
      { cidr: like('^[0-9a-fA-F:.]+/[0-9]{1,3}$'), except: list(like('^[0-9a-fA-F:.]+/[0-9]{1,3}$')) },
      { required: ['cidr'] },
    ),
  }),
);
const destination = object({ to: peers, ports: list(integer(1, 65_535)) });

const server: Record<string, Schema> = {
  replicas: integer(1),
  resources,
  minReadySeconds: integer(0, 300),
  terminationGracePeriodSeconds: integer(1),
  startupSeconds: integer(10),
  podAnnotations: labels,
  nodeSelector: labels,
  tolerations,
  affinity,
  priorityClassName: nameOrNone,
};
const autoscaling = object({
  enabled: flag,
  minReplicas: integer(1),
  maxReplicas: integer(1),
  targetCPUUtilizationPercentage: integer(1, 100),
  scaleDownSeconds: integer(0, 3600),
});
const keda = object({
  enabled: flag,
  minReplicas: integer(1),
  maxReplicas: integer(1),
  prometheusAddress: like('^(https?://[^@\\s]+)?$'),
  maxQueueAgeSeconds: integer(1),
  query: text,
});
const duration = like('^[0-9]{1,6}[smhd]$');
const blackout = list(
  object(
    {
      days: list(oneOf('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')),
      from: like('^([01][0-9]|2[0-3]):[0-5][0-9]$'),
      to: like('^([01][0-9]|2[0-3]):[0-5][0-9]$'),
      timeZone: text,
    },
    { required: ['from', 'to', 'timeZone'] },
  ),
);
const rotation = object({
  livekitKeyClaim: nameOrNone,
  enabled: flag,
  schedule: flag,
  period: duration,
  soak: duration,
  jitter: duration,
  blackout,
  policies: list(
    object(
      {
        secret: text,
        kind: text,
        period: duration,
        soak: duration,
        quiet: duration,
        jitter: duration,
        blackout,
        enabled: flag,
      },
      { required: ['secret', 'kind', 'period'] },
    ),
  ),
});
const spread = oneOf('ScheduleAnyway', 'DoNotSchedule');
const image = like('^([a-z0-9./:_-]+[a-zA-Z0-9._/:@-]*)?$');

const properties: Record<string, Schema> = {
  mode: oneOf('demo', 'staging', 'production'),
  fullnameOverride: nameOrNone,
  image: object({
    repository: like('^[a-z0-9]*([a-z0-9._/:-]*[a-z0-9])?$'),
    tag: like('^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$'),
    digest: like('^(sha256:[0-9a-f]{64})?$'),
    pullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
    pullSecrets: list(name),
  }),
  config: configSchema(),
  secrets: object({
    existingSecret: nameOrNone,
    fixedSecret: nameOrNone,
    overrides: bySecret(
      object({ secretName: name, key: secretKey, previousKey: secretKey }, { required: ['secretName', 'key'] }),
    ),
    externalSecret: object({
      enabled: flag,
      storeRef: object({ name: nameOrNone, kind: oneOf('SecretStore', 'ClusterSecretStore') }),
      remoteKey: text,
      refreshInterval: like('^[0-9]+(s|m|h)$'),
    }),
    inline: bySecret(like('\\S')),
  }),
  api: object({ ...server, autoscaling }),
  webhookIngest: object({ ...server, autoscaling }),
  worker: object({ ...server, keda }),
  controller: object({ enabled: flag, rotation, ...server }),
  topologySpread: object({ zones: spread, hosts: spread }),
  podDisruptionBudgets: object({ enabled: flag }),
  ingress: object({
    enabled: flag,
    className: nameOrNone,
    annotations: labels,
    hosts: list(hostName),
    tls: list(object({ secretName: name, hosts: list(hostName) })),
  }),
  gateway: object({
    enabled: flag,
    annotations: labels,
    parentRefs: list(object({ name, namespace: name, sectionName: name }, { required: ['name'] })),
    hostnames: list(hostName),
  }),
  networkPolicies: object({
    enabled: flag,
    ingressController: peers,
    prometheus: peers,
    cnpgOperator: peers,
    ...Object.fromEntries(
      [
        'dns',
        'database',
        'redis',
        'providers',
        'smtp',
        'otlp',
        'sentry',
        'storage',
        'restoreVerify',
        'kubernetes',
        'rotation',
      ].map((key) => [key, destination]),
    ),
  }),
  migrations: object({
    mode: oneOf('', 'hook', 'job', 'external'),
    superuserSecret: object({ name: nameOrNone, key: secretKey }),
    resources,
    activeDeadlineSeconds: integer(30),
    ttlSecondsAfterFinished: integer(60),
  }),
  postgresql: object({
    enabled: flag,
    image,
    storage: size,
    storageClass: nameOrNone,
    leavesAfterSeconds: integer(0, 300),
    resources,
  }),
  sandbox: object({
    enabled: flag,
    host: { anyOf: [hostName, { const: '' }], type: 'string' },
    publicUrl: like('^(https?://[^/@\\s]+)?$'),
    storage: { anyOf: [size, { const: '' }], type: 'string' },
    storageClass: nameOrNone,
    resources,
  }),
  cnpg: object({
    enabled: flag,
    instances: integer(1),
    imageName: image,
    storage: size,
    storageClass: nameOrNone,
    resources,
    parameters: labels,
  }),
  pgbouncer: object({
    enabled: flag,
    image,
    replicas: integer(1),
    host: text,
    port: integer(1, 65_535),
    userlistSecret: object({ name: nameOrNone, key: secretKey }),
    preparedStatements: flag,
    defaultPoolSize: integer(1),
    maxClientConnections: integer(1),
    maxDatabaseConnections: integer(1),
    resources,
  }),
  cronjobs: cronjobsSchema,
  monitoring: monitoringSchema,
  // What a parent chart may hand down.
  global: { type: 'object' },
};

/** charts/klar/values.schema.json: helm refuses values that do not fit before it renders anything. */
export function renderValuesSchema(): string {
  const schema = { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'Values of the chart klar' };
  return `${JSON.stringify({ ...schema, ...object(properties) }, null, 2)}\n`;
}
