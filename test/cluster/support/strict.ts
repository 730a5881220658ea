import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../support/until.ts';
import { byName } from './by-name.ts';
import { type Ended, must, run } from './command.ts';
import { defaultDeny, namespaceManifest } from './installation.ts';
import { clusterSettings } from './settings.ts';
import { imageValues, type Values } from './values.ts';

/** A namespace beside the run's own, where Klar stands as a platform team installs it: its server, its Secrets. */
export const STRICT = `${process.env.KLAR_TEST_NAMESPACE || 'klar-test'}-strict`;
export const STRICT_HOST = `${STRICT}.test`;

const SERVER = 'postgres';
const LABELS = { app: SERVER };
const password = () => randomBytes(32).toString('base64url');
const SUPERUSER_PASSWORD = password();

export const kubectlStrict = (args: readonly string[], input = ''): Promise<string> =>
  must('kubectl', ['-n', STRICT, ...args], { input });

/** The namespace, denying by default, with a PostgreSQL that holds no role and no database of Klar's. */
export async function makeStrictNamespace(): Promise<void> {
  await deleteStrictNamespace();
  await must('kubectl', ['apply', '-f', '-'], { input: namespaceManifest(STRICT) });
  await kubectlStrict(['apply', '-f', '-'], defaultDeny);
  await kubectlStrict(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: server() }));
  await kubectlStrict(['rollout', 'status', `deployment/${SERVER}`, '--timeout=120s']);
}

export const deleteStrictNamespace = (): Promise<Ended> =>
  run('kubectl', ['delete', 'namespace', STRICT, '--ignore-not-found', '--wait', '--timeout=120s']);

/** Somebody else's server: nothing of it is the chart's. */
function server(): object[] {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const ping = { exec: { command: ['pg_isready', '--host=127.0.0.1', '--username=postgres'] } };
  const spec = {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    securityContext: { runAsNonRoot: true, runAsUser: 999, fsGroup: 999, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: SERVER,
        image: clusterSettings().postgresImage,
        env: [
          { name: 'PGDATA', value: '/var/lib/postgresql/data/pgdata' },
          { name: 'POSTGRES_PASSWORD', value: SUPERUSER_PASSWORD },
        ],
        readinessProbe: { ...ping, periodSeconds: 1, timeoutSeconds: 5 },
        resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
        securityContext,
        volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
      },
    ],
    volumes: [{ name: 'data', emptyDir: {} }],
  };
  const template = { metadata: { labels: LABELS }, spec };
  const ports = [{ protocol: 'TCP', port: 5432 }];
  const metadata = { name: SERVER };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { selector: { matchLabels: LABELS }, template },
    },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: LABELS, ports } },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata,
      spec: {
        podSelector: { matchLabels: LABELS },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [{ podSelector: {} }], ports }],
      },
    },
  ];
}

/** Lines of a query's rows, asked as the superuser. */
export async function strictRows(query: string, database = 'klar'): Promise<string[]> {
  const text = await kubectlStrict(
    [
      ...['exec', '-i', `deploy/${SERVER}`, '--', 'env', `PGPASSWORD=${SUPERUSER_PASSWORD}`, 'psql', '-h', '127.0.0.1'],
      ...['-U', 'postgres', '-d', database, '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
    ],
    `${query};\n`,
  );
  return text.trim().split('\n').filter(Boolean);
}

const login = (role: string) => `postgres://klar_${role}_a:${password()}@${SERVER}:5432/klar`;

/** The superuser's login, as `migrations.superuserSecret` names it. */
export const superuserSecret = (): Record<string, string> => ({
  DATABASE_URL_SUPERUSER: `postgres://postgres:${SUPERUSER_PASSWORD}@${SERVER}:5432/klar`,
});

/** A value for each name that a strict installation of all processes and tasks needs. */
export function strictSecrets(): Record<string, string> {
  const roles = ['api', 'auth', 'ingest', 'worker', 'controller', 'migrator', 'backup', 'cleanup', 'ops'];
  return {
    ...Object.fromEntries(roles.map((role) => [`DATABASE_URL_${role.toUpperCase()}`, login(role)])),
    RESTORE_VERIFY_DATABASE_URL: `postgres://postgres:${password()}@verify.example.com:5432/postgres`,
    AUTH_JWT_KEY: generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    AUTH_SECRET: password(),
    API_SECRET_SALT: password(),
    ADMIN_TOKEN: password(),
    STRIPE_SECRET_KEY: `sk_live_${password()}`,
    STRIPE_WEBHOOK_SECRET: `whsec_${password()}`,
    SMTP_URL: `smtps://klar:${password()}@mail.example.com:465`,
  };
}

/** `kubectl create secret generic`, from files, as the chart's README says. */
export async function makeSecret(name: string, values: Record<string, string>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-secret-'));
  try {
    const files = Object.entries(values).map(async ([key, value]) => {
      await writeFile(path.join(folder, key), `${value.trimEnd()}\n`, { mode: 0o600 });
      return `--from-file=${key}=${path.join(folder, key)}`;
    });
    await kubectlStrict(['create', 'secret', 'generic', name, ...(await Promise.all(files))]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What differs from charts/klar/ci/production-small-values.yaml here: names and addresses, and smaller requests. */
export function strictValues(image: string): Values {
  const { ingressNamespace } = clusterSettings();
  const resources = { requests: { cpu: '50m' } };
  return {
    image: { ...imageValues(image), digest: '' },
    api: { resources },
    // One pod more would only take its time in each upgrade.
    webhookIngest: { replicas: 1, resources },
    worker: { resources },
    ingress: { className: '', hosts: [STRICT_HOST], tls: [] },
    migrations: { mode: 'hook' },
    networkPolicies: {
      database: { to: [{ podSelector: { matchLabels: LABELS } }] },
      ingressController: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ingressNamespace } } }],
    },
  };
}

const refusal = (route: string, wanted: number) =>
  byName(STRICT_HOST)(`${clusterSettings().ingress}${route}`, { signal: AbortSignal.timeout(10_000) }).then(
    ({ status }) => (status === wanted ? undefined : `status ${status}`),
    (error: Error) => error.message,
  );

/** Until the api answers through the ingress, and its database answers it. */
export const strictServes = (): Promise<boolean> =>
  until(
    async () => {
      const why = await refusal('/api/ready', 200);
      if (why === undefined) return true;
      throw new Error(why);
    },
    { timeoutMs: 30_000, everyMs: 200, what: `/api/ready of ${STRICT_HOST}` },
  );

/** Asks the api through the ingress, four times a second, while `action` runs; every answer that was none is told. */
export async function whileServing<T>(
  action: () => Promise<T>,
): Promise<{ result: T; asked: number; failed: string[] }> {
  const failed: string[] = [];
  let asked = 0;
  let over = false;
  const asking = (async () => {
    while (!over) {
      // Not /api/ready, by which a pod that is about to go says so while it still serves.
      const problem = await refusal('/api/me', 401);
      asked += 1;
      if (problem !== undefined) failed.push(`${new Date().toISOString()} ${problem}`);
      await pause(250);
    }
  })();
  const result = await action().finally(() => {
    over = true;
  });
  await asking;
  return { result, asked, failed };
}
