import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { readCrds } from '../../scripts/manifests/crds.ts';
import { clusterManifests, renderChart, scenarios } from '../../scripts/manifests/render.ts';
import { criticals, judge, needsCluster, schemaFindings, serverFindings, temporaryNamespace } from './judges.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Everything that can be sent to a cluster: the chart with each values file, and each file of k8s/. */
const manifests = [
  ...scenarios().map(({ name, file }) => ({ name: `chart, ${name}`, read: () => renderChart(file) })),
  ...clusterManifests().map(({ name, file }) => ({ name: `k8s/${name}`, read: () => readFileSync(file, 'utf8') })),
];

describe('manifests', function () {
  this.timeout(300_000);
  const namespace = temporaryNamespace();

  before(() => {
    needsCluster();
    for (const [file, text] of readCrds()) {
      const { code, output } = judge('kubectl', ['apply', '--server-side', '--force-conflicts', '--filename=-'], text);
      assert.equal(code, 0, `${file}: ${output}`);
      judge('kubectl', ['wait', '--for=condition=Established', '--timeout=60s', '--filename=-'], text);
    }
    const [, label] = [judge('kubectl', ['create', 'namespace', namespace]), 'pod-security.kubernetes.io'];
    judge('kubectl', ['label', 'namespace', namespace, `${label}/enforce=restricted`, `${label}/warn=restricted`]);
  });
  after(() => {
    judge('kubectl', ['delete', 'namespace', namespace, '--wait=false']);
  });

  it('are of every kind that was asked for', () => {
    assert.ok(scenarios().length >= 4, `${scenarios().length} values files`);
    assert.ok(clusterManifests().length >= 6, `${clusterManifests().length} files`);
  });

  for (const { file, name } of scenarios()) {
    it(`helm lint: ${name}`, () => {
      const { code, output } = judge('helm', ['lint', '--strict', path.join(ROOT, 'charts/klar'), '--values', file]);
      assert.equal(code, 0, output);
    });
  }

  for (const { name, read } of manifests) {
    it(`fit their schemas: ${name}`, async () => assert.deepEqual(await schemaFindings(read()), []));
    it(`have nothing that kube-score calls critical: ${name}`, () => assert.deepEqual(criticals(read()), []));
    it(`are accepted by the API server without a warning: ${name}`, () => {
      assert.deepEqual(serverFindings(read(), namespace), []);
    });
  }

  it('would be refused where a pod may be root: the place of these tests enforces it', () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'root' },
      spec: { containers: [{ name: 'a', image: 'a' }] },
    };
    assert.match(serverFindings(JSON.stringify(pod), namespace).join(), /violates PodSecurity "restricted/);
  });

  it('give a reason beside each exception from kube-score', () => {
    const folders = ['charts/klar/templates', 'k8s'];
    for (const folder of folders) {
      for (const file of readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
        if (!/\.(yaml|tpl)$/.test(file)) continue;
        const lines = readFileSync(path.join(ROOT, folder, file), 'utf8').split('\n');
        for (const [index, line] of lines.entries()) {
          if (!line.includes('kube-score/ignore')) continue;
          assert.match(lines[index - 1] ?? '', /^\s*(#|\{\{- \/\*)/, `${folder}/${file}:${index + 1} has no reason`);
        }
      }
    }
  });
});

describe('the judges of manifests', function () {
  this.timeout(120_000);
  const pod = (field: string) => `apiVersion: v1
kind: Pod
metadata: {name: judged}
spec:
  ${field}
  containers: [{name: one, image: localhost/one:1}]
`;

  it('see a misspelt field, and one in a custom resource', async () => {
    assert.deepEqual(await schemaFindings(pod('hostname: one')), []);
    assert.match((await schemaFindings(pod('hostNam: one'))).join(), /hostNam/);
    const [name = '', text = ''] = [...readCrds()].find(([file]) => file.includes('podmonitors')) ?? [];
    assert.ok(text !== '', name);
    const monitor = (field: string) => `apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: judged}
spec: {selector: {}, podMetricsEndpoints: [{${field}: admin}]}
`;
    assert.deepEqual(await schemaFindings(monitor('port')), []);
    assert.match((await schemaFindings(monitor('prot'))).join(), /prot/);
  });

  it('see a kind that nobody knows', async () => {
    assert.match((await schemaFindings(pod('hostname: one').replace('Pod', 'Pot'))).join(), /schema/);
  });

  it('see what is critical', () => assert.match(criticals(pod('hostname: one')).join(), /CRITICAL/));

  it('hear the API server', () => {
    assert.match(serverFindings(pod('hostNam: one'), 'default').join(), /unknown field "spec.hostNam"/);
  });
});
