/** A rolling restart of the api on a real cluster, beside a plain web server's on the same one: what clients notice. */
import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import {
  apply,
  clientOf,
  clusterSettings,
  HOSTS,
  ingressTarget,
  installation,
  kubectl,
  kubectlJson,
} from '../cluster/support/index.ts';
import { type LoadRequest, type LoadTarget, startLoad, summarize } from '../support/load.ts';
import { until } from '../support/until.ts';
import { median } from './proc.ts';
import type { Goal, Report } from './report.ts';

const PER_SECOND = 100;
const PLAIN = 'plain-web-server';

type Measured = {
  name: string;
  rest: ReturnType<typeof summarize>;
  rollout: ReturnType<typeof summarize>;
  seconds: number;
};

/** Goals: p99 during a rollout at most twice that at rest, nothing fails, a pod is ready 3 s after its start. */
export async function benchRollout(report: Report, short: boolean): Promise<Goal[]> {
  const klar = await installation();
  const restSeconds = short ? 15 : 60;
  const rounds = short ? 1 : 3;
  await startPlain();
  const school = await openSchool();
  const starts: number[] = [];
  const all: Measured[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      all.push(
        await measure(
          'plain',
          ingressTarget(`plain.${HOSTS.api}`),
          () => ({ method: 'GET', path: '/', headers: {} }),
          PLAIN,
        ),
      );
      const watch = watchStarts('api');
      all.push(await measure('klar api', ingressTarget(HOSTS.api), school, `${klar.release}-api`));
      starts.push(...watch.stop());
    }
  } finally {
    await kubectl(['delete', 'deployment,service,ingress,configmap,networkpolicy', '-l', `app=${PLAIN}`]);
  }

  async function measure(
    name: string,
    target: LoadTarget,
    next: () => LoadRequest,
    deployment: string,
  ): Promise<Measured> {
    const load = startLoad(target, PER_SECOND, next);
    try {
      await pause(restSeconds * 1_000);
      const began = load.now();
      await kubectl(['rollout', 'restart', `deployment/${deployment}`]);
      await kubectl(['rollout', 'status', `deployment/${deployment}`, '--timeout=300s']);
      // The old pods go only now: they serve on until their endpoints are gone.
      await until(async () => (await podCount(deployment)) === 2, {
        timeoutMs: 120_000,
        everyMs: 500,
        what: 'old pods gone',
      });
      const ended = load.now();
      await load.stop(0);
      const { samples } = load.report;
      // The first second warms connections and caches.
      return {
        name,
        rest: summarize(samples, 1_000, began),
        rollout: summarize(samples, began, ended),
        seconds: (ended - began) / 1_000,
      };
    } catch (error) {
      await load.stop(0);
      throw error;
    }
  }

  const ms = (value: number) => `${value.toFixed(0)} ms`;
  report.line(`${PER_SECOND} reads a second through the ingress, 2 replicas, ${rounds} rolling restarts each`);
  for (const { name, rest, rollout, seconds } of all) {
    report.line(
      `${name.padEnd(9)} at rest p50 ${ms(rest.p50)}, p99 ${ms(rest.p99)}, slowest ${ms(rest.max)}, longest gap ${ms(rest.gapMs)}; ` +
        `during ${seconds.toFixed(0)} s of rollout p50 ${ms(rollout.p50)}, p99 ${ms(rollout.p99)}, slowest ${ms(rollout.max)}, ` +
        `longest gap ${ms(rollout.gapMs)}, failed ${rollout.failed}, 503 ${rollout.refused}`,
    );
  }
  report.line(`container start to ready: ${starts.map((value) => `${value.toFixed(1)} s`).join(', ')}`);
  report.line(`image: ${await imageSize()}`);
  const ratio = (name: string) =>
    median(all.filter((one) => one.name === name).map((one) => one.rollout.p99 / one.rest.p99));
  const failed = all.filter((one) => one.name !== 'plain').reduce((sum, one) => sum + one.rollout.failed, 0);
  return [
    {
      name: 'p99 of requests during a rollout at most twice that at rest',
      met: ratio('klar api') <= 2,
      shown: `${ratio('klar api').toFixed(1)}x (plain web server ${ratio('plain').toFixed(1)}x)`,
    },
    { name: 'no request fails during a rollout', met: failed === 0, shown: `${failed} failed`, endCheck: true },
    { name: 'pod start to ready within 3 s', met: median(starts) <= 3, shown: `median ${median(starts).toFixed(1)} s` },
  ];
}

async function podCount(deployment: string): Promise<number> {
  const found = await kubectlJson<{ spec: { selector: { matchLabels: Record<string, string> } } }>([
    'get',
    'deployment',
    deployment,
  ]);
  const selector = Object.entries(found.spec.selector.matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  const { items } = await kubectlJson<{ items: unknown[] }>(['get', 'pods', '-l', selector]);
  return items.length;
}

/** A school with courses, and the request that reads them. */
async function openSchool(): Promise<() => LoadRequest> {
  const anybody = clientOf(ingressTarget(HOSTS.api));
  const teacher = await anybody.register('teacher');
  const slug = `bench-${teacher.id.slice(-10).toLowerCase()}`;
  await teacher.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Bench', slug } });
  const school = teacher.client.with({ tenant: slug });
  for (let n = 0; n < 5; n++)
    await school.expect(201, 'POST', '/api/courses', {
      body: { title: `Course ${n}`, price: { amount: 100, currency: 'USD' }, status: 'published' },
    });
  // A key, as an access token would end before the bench.
  const { key } = await school.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'bench' } });
  return () => ({ method: 'GET', path: '/api/courses?limit=5', headers: { authorization: `Bearer ${key}` } });
}

/** Seconds from the start of each new container of a component until it is ready, as the API server tells it. */
function watchStarts(component: string): { stop(): number[] } {
  const { namespace } = clusterSettings();
  const columns =
    'N:.metadata.name,S:.status.containerStatuses[0].state.running.startedAt,R:.status.containerStatuses[0].ready';
  const child = spawn('kubectl', [
    ...['-n', namespace, 'get', 'pods', '-l', `app.kubernetes.io/component=${component}`],
    ...['--watch', '--no-headers', '-o', `custom-columns=${columns}`],
  ]);
  const seen = new Map<string, { started?: number; ready?: number; known: boolean }>();
  const began = performance.now();
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    for (const line of chunk.split('\n').filter(Boolean)) {
      const [name = '', started, ready] = line.split(/\s+/);
      const now = performance.now();
      // What the watch begins with ran before.
      const pod = seen.get(name) ?? { known: now - began < 3_000 };
      if (started !== '<none>') pod.started ??= now;
      if (ready === 'true') pod.ready ??= now;
      seen.set(name, pod);
    }
  });
  return {
    stop() {
      child.kill();
      return [...seen.values()].flatMap(({ known, started, ready }) =>
        known || started === undefined || ready === undefined ? [] : [(ready - started) / 1_000],
      );
    },
  };
}

/** What a node stores of the image; layers that images share are counted in each. */
async function imageSize(): Promise<string> {
  const { image } = clusterSettings();
  const { items } = await kubectlJson<{ items: { status: { images: { names: string[]; sizeBytes: number }[] } }[] }>([
    ...['-n', 'default', 'get', 'nodes'],
  ]);
  const found = items
    .flatMap((node) => node.status.images)
    .find((one) => one.names.some((name) => name.endsWith(image)));
  return found
    ? `${Math.round(found.sizeBytes / 1024 ** 2)} MiB as the node stores it`
    : 'not in the list of the nodes';
}

/** Two replicas of busybox's httpd, with a probe and nothing else. */
async function startPlain(): Promise<void> {
  const { busyboxImage, ingressNamespace } = clusterSettings();
  const metadata = { name: PLAIN, labels: { app: PLAIN } };
  const objects = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'index.html': `${'x'.repeat(1_500)}\n` } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: PLAIN } },
        template: {
          metadata: { labels: { app: PLAIN } },
          spec: {
            automountServiceAccountToken: false,
            securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
            containers: [
              {
                name: 'httpd',
                image: busyboxImage,
                command: ['busybox', 'httpd', '-f', '-p', '8080', '-h', '/www'],
                ports: [{ name: 'http', containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
                resources: { requests: { cpu: '10m', memory: '16Mi' } },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'] },
                },
                volumeMounts: [{ name: 'www', mountPath: '/www' }],
              },
            ],
            volumes: [{ name: 'www', configMap: { name: PLAIN } }],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: PLAIN }, ports: [{ port: 80, targetPort: 'http' }] },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata,
      spec: {
        rules: [
          {
            host: `plain.${HOSTS.api}`,
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: PLAIN, port: { number: 80 } } } }],
            },
          },
        ],
      },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata,
      spec: {
        podSelector: { matchLabels: { app: PLAIN } },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          { from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ingressNamespace } } }] },
        ],
      },
    },
  ];
  await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  await kubectl(['rollout', 'status', `deployment/${PLAIN}`, '--timeout=180s']);
  const target = ingressTarget(`plain.${HOSTS.api}`);
  const { byName } = await import('../cluster/support/by-name.ts');
  await until(
    async () => (await byName(target.name ?? '')(`http://${target.host}:${target.port}/`, {})).status === 200,
    {
      timeoutMs: 60_000,
      everyMs: 300,
      what: 'the plain web server through the ingress',
    },
  );
}
