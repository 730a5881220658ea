import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import {
  allReady,
  apply,
  clusterSettings,
  createJobFrom,
  type Installation,
  installation,
  kubectl,
  kubectlJson,
  type Pod,
  podExec,
  podsOf,
  readyPod,
  tryKubectl,
} from './support/index.ts';

/** Somewhere that a pod tries to reach: an open connection, or an answer to `path`. */
interface Target {
  what: string;
  host: string;
  port: number;
  /** Asked for over HTTP; `expects` is in the answer of the one who is meant. */
  path?: string;
  expects?: string;
}

/** Who tries, and what must be out of reach. */
interface Source {
  who: string;
  pod: string;
  namespace?: string;
  /** Has no Node. */
  shell?: true;
  out: Target[];
}

/** Long enough for a connection through a busy machine, short enough to wait for dozens that never come. */
const PATIENCE_MS = 3_000;

const FOREIGN = 'foreign';

/** Runs in the pod: `open` or why not, for each target, all at the same time. */
const PROBE = `
const net = require('node:net');
const targets = JSON.parse(process.argv[1]);
const one = ({ host, port, path, expects }) => path
  ? fetch('http://' + host + ':' + port + path, { signal: AbortSignal.timeout(${PATIENCE_MS}) })
      .then((r) => r.text()).then((t) => t.includes(expects) ? 'open' : 'another answer', (e) => e.cause?.code ?? e.name)
  : new Promise((done) => {
      const socket = net.connect({ host, port, timeout: ${PATIENCE_MS} });
      const end = (said) => { socket.destroy(); done(said); };
      socket.once('connect', () => end('open')).once('timeout', () => end('timeout')).once('error', (e) => end(e.code));
    });
Promise.all(targets.map(one)).then((all) => console.log(JSON.stringify(all)));
`;

/** The same for a pod that has a shell only. */
const SHELL_PROBE = `for t in "$@"; do timeout 3 bash -c "</dev/tcp/\${t%:*}/\${t##*:}" 2>/dev/null && echo open || echo closed; done`;

async function probe(source: Source, targets: Target[]): Promise<string[]> {
  const at = source.namespace === undefined ? {} : { namespace: source.namespace };
  const command = source.shell
    ? ['bash', '-c', SHELL_PROBE, '-', ...targets.map(({ host, port }) => `${host}:${port}`)]
    : ['node', '-e', PROBE, JSON.stringify(targets)];
  const { code, stdout, stderr } = await podExec(source.pod, command, at);
  assert.equal(code, 0, `${source.who}: ${stderr}`);
  return source.shell ? stdout.trim().split('\n') : (JSON.parse(stdout) as string[]);
}

/** What could be reached, as lines that a person can read. */
async function reached(sources: Source[], want: (said: string) => boolean): Promise<string[]> {
  const found = await Promise.all(
    sources.map(async (source) => {
      const said = await probe(source, source.out);
      return source.out.flatMap(({ what, host, port }, index) =>
        want(said[index] ?? '') ? [] : [`${source.who} -> ${what} (${host}:${port}): ${said[index]}`],
      );
    }),
  );
  return found.flat();
}

/** A pod that is none of Klar's: hardened like them, with Klar's image for its Node, and free to go anywhere. */
const stranger = (name: string, image: string) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: FOREIGN } },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image,
          args: ['-e', 'setInterval(() => {}, 1e9)'],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { cpu: '1', memory: '128Mi' } },
        },
      ],
    },
  });

/** In a namespace of default-deny the stranger gets a way out, so that what stops it is Klar's own door. */
const strangerMayLeave = JSON.stringify({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'foreign-may-leave' },
  spec: { podSelector: { matchLabels: { app: FOREIGN } }, policyTypes: ['Egress'], egress: [{}] },
});

interface Policy {
  metadata: Record<string, unknown>;
}

describe('network policies', () => {
  let klar: Installation;
  let elsewhere: string;
  let sources: Source[];
  /** Policies that were taken away and must come back, whatever happens. */
  let removed: Policy[] = [];

  const putBack = async () => {
    if (removed.length === 0) return;
    const items = removed.map((policy) => {
      const { uid, resourceVersion, creationTimestamp, generation, managedFields, ...metadata } = policy.metadata;
      return { ...policy, metadata };
    });
    // As helm, which would otherwise find fields of somebody else at its next upgrade.
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), [
      ...['--server-side', '--field-manager=helm', '--force-conflicts'],
    ]);
    removed = [];
  };

  before(async () => {
    klar = await installation();
    const { image } = clusterSettings();
    elsewhere = `${klar.namespace}-foreign`;
    await kubectl(['-n', 'default', 'apply', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: elsewhere } }),
    });
    await kubectl(['-n', elsewhere, 'apply', '-f', '-'], { input: stranger(FOREIGN, image) });
    await apply(strangerMayLeave);
    await apply(stranger(FOREIGN, image));
    await tryKubectl(['delete', 'job', 'network-toolbox', '--ignore-not-found', '--wait']);
    await createJobFrom(`${klar.release}-toolbox`, 'network-toolbox');
    await Promise.all([
      kubectl(['-n', elsewhere, 'wait', '--for=condition=Ready', `pod/${FOREIGN}`, '--timeout=120s']),
      kubectl(['wait', '--for=condition=Ready', `pod/${FOREIGN}`, '--timeout=120s']),
      kubectl([
        ...['wait', '--for=condition=Ready', 'pod', '-l', 'batch.kubernetes.io/job-name=network-toolbox'],
        '--timeout=120s',
      ]),
    ]);

    const only = async (component: string) => readyPod(component);
    const [api, ingest, worker, postgresql, sandbox] = await Promise.all(
      ['api', 'webhook-ingest', 'worker', 'postgresql', 'sandbox'].map(only),
    );
    const toolbox = (await podsOf('task')).find(
      (pod) => pod.metadata.labels['batch.kubernetes.io/job-name'] === 'network-toolbox',
    );
    assert.ok(api && ingest && worker && postgresql && sandbox && toolbox);
    const ip = (pod: Pod) => pod.status.podIP ?? '';
    const { clusterIP } = (
      await kubectlJson<{ spec: { clusterIP: string } }>(['-n', 'default', 'get', 'service', 'kubernetes'])
    ).spec;
    const apiServer: Target = { what: 'the API server', host: clusterIP, port: 443 };
    const ingestPort: Target = { what: 'ingest port', host: ip(ingest), port: 3001 };
    const ingestService: Target = { what: 'ingest service', host: `${klar.release}-webhook-ingest`, port: 3001 };
    const apiPort: Target = { what: 'api port', host: ip(api), port: 3000 };
    const database: Target = { what: 'PostgreSQL', host: ip(postgresql), port: 5432 };
    const admin = (what: string, pod: Pod): Target[] => [
      { what: `admin port of ${what}`, host: ip(pod), port: 9090 },
      { what: `/metrics of ${what}`, host: ip(pod), port: 9090, path: '/metrics', expects: 'klar_db_pool_connections' },
    ];
    const admins = [...admin('api', api), ...admin('webhook-ingest', ingest), ...admin('worker', worker)];
    const name = (pod: Pod) => pod.metadata.name;
    sources = [
      { who: 'worker', pod: name(worker), out: [ingestPort, ingestService, apiPort, ...admin('api', api), apiServer] },
      { who: 'api', pod: name(api), out: [ingestPort, ...admin('worker', worker), apiServer] },
      { who: 'webhook-ingest', pod: name(ingest), out: [apiPort, ...admin('api', api), apiServer] },
      { who: 'task', pod: name(toolbox), out: [ingestPort, apiPort, ...admin('worker', worker), apiServer] },
      { who: 'sandbox', pod: name(sandbox), out: [database, apiPort, ...admin('api', api), apiServer] },
      { who: 'postgresql', pod: name(postgresql), shell: true, out: [apiPort, ingestPort, apiServer] },
      { who: 'foreign pod', pod: FOREIGN, out: [database, ...admins, ingestPort, apiPort] },
      {
        who: 'foreign pod of another namespace',
        pod: FOREIGN,
        namespace: elsewhere,
        out: [database, ...admins, ingestPort, apiPort],
      },
    ];
  });

  after(async () => {
    await putBack();
    await tryKubectl(['-n', 'default', 'delete', 'namespace', elsewhere, '--wait=false']);
    await tryKubectl(['delete', 'job/network-toolbox', `pod/${FOREIGN}`, 'networkpolicy/foreign-may-leave']);
  });

  it('let through what Klar needs, so that the probes below are known to find an open door', async () => {
    const { stdout } = await podExec(sources.find(({ who }) => who === 'worker')?.pod ?? '', [
      ...['node', '-e', PROBE],
      JSON.stringify([{ host: `${klar.release}-postgresql`, port: 5432 }]),
    ]);
    assert.deepEqual(JSON.parse(stdout), ['open']);
    for (const component of ['api', 'webhook-ingest', 'worker']) await allReady(component);
  });

  it('keep each pod from what it has no business with, and the API server from every one', async () => {
    assert.deepEqual(await reached(sources, (said) => ['timeout', 'TimeoutError', 'closed'].includes(said)), []);
  });

  it('are what does it: without them the same probes succeed, and with them again they fail', async () => {
    const { items } = await kubectlJson<{ items: Policy[] }>(['get', 'networkpolicy']);
    assert.ok(items.length > 5);
    removed = items;
    await kubectl(['delete', 'networkpolicy', '--all', '--wait']);
    await until(
      async () => {
        const shut = await reached(sources, (said) => said === 'open');
        if (shut.length === 0) return true;
        throw new Error(shut.join('\n'));
      },
      { timeoutMs: 45_000, everyMs: 500, what: 'every probe open without policies' },
    );
    await putBack();
    await until(
      async () => {
        const open = await reached(sources, (said) => said !== 'open');
        if (open.length === 0) return true;
        throw new Error(open.join('\n'));
      },
      { timeoutMs: 45_000, everyMs: 500, what: 'every probe shut with the policies back' },
    );
  });
});
