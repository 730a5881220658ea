import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspectSettings, type ProcessName, SPEC } from '#platform/config/index.ts';
import { PROVIDERS } from '../../services/webhook-ingest/providers.ts';
import { CHART, type KubeObject, named, pods, render, run, SCENARIOS, selects } from './support/helm.ts';

const SERVERS = ['api', 'webhook-ingest', 'worker', 'controller'] as const;

type Rule = { resources: string[]; verbs: string[]; resourceNames?: string[] };
/** What the demo's two Secrets hold. */
const generated = (objects: KubeObject[]) => ({
  ...named(objects, 'Secret', 'klar-generated').data,
  ...named(objects, 'Secret', 'klar-generated-fixed').data,
});
const decode = (text = '') => Buffer.from(text, 'base64').toString();

/** What a pod's process would find in its environment, with these secrets behind its files. */
function environment(objects: KubeObject[], component: string, secrets: Record<string, string>) {
  const [container] = named(objects, 'Deployment', `klar-${component}`).spec.template.spec.containers;
  const config = named(objects, 'ConfigMap', container.envFrom[0].configMapRef.name).data;
  const own = Object.fromEntries(container.env.map(({ name, value }: Record<string, string>) => [name, value]));
  const given = held(objects, component).map((name) => [name, secrets[name]]);
  return { ...config, ...own, ...Object.fromEntries(given), KLAR_SECRETS_DIR: '/nowhere' };
}

/** Names of the secrets that a pod mounts. */
function held(objects: KubeObject[], component: string): string[] {
  const { volumes } = named(objects, 'Deployment', `klar-${component}`).spec.template.spec;
  const sources = volumes.find((volume: { name: string }) => volume.name === 'secrets').projected.sources;
  return sources
    .flatMap((source: { secret: { items: { path: string }[] } }) => source.secret.items)
    .map(({ path }: { path: string }) => path)
    .filter((path: string) => path.endsWith('/current'))
    .map((path: string) => path.split('/')[0]);
}

for (const scenario of SCENARIOS) {
  describe(`the chart with ${scenario}-values.yaml`, () => {
    const objects = render(scenario);
    const all = pods(objects);

    it('makes pods that a namespace with `restricted` takes, with a token of Kubernetes for the controller alone', () => {
      assert.ok(all.length > 5);
      for (const { owner, spec } of all) {
        assert.equal(spec.automountServiceAccountToken, spec.serviceAccountName === 'klar-controller', owner);
        assert.equal(spec.enableServiceLinks, false, owner);
        assert.equal(spec.securityContext.runAsNonRoot, true, owner);
        assert.equal(typeof spec.securityContext.runAsUser, 'number', owner);
        assert.deepEqual(spec.securityContext.seccompProfile, { type: 'RuntimeDefault' }, owner);
        for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
          const at = `${owner} ${container.name}`;
          assert.equal(container.securityContext.allowPrivilegeEscalation, false, at);
          assert.equal(container.securityContext.readOnlyRootFilesystem, true, at);
          assert.deepEqual(container.securityContext.capabilities, { drop: ['ALL'] }, at);
          for (const kind of ['requests', 'limits']) {
            for (const what of ['cpu', 'memory', 'ephemeral-storage']) {
              assert.ok(container.resources[kind][what], `${at}: no ${kind} of ${what}`);
            }
          }
        }
      }
    });

    it('makes ServiceAccounts without tokens, and gives the controller alone a role, by names and in its namespace', () => {
      for (const object of objects) {
        assert.doesNotMatch(object.kind, /ClusterRole/);
        if (object.kind === 'RoleBinding') {
          assert.deepEqual(
            (object as unknown as { subjects: { kind: string; name: string }[] }).subjects.map(({ kind, name }) => [
              kind,
              name,
            ]),
            [['ServiceAccount', 'klar-controller']],
          );
        }
        for (const rule of object.kind === 'Role' ? (object as unknown as { rules: Rule[] }).rules : []) {
          const at = `${object.metadata.name}: ${JSON.stringify(rule)}`;
          assert.doesNotMatch(JSON.stringify(rule), /"\*"/, at);
          // Whoever may change pods may change their images.
          if (rule.resources.includes('pods')) assert.deepEqual(rule.verbs, ['list'], at);
          if (rule.resources.some((one) => ['configmaps', 'secrets'].includes(one)))
            assert.ok(rule.resourceNames?.length, at);
        }
        if (object.kind === 'ServiceAccount') assert.equal(object.automountServiceAccountToken, false);
      }
      const accounts = objects.filter(({ kind }) => kind === 'ServiceAccount').map(({ metadata }) => metadata.name);
      for (const { owner, spec } of all) {
        if (spec.serviceAccountName) assert.ok(accounts.includes(spec.serviceAccountName), owner);
      }
    });

    it('has a policy of its own, in and out, for every pod, beside one that denies everything', () => {
      const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
      for (const { owner, labels } of all) {
        const mine = policies.filter(({ spec }) => selects(spec.podSelector, labels));
        for (const { spec } of mine) assert.deepEqual(spec.policyTypes, ['Ingress', 'Egress'], owner);
        const names = mine.map(({ metadata }) => metadata.name);
        assert.ok(names.includes('klar-default-deny') && names.length === 2, `${owner}: ${names}`);
      }
      for (const { metadata, spec } of policies) {
        // Where the pods of CloudNativePG go is their operator's business; without a word a namespace may deny it all.
        const out = metadata.name === 'klar-pg' ? [] : (spec.egress ?? []);
        for (const rule of [...(spec.ingress ?? []), ...out]) {
          assert.ok((rule.to ?? rule.from)?.length > 0, `${metadata.name} names no peer`);
          assert.ok(rule.ports?.length > 0, `${metadata.name} names no port`);
        }
      }
      const deny = named(objects, 'NetworkPolicy', 'klar-default-deny').spec;
      assert.deepEqual([deny.ingress, deny.egress], [undefined, undefined]);
    });

    it('lets only Prometheus and the controller at the admin port, and nothing at all at the worker but that', () => {
      for (const { metadata, spec } of objects.filter(({ kind }) => kind === 'NetworkPolicy')) {
        for (const { from, ports } of spec.ingress ?? []) {
          if (!ports.some(({ port }: { port: number }) => port === 9090)) continue;
          assert.equal(ports.length, 1, metadata.name);
          const controller = { 'app.kubernetes.io/component': 'controller' };
          const own = from.filter(
            ({ podSelector, namespaceSelector }: KubeObject['spec']) => podSelector && !namespaceSelector,
          );
          for (const { podSelector } of own) assert.partialDeepStrictEqual(podSelector.matchLabels, controller);
          assert.doesNotMatch(JSON.stringify(from), /ingress/);
        }
      }
      const worker = named(objects, 'NetworkPolicy', 'klar-worker').spec;
      assert.deepEqual(
        worker.ingress.flatMap(({ ports }: KubeObject['spec']) => ports),
        Array(2).fill({ protocol: 'TCP', port: 9090 }),
      );
    });

    it('lets the ingress controller at the public ports, also where others make the routes', () => {
      for (const [component, port] of [
        ['api', 3000],
        ['webhook-ingest', 3001],
      ] as const) {
        const { ingress } = named(objects, 'NetworkPolicy', `klar-${component}`).spec;
        const rule = ingress.find(({ ports }: KubeObject['spec']) =>
          ports.some((one: { port: number }) => one.port === port),
        );
        const outside = rule.from.filter((peer: KubeObject['spec']) => peer.namespaceSelector || peer.ipBlock);
        assert.equal(outside.length, 1, JSON.stringify(rule));
      }
    });

    it('never blocks a drain, and makes no disruption budget for a single pod', () => {
      for (const { metadata, spec } of objects.filter(({ kind }) => kind === 'PodDisruptionBudget')) {
        assert.deepEqual([spec.maxUnavailable, spec.minAvailable], [1, undefined], metadata.name);
        assert.equal(spec.unhealthyPodEvictionPolicy, 'AlwaysAllow');
        const { replicas } = named(objects, 'Deployment', metadata.name).spec;
        const scaled = objects.find(
          ({ kind, spec: s }) => /Scaled|Autoscaler/.test(kind) && s.scaleTargetRef.name === metadata.name,
        );
        const least = replicas ?? scaled?.spec.minReplicas ?? scaled?.spec.minReplicaCount;
        assert.ok(least > 1, `${metadata.name} has ${least}`);
      }
      const budgets = objects.filter(({ kind }) => kind === 'PodDisruptionBudget').map(({ metadata }) => metadata.name);
      for (const { metadata, spec } of objects.filter(({ kind }) => kind === 'Deployment')) {
        if ((spec.replicas ?? 2) > 1) assert.ok(budgets.includes(metadata.name), metadata.name);
      }
    });

    it('leaves the number of pods to the autoscaler where there is one', () => {
      for (const { kind, spec } of objects) {
        if (!/Autoscaler|ScaledObject/.test(kind)) continue;
        assert.equal(named(objects, 'Deployment', spec.scaleTargetRef.name).spec.replicas, undefined);
      }
    });

    it('probes the admin port: a long start, a liveness that never asks the database', () => {
      for (const component of SERVERS) {
        const [container] = named(objects, 'Deployment', `klar-${component}`).spec.template.spec.containers;
        const { startupProbe, readinessProbe, livenessProbe } = container;
        assert.equal(startupProbe.httpGet.path, '/livez');
        assert.ok(startupProbe.failureThreshold * startupProbe.periodSeconds >= 120);
        assert.equal(livenessProbe.httpGet.path, '/livez');
        assert.equal(readinessProbe.httpGet.path, '/readyz');
        for (const probe of [startupProbe, readinessProbe, livenessProbe]) assert.equal(probe.httpGet.port, 'admin');
        assert.equal(container.ports.find(({ name }: { name: string }) => name === 'admin').containerPort, 9090);
      }
      for (const { metadata, spec } of objects.filter(({ kind }) => kind === 'Service')) {
        for (const { port, targetPort } of spec.ports) {
          assert.ok(port !== 9090 && targetPort !== 'admin', `${metadata.name} leads to the admin port`);
        }
      }
    });

    it('gives a pod the time to end that its process takes', () => {
      for (const component of SERVERS) {
        const { terminationGracePeriodSeconds } = named(objects, 'Deployment', `klar-${component}`).spec.template.spec;
        const delay = Number(named(objects, 'ConfigMap', `klar-${component}`).data?.SHUTDOWN_DELAY_MS);
        assert.equal(delay, 5_000);
        assert.ok(terminationGracePeriodSeconds >= delay / 1_000 + 25);
      }
    });

    it('gives each process its own secrets alone', () => {
      for (const component of SERVERS) {
        const allowed = Object.entries(SPEC).filter(
          ([, row]) => row.secret && (!row.processes || (row.processes as readonly string[]).includes(component)),
        );
        const names = allowed.map(([name]) => name).filter((name) => name !== 'DATABASE_URL');
        assert.deepEqual(held(objects, component).sort(), names.sort(), component);
      }
      assert.ok(
        !held(objects, 'webhook-ingest').some((name) => /^(STRIPE_SECRET_KEY|AWS_|DATABASE_URL_API)/.test(name)),
      );
    });

    it('gives each process only settings that it reads, as the process reads them', () => {
      for (const component of SERVERS) {
        for (const [name, text] of Object.entries(named(objects, 'ConfigMap', `klar-${component}`).data ?? {})) {
          const row = SPEC[name as keyof typeof SPEC];
          assert.ok(!row.secret && (!row.processes || (row.processes as readonly string[]).includes(component)), name);
          assert.ok(row.parse(text).ok, `${name}=${text}`);
        }
      }
    });

    it('sends what providers post to webhook-ingest, and everything else to the api', () => {
      const hosts = objects.filter(({ kind }) => kind === 'Ingress').flatMap(({ spec }) => spec.rules);
      for (const { host, http } of hosts) {
        if (host.startsWith('sandbox.')) continue;
        const paths = http.paths.map(({ path, backend }: KubeObject['spec']) => [path, backend.service.name]);
        assert.deepEqual(paths.at(-1), ['/', 'klar-api']);
        const ingest = paths
          .filter(([, name]: string[]) => name === 'klar-webhook-ingest')
          .map(([path]: string[]) => path);
        for (const { path } of PROVIDERS) {
          assert.ok(
            ingest.some((prefix: string) => path === prefix || path.startsWith(`${prefix}/`)),
            path,
          );
        }
      }
      for (const { spec } of objects.filter(({ kind, metadata }) => kind === 'HTTPRoute' && metadata.name === 'klar')) {
        assert.deepEqual(spec.rules.at(-1).backendRefs, [{ name: 'klar-api', port: 3000 }]);
        assert.equal(spec.rules[0].backendRefs[0].name, 'klar-webhook-ingest');
      }
    });
  });
}

describe('the chart', () => {
  it('makes demo secrets that every process takes', () => {
    const objects = render('demo');
    const data = generated(objects);
    const secrets = Object.fromEntries(Object.entries(data).map(([name, value]) => [name, decode(value)]));
    for (const component of SERVERS) {
      const { problems } = inspectSettings(component as ProcessName, environment(objects, component, secrets));
      assert.deepEqual(problems, [], component);
    }
  });

  it('makes settings that every process takes under the rules of production', () => {
    const secrets = {
      ...Object.fromEntries(
        ['API', 'AUTH', 'INGEST', 'WORKER', 'CONTROLLER'].map((role) => [
          `DATABASE_URL_${role}`,
          `postgres://klar_${role.toLowerCase()}_a:Zq8vR2mWx9@db.internal:5432/klar`,
        ]),
      ),
      AUTH_JWT_KEY: decode(named(render('demo'), 'Secret', 'klar-generated').data?.AUTH_JWT_KEY),
      AUTH_SECRET: 'Wm3xQv8Lr5Tz2Kp9Nd6Hc1Jb4Fg7Sy0Aeu',
      API_SECRET_SALT: 'Rt5yUi8Op2As4Df7Gh1Jk6Lz9Xc3Vb0NmQw',
      ADMIN_TOKEN: 'Pl0kMj9nBh8vGy7cFt6xDr5zSe4aWq3lIuo',
      SMTP_URL: 'smtp://mail.internal:587',
      STRIPE_SECRET_KEY: 'sk_live_Kd83mVq0Zx7LpW2nRt5y',
      STRIPE_WEBHOOK_SECRET: 'whsec_Hs62bNc9Qe4JuM1vXa8k',
    };
    for (const scenario of ['production-small', 'high-availability']) {
      const objects = render(scenario);
      for (const component of SERVERS) {
        const { problems } = inspectSettings(component as ProcessName, environment(objects, component, secrets));
        assert.deepEqual(problems, [], `${scenario} ${component}`);
      }
    }
  });

  it('rolls the pods whose settings changed, and no others', () => {
    const checksums = (values: object) =>
      SERVERS.map(
        (name) => named(render('demo', values), 'Deployment', `klar-${name}`).spec.template.metadata.annotations,
      );
    const [before, after] = [checksums({}), checksums({ config: { RATE_LIMIT_AUTH: 61 } })];
    assert.notDeepEqual(after[0], before[0]);
    assert.deepEqual(after.slice(1), before.slice(1));
  });

  it('writes numbers, lists and objects as the processes read them', () => {
    const config = {
      RATE_LIMIT_READ: 10_000_000,
      ALLOW_NULL_ORIGIN: true,
      CORS_ALLOW_ORIGINS: ['https://a.example.com', 'https://b.example.com'],
      AUTH_ISSUERS: [{ issuer: 'https://id.example.com', audience: ['a', 'b'] }],
    };
    const { data } = named(render('demo', { config }), 'ConfigMap', 'klar-api');
    assert.equal(data?.RATE_LIMIT_READ, '10000000');
    assert.equal(data?.ALLOW_NULL_ORIGIN, 'true');
    assert.equal(data?.CORS_ALLOW_ORIGINS, 'https://a.example.com,https://b.example.com');
    assert.deepEqual(JSON.parse(data?.AUTH_ISSUERS ?? ''), config.AUTH_ISSUERS);
  });

  it('makes another migration Job for another image or another setting, and the same for the same', () => {
    const job = (values: object) =>
      render('demo', values).find(({ kind, metadata }) => kind === 'Job' && metadata.name.startsWith('klar-migrate'))
        ?.metadata;
    assert.equal(job({})?.name, job({})?.name);
    assert.equal(job({})?.annotations?.['helm.sh/hook'], undefined);
    assert.notEqual(job({ image: { tag: 'other' } })?.name, job({})?.name);
    assert.notEqual(job({ migrations: { activeDeadlineSeconds: 60 } })?.name, job({})?.name);
    const hook = named(render('production-small'), 'Job', 'klar-migrate');
    assert.equal(hook.metadata.annotations?.['helm.sh/hook'], 'pre-install,pre-upgrade');
    // helm alone says that it failed, not why.
    assert.equal(hook.metadata.annotations?.['helm.sh/hook-output-log-policy'], 'hook-failed');
    for (const kind of ['ServiceAccount', 'NetworkPolicy']) {
      // In a namespace that denies by default the Job would reach nothing before the release is there.
      const before = named(render('production-small'), kind, 'klar-migrate').metadata.annotations;
      assert.equal(before?.['helm.sh/hook'], 'pre-install,pre-upgrade');
      assert.equal(before?.['helm.sh/hook-weight'], '-10');
    }
    assert.equal(
      render('external-everything').some(({ metadata }) => /migrate/.test(metadata.name)),
      false,
    );
  });

  it('waits for the database before roles and schema, and tries wrong settings of a hook no second time', () => {
    const spec = (scenario: string) =>
      render(scenario).find(({ kind, metadata }) => kind === 'Job' && metadata.name.startsWith('klar-migrate'))?.spec;
    const of = (scenario: string) =>
      spec(scenario).template.spec.initContainers.map((each: { name: string; args: string[] }) =>
        each.name === 'wait-for-database' ? `${each.name} ${each.args.at(-2)}` : each.name,
      );
    assert.deepEqual(of('production-small'), ['wait-for-database hook', 'roles']);
    assert.deepEqual(of('demo'), ['wait-for-database job', 'roles']);
    assert.deepEqual(spec('production-small').podFailurePolicy.rules.at(-1), {
      action: 'FailJob',
      onExitCodes: { operator: 'In', values: [64, 69, 78] },
    });
    // A Job beside the pods may begin before its Secret is there.
    assert.equal(spec('demo').podFailurePolicy, undefined);
    // No Secret is mounted here.
    const [wait] = spec('production-small').template.spec.initContainers;
    const { status, stdout } = run(process.execPath, wait.args);
    assert.equal(status, 78, stdout);
    assert.match(stdout, /^missing: .*add the key DATABASE_URL_MIGRATOR to the Secret/);
  });

  it('gives up on a database that does not answer while the log of the hook is still there', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'klar-wait-'));
    try {
      mkdirSync(path.join(folder, 'DATABASE_DIRECT_URL'));
      writeFileSync(path.join(folder, 'DATABASE_DIRECT_URL/current'), 'postgres://a:b@127.0.0.1:1/klar');
      const script = readFileSync(path.join(CHART, 'files/wait-for-database.js'), 'utf8');
      const args = ['--input-type=module', '--eval', script.replace('/etc/klar/secrets', folder), 'hook', '1'];
      const { status, stdout } = run(process.execPath, args);
      assert.equal(status, 69);
      assert.match(stdout, /^waiting for 127\.0\.0\.1:1: ECONNREFUSED\ngave up: make the database reachable/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('gives a demo without an ingress the addresses that a port-forward has', () => {
    const objects = render('demo', { ingress: { enabled: false, hosts: [] }, sandbox: { host: '' } });
    const { args } = named(objects, 'Deployment', 'klar-sandbox').spec.template.spec.containers[0];
    assert.ok(args.includes('--public-url=http://localhost:3900'), args);
    // The default of the setting is http://localhost:3000.
    assert.equal(named(objects, 'ConfigMap', 'klar-api').data?.PUBLIC_BASE_URL, undefined);
  });

  it('lets nobody but its own pods and the operator at the PostgreSQL of CloudNativePG', () => {
    const objects = render('high-availability');
    const { podSelector, ingress } = named(objects, 'NetworkPolicy', 'klar-pg').spec;
    assert.deepEqual(podSelector.matchLabels, {
      'cnpg.io/cluster': named(objects, 'Cluster', 'klar-pg').metadata.name,
    });
    const clients = ingress[0].from.map(
      (peer: KubeObject['spec']) => peer.podSelector.matchLabels['app.kubernetes.io/component'],
    );
    assert.deepEqual(clients, ['migrate', 'task', 'controller', 'pgbouncer']);
    assert.doesNotMatch(JSON.stringify(ingress.slice(1, 2)), /app.kubernetes.io/);
    // Also in a namespace that denies by default they reach each other and the API server.
    assert.deepEqual(named(objects, 'NetworkPolicy', 'klar-pg').spec.egress, [{}]);
  });

  it('lets webhook-ingest outside to Sentry where that is named, and to no other provider', () => {
    const out = (values: object) =>
      named(render('production-small', values), 'NetworkPolicy', 'klar-webhook-ingest').spec.egress;
    const sentry = { to: [{ ipBlock: { cidr: '203.0.113.9/32' } }], ports: [443] };
    const [without, given] = [out({}), out({ networkPolicies: { sentry } })];
    assert.equal(without.length, 2);
    assert.deepEqual(given.slice(0, 2), without);
    assert.deepEqual(given.slice(2), [{ to: sentry.to, ports: [{ protocol: 'TCP', port: 443 }] }]);
    const objects = render('production-small', { networkPolicies: { sentry } });
    for (const component of ['api', 'worker', 'task']) {
      assert.match(JSON.stringify(named(objects, 'NetworkPolicy', `klar-${component}`).spec.egress), /203\.0\.113\.9/);
    }
  });

  it('says DB_PREPARED=off for a PgBouncer that cannot do prepared statements', () => {
    const pgbouncer = { enabled: true, image: 'pgbouncer', preparedStatements: false };
    const objects = render('demo', { pgbouncer });
    for (const name of SERVERS) assert.equal(named(objects, 'ConfigMap', `klar-${name}`).data?.DB_PREPARED, 'off');
    const urls: Record<string, string> = generated(objects);
    for (const role of ['API', 'AUTH', 'INGEST', 'WORKER']) {
      assert.match(decode(urls[`DATABASE_URL_${role}`]), /@klar-pgbouncer:6432\/klar$/);
    }
    for (const role of ['MIGRATOR', 'BACKUP', 'OPS', 'CLEANUP']) {
      assert.match(decode(urls[`DATABASE_URL_${role}`]), /@klar-postgresql:5432\/klar$/);
    }
    assert.match(
      named(objects, 'ConfigMap', 'klar-pgbouncer').data?.['pgbouncer.ini'] ?? '',
      /pool_mode = transaction/,
    );
  });
});
