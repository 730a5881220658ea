import assert from 'node:assert/strict';
import { parse } from 'yaml';
import { loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningController, startController } from '../../services/controller/main.ts';
import { type FakeKube, startFakeKube } from '../integration/controller/fake-kube.ts';
import { createStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { alertNames, alertSource, type Rule, selectorsOf } from './rules.ts';

/** What others expose: Prometheus itself, kube-state-metrics, the kubelet. Alerts over these say so in their text. */
const OTHERS = /^(up|kube_[a-z_]+|kubelet_volume_stats_[a-z_]+|container_memory_working_set_bytes)$/;
/** Labels that scraping adds. */
const SCRAPED = ['namespace', 'pod', 'job', 'component'];
/** What a histogram or a counter is asked for by beside its own name. */
const PARTS = /_(bucket|count|sum)$/;

interface Exposed {
  /** Names from the `# TYPE` lines: also of metrics that have no series yet. */
  names: Set<string>;
  /** Labels of the series, by metric; none for a metric without series. */
  labels: Map<string, Set<string>>;
}

function read(text: string, into: Exposed): void {
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+)/.exec(line);
    if (type) into.names.add(type[1] ?? '');
    const [, name = '', inside = ''] = /^([a-zA-Z_:][\w:]*)\{([^}]*)\}/.exec(line) ?? [];
    if (name === '') continue;
    const labels = into.labels.get(name) ?? new Set();
    for (const [, label = ''] of inside.matchAll(/(\w+)="/g)) labels.add(label);
    into.labels.set(name, labels);
  }
}

describe('metrics that alerts read', () => {
  let stack: Stack;
  let kube: FakeKube | undefined;
  let controller: RunningController | undefined;
  const exposed: Exposed = { names: new Set(), labels: new Map() };

  before(async function () {
    this.timeout(120_000);
    stack = await createStack();
    const [api, ingest, worker] = await Promise.all([
      stack.start('api'),
      stack.start('webhook-ingest'),
      stack.start('worker'),
    ]);
    // Rows of what ran in other pods: their metrics are the worker's to tell.
    await stack.database.asSuperuser(
      `insert into ops.task_runs (id, task, status, by_hand, started_at, finished_at, lease_until, runner)
       values ('run_1', 'cleanup', 'succeeded', true, now(), now(), null, null),
              ('run_2', 'backup', 'running', true, now(), null, now() + interval '1 hour', 'a')`,
    );
    await stack.database.asSuperuser(
      `insert into ops.backups (id, store, started_at, snapshot_at, committed_at, bytes, schema_version, encrypted)
       values ('20260101T000000Z-aaaaaa', 'file:///x', now(), now(), now(), 1, 100, false)`,
    );
    await stack.database.asSuperuser(
      `insert into ops.restore_proofs (id, backup_id, started_at, finished_at, ok, rto_seconds, rpo_seconds)
       values ('prf_1', '20260101T000000Z-aaaaaa', now(), now(), true, 1, 1)`,
    );
    kube = await startFakeKube();
    controller = await startController({
      settings: loadSettings('controller', {
        ...stack.env,
        ADMIN_PORT: '0',
        DATABASE_URL_CONTROLLER: stack.database.url('klar_controller'),
        KLAR_SECRET_NAME: 'klar-secrets',
      }),
      log: silentLogger(),
      endpoint: { server: kube.url, namespace: 'klar', credentials: async () => ({}) },
    });
    await fetch(`${api.url}/api/ready`);
    await until(
      async () => {
        for (const { adminPort } of [api, ingest, worker, controller as RunningController])
          read(await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text(), exposed);
        return exposed.labels.has('klar_operations_task_running_seconds') && exposed.labels.has('klar_inbox_depth');
      },
      { timeoutMs: 30_000, what: "the worker's first look at tasks and inbox" },
    );
  });
  after(async () => {
    await controller?.stop();
    await kube?.close();
    await stack.close();
  });

  const ours = alertNames().flatMap((alert) =>
    selectorsOf((parse(alertSource(alert)) as Rule).expr)
      .filter(({ metric }) => !OTHERS.test(metric))
      .map((selector) => ({ alert, ...selector })),
  );

  it('are exposed by a process', () => {
    assert.ok(ours.length > 40);
    const unknown = ours.filter(
      ({ metric }) => !exposed.names.has(metric) && !exposed.names.has(metric.replace(PARTS, '')),
    );
    assert.deepEqual(
      unknown.map(({ alert, metric }) => `${alert}: ${metric}`),
      [],
    );
  });

  it('have the labels by which they are selected', () => {
    let compared = 0;
    for (const { alert, metric, labels } of ours) {
      const known = exposed.labels.get(metric);
      if (known === undefined) continue; // no series before its first event
      compared += 1;
      for (const label of labels.filter((name) => !SCRAPED.includes(name)))
        assert.ok(known.has(label), `${alert}: ${metric} has no label ${label}, but ${[...known].join(', ')}`);
    }
    assert.ok(compared > 30, `only ${compared} of ${ours.length} metrics have series`);
  });
});
