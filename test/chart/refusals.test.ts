import assert from 'node:assert/strict';
import { template } from './support/helm.ts';

type Refusal = { scenario: string; values: object; says: string[] };

/** What is written wrong, and what the refusal must name: the place, and how to mend it. */
const REFUSALS: Record<string, Refusal> = {
  'a misspelt setting': {
    scenario: 'demo',
    values: { config: { RATE_LIMT_AUTH: 5 } },
    says: ["at '/config'", "'RATE_LIMT_AUTH' not allowed", "'RATE_LIMIT_AUTH'"],
  },
  'a misspelt value': {
    scenario: 'demo',
    values: { webhookingest: { replicas: 2 } },
    says: ["'webhookingest' not allowed", "'webhookIngest'"],
  },
  'a misspelt value deep inside': {
    scenario: 'demo',
    values: { api: { autoscaling: { maxReplica: 2 } } },
    says: ["at '/api/autoscaling'", "'maxReplica' not allowed", "'maxReplicas'"],
  },
  'text for a number': {
    scenario: 'demo',
    values: { config: { RATE_LIMIT_AUTH: 'many' } },
    says: ["at '/config/RATE_LIMIT_AUTH'", 'got string, want integer'],
  },
  'a number out of its range': {
    scenario: 'demo',
    values: { config: { SHUTDOWN_DELAY_MS: 500_000 } },
    says: ["at '/config/SHUTDOWN_DELAY_MS'", 'want 120,000'],
  },
  'an unknown choice': {
    scenario: 'demo',
    values: { config: { LOG_LEVEL: 'loud' } },
    says: ["at '/config/LOG_LEVEL'", "'error', 'warn', 'info', 'debug', 'silent'"],
  },
  'text for a list': {
    scenario: 'demo',
    values: { config: { TRUSTED_PROXIES: '10.0.0.0/8' } },
    says: ["at '/config/TRUSTED_PROXIES'", 'got string, want array'],
  },
  'a password in a URL that goes into a ConfigMap': {
    scenario: 'demo',
    values: { config: { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://user:password@otel.example.com' } },
    says: ["at '/config/OTEL_EXPORTER_OTLP_ENDPOINT'", 'does not match pattern'],
  },
  'a digest that is none': {
    scenario: 'demo',
    values: { image: { digest: 'sha256:12' } },
    says: ["at '/image/digest'", 'does not match pattern'],
  },
  'a secret among the settings': {
    scenario: 'demo',
    values: { config: { ADMIN_TOKEN: 'abc' } },
    says: ['config.ADMIN_TOKEN: is a secret', 'secrets.existingSecret under the key ADMIN_TOKEN'],
  },
  'an inline secret in production': {
    scenario: 'production-small',
    values: { secrets: { existingSecret: '', inline: { STRIPE_SECRET_KEY: 'sk_live_abc' } } },
    says: [
      'secrets.inline.STRIPE_SECRET_KEY:',
      'mode production refuses',
      'kubectl create secret generic klar-secrets',
    ],
  },
  'an inline secret in staging': {
    scenario: 'external-everything',
    values: { secrets: { inline: { ADMIN_TOKEN: 'abc' } } },
    says: ['secrets.inline.ADMIN_TOKEN:', 'mode staging refuses', 'kubectl create secret'],
  },
  'production without secrets': {
    scenario: 'production-small',
    values: { secrets: { existingSecret: '' } },
    says: ['secrets.existingSecret: is not set', 'SETTINGS.md'],
  },
  'the sandbox in production': {
    scenario: 'production-small',
    values: { sandbox: { enabled: true, host: 'sandbox.example.com' } },
    says: ['sandbox.enabled: the sandbox takes play money', 'set mode: demo'],
  },
  'the demo values in production': {
    scenario: 'demo',
    values: { mode: 'production' },
    says: [
      'sandbox.enabled:',
      'postgresql.enabled:',
      'secrets.existingSecret:',
      'config.SMTP_FROM:',
      'config.TRUSTED_PROXIES:',
    ],
  },
  'the demo values in staging': {
    scenario: 'demo',
    values: { mode: 'staging' },
    says: ['sandbox.enabled:', 'mode staging'],
  },
  'a crash point in production': {
    scenario: 'production-small',
    values: { config: { KLAR_FAILPOINT: 'ingest.after_commit:1' } },
    says: ['config.KLAR_FAILPOINT: kills processes', 'leave it out'],
  },
  'every site as an origin': {
    scenario: 'production-small',
    values: { config: { CORS_ALLOW_ORIGINS: ['*'] } },
    says: ['config.CORS_ALLOW_ORIGINS: * is refused', 'list the public origins'],
  },
  'a base URL that is not https': {
    scenario: 'production-small',
    values: { config: { PUBLIC_BASE_URL: 'http://klar.example.com' } },
    says: ['config.PUBLIC_BASE_URL: is missing or not https', 'https://klar.example.com'],
  },
  'an ingress whose addresses nobody trusts': {
    scenario: 'production-small',
    values: { config: { TRUSTED_PROXIES: [] } },
    says: ['config.TRUSTED_PROXIES: is missing', 'share one rate limit', '[10.244.0.0/16]'],
  },
  'everybody as a proxy': {
    scenario: 'production-small',
    values: { config: { TRUSTED_PROXIES: ['0.0.0.0/0'] } },
    says: ['config.TRUSTED_PROXIES: 0.0.0.0/0 believes', 'the proxies alone'],
  },
  'the tag latest': {
    scenario: 'production-small',
    values: { image: { digest: '', tag: 'latest' } },
    says: ['image.tag: latest is another image tomorrow', 'image.digest'],
  },
  'no image': {
    scenario: 'demo',
    values: { image: { repository: '' } },
    says: ['image.repository: is not set', 'registry.example.com/klar'],
  },
  'a hook that waits for the chart’s own database': {
    scenario: 'demo',
    values: { migrations: { mode: 'hook' } },
    says: ['migrations.mode: a hook runs before the database', 'set job, or leave it empty'],
  },
  'a hook that waits for an ExternalSecret': {
    scenario: 'high-availability',
    values: {
      migrations: { mode: 'hook' },
      cnpg: { enabled: false },
      pgbouncer: { host: 'db' },
      networkPolicies: { database: { to: [{ ipBlock: { cidr: '10.0.0.1/32' } }] } },
    },
    says: ['migrations.mode: a hook runs before the Secret that the ExternalSecret makes', 'set job'],
  },
  'two databases': {
    scenario: 'demo',
    values: { cnpg: { enabled: true } },
    says: ['postgresql, cnpg: both bring a database', 'enable one of them'],
  },
  'two sources of secrets': {
    scenario: 'high-availability',
    values: { secrets: { existingSecret: 'klar-secrets' } },
    says: ['existingSecret and externalSecret are both set', 'keep one'],
  },
  'an ExternalSecret of nowhere': {
    scenario: 'high-availability',
    values: { secrets: { externalSecret: { remoteKey: '' } } },
    says: ['secrets.externalSecret: storeRef.name or remoteKey is missing', 'name the SecretStore'],
  },
  'an ingress without hosts': {
    scenario: 'demo',
    values: { ingress: { hosts: [] } },
    says: ['ingress.hosts: is empty', '[klar.example.com]'],
  },
  'a certificate for another host': {
    scenario: 'production-small',
    values: { ingress: { tls: [{ secretName: 'x', hosts: ['other.example.com'] }] } },
    says: ['ingress.tls: other.example.com is not one of ingress.hosts', 'add it there'],
  },
  'routes of no gateway': {
    scenario: 'high-availability',
    values: { gateway: { parentRefs: [] } },
    says: ['gateway: parentRefs or hostnames is empty', 'name the Gateway'],
  },
  'a sandbox that nobody reaches': {
    scenario: 'demo',
    values: { sandbox: { host: '' } },
    says: ['sandbox.host: is empty', 'sandbox.klar.localhost'],
  },
  'a sandbox on Klar’s own host': {
    scenario: 'demo',
    values: { sandbox: { host: 'klar.localhost' } },
    says: ['sandbox.host: is a host of Klar itself'],
  },
  'too little time to end': {
    scenario: 'demo',
    values: { config: { SHUTDOWN_DELAY_MS: 60_000 } },
    says: ['api.terminationGracePeriodSeconds: 60 is too short for SHUTDOWN_DELAY_MS=60000', 'set at least 85'],
  },
  'fewer replicas at most than at least': {
    scenario: 'high-availability',
    values: { api: { autoscaling: { maxReplicas: 1 } } },
    says: ['api: minReplicas is above maxReplicas', 'raise maxReplicas'],
  },
  'KEDA without Prometheus': {
    scenario: 'high-availability',
    values: { worker: { keda: { prometheusAddress: '' } } },
    says: ['worker.keda.prometheusAddress: is not set', 'http://prometheus.monitoring:9090'],
  },
  'PgBouncer without an image': {
    scenario: 'high-availability',
    values: { pgbouncer: { image: '' } },
    says: ['pgbouncer.image: is not set', 'pgbouncer on its PATH'],
  },
  'prepared statements that PgBouncer cannot do': {
    scenario: 'high-availability',
    values: { pgbouncer: { preparedStatements: false }, config: { DB_PREPARED: 'on' } },
    says: ['config.DB_PREPARED: is on, while pgbouncer.preparedStatements=false', 'leave config.DB_PREPARED out'],
  },
  'a database that the policies cut off': {
    scenario: 'production-small',
    values: { networkPolicies: { database: { to: [] } } },
    says: ['networkPolicies.database.to: is empty', 'ipBlock'],
  },
  'a mail server that the policies cut off': {
    scenario: 'production-small',
    values: { networkPolicies: { smtp: { to: [] } } },
    says: ['networkPolicies.smtp.to: is empty', 'name the mail server'],
  },
  'a collector that the policies cut off': {
    scenario: 'high-availability',
    values: { networkPolicies: { otlp: { to: [] } } },
    says: ['networkPolicies.otlp.to: is empty', 'select the collector'],
  },
  'a server for restores that the policies cut off': {
    scenario: 'production-small',
    values: { networkPolicies: { restoreVerify: { to: [] } } },
    says: [
      'networkPolicies.restoreVerify.to: is empty: restore-verify could not reach',
      '10.20.0.6/32',
      'args=[--allow-production-server]',
      'cronjobs.restore-verify.enabled=false',
    ],
  },
  'error reports that the policies cut off': {
    scenario: 'external-everything',
    values: { secrets: { overrides: { SENTRY_DSN: { secretName: 'sentry', key: 'dsn' } } } },
    says: ['networkPolicies.sentry.to: is empty, while SENTRY_DSN is given', 'name Sentry'],
  },
  'an identity of a task that works with no store': {
    scenario: 'demo',
    values: { cronjobs: { cleanup: { serviceAccount: { annotations: {} } } } },
    says: ["at '/cronjobs/cleanup'", "'serviceAccount' not allowed"],
  },
  'a store that the policies cut off': {
    scenario: 'production-small',
    values: { networkPolicies: { storage: { to: [] } } },
    says: ['networkPolicies.storage.to: is empty', 'name its address'],
  },
  'an ingress controller that the policies cut off': {
    scenario: 'production-small',
    values: { networkPolicies: { ingressController: [] } },
    says: ['networkPolicies.ingressController: is empty', 'namespace of the ingress controller'],
  },
  'every port at once': {
    scenario: 'production-small',
    values: { networkPolicies: { database: { ports: [] } } },
    says: ['networkPolicies.database.ports: is empty, which would open every port', 'list the ports'],
  },
  'a demo with neither a database nor logins': {
    scenario: 'demo',
    values: {
      postgresql: { enabled: false },
      networkPolicies: { database: { to: [{ ipBlock: { cidr: '10.0.0.1/32' } }] } },
    },
    says: ['secrets.inline.DATABASE_URL_API: is missing', 'postgresql.enabled=true'],
  },
  'backups without a place': {
    scenario: 'none',
    values: { image: { repository: 'klar' } },
    says: ['config.BACKUP_URL: is not set', 's3://bucket/prefix'],
  },
  'alerts without runbooks': {
    scenario: 'high-availability',
    values: { monitoring: { rules: { runbookBaseUrl: '' } } },
    says: ['monitoring.rules.runbookBaseUrl: is not set', 'charts/klar/runbooks'],
  },
};

describe('the chart refuses, and says how to mend it:', () => {
  for (const [what, { scenario, values, says }] of Object.entries(REFUSALS)) {
    it(what, () => {
      const { status, stderr } = template(scenario, values);
      assert.notEqual(status, 0, 'it was rendered');
      for (const part of says) assert.ok(stderr.includes(part), `does not say ${part}:\n${stderr}`);
    });
  }

  it('all problems at once', () => {
    const { stderr } = template('none');
    const places = [...stderr.matchAll(/^ {2}(\S+): /gm)].map(([, place]) => place);
    assert.deepEqual(places, [
      'image.repository',
      'config.BACKUP_URL',
      'secrets.existingSecret',
      'config.PUBLIC_BASE_URL',
      'config.SMTP_FROM',
      'networkPolicies.database.to',
      'networkPolicies.smtp.to',
      'networkPolicies.restoreVerify.to',
    ]);
    assert.equal(stderr.match(/^ {4}-> /gm)?.length, places.length);
  });
});
