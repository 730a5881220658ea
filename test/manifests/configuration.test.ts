import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Ajv } from 'ajv';
import { parse, stringify } from 'yaml';
import { goModule } from '../../scripts/manifests/modules.ts';
import { parseManifests, renderRules } from '../../scripts/manifests/render.ts';
import { judge } from './judges.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
const load = (file: string) => parse(read(file));

describe('configuration of what stands around Klar', function () {
  this.timeout(120_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-configuration-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('Prometheus takes its own, with the rules of the chart', async () => {
    // Debian's promtool knows no Kubernetes, so its discovery is put out of its sight here; the rest is judged as it is.
    const text = read('k8s/prometheus/prometheus.yaml').replaceAll(
      /kubernetes_sd_configs: \[\{.*\}\]/g,
      'file_sd_configs: [{files: [targets.json]}]',
    );
    assert.ok(!text.includes('kubernetes_sd'), 'a discovery is written in another way');
    await mkdir(path.join(folder, 'rules'));
    await writeFile(path.join(folder, 'rules/klar.yaml'), renderRules());
    for (const file of ['token', 'ca.crt', 'targets.json']) await writeFile(path.join(folder, file), '[]');
    const here = text
      .replaceAll('/var/run/secrets/kubernetes.io/serviceaccount/', '')
      .replace('/etc/prometheus/rules/', 'rules/');
    await writeFile(path.join(folder, 'prometheus.yaml'), here);
    const { code, output } = judge('promtool', ['check', 'config', path.join(folder, 'prometheus.yaml')]);
    assert.equal(code, 0, output);
    assert.match(output, /SUCCESS: \d\d+ rules found/);
  });

  it('Prometheus asks its discovery for kinds and namespaces only', () => {
    const { scrape_configs, alerting } = load('k8s/prometheus/prometheus.yaml');
    for (const { kubernetes_sd_configs = [] } of [...scrape_configs, ...alerting.alertmanagers]) {
      for (const { role, ...rest } of kubernetes_sd_configs) {
        assert.match(role, /^(pod|node|endpoints)$/);
        assert.deepEqual(Object.keys(rest.namespaces ?? {}), rest.namespaces ? ['names'] : []);
      }
    }
  });

  it('Alertmanager takes its own, and sends pages, tickets and the watchdog where they belong', () => {
    const file = path.join(ROOT, 'k8s/alertmanager/alertmanager.yaml');
    const { code, output } = judge('amtool', ['check-config', file]);
    assert.equal(code, 0, output);
    const receiver = (...labels: string[]) =>
      judge('amtool', ['config', 'routes', 'test', `--config.file=${file}`, ...labels]).output.trim();
    assert.equal(receiver('alertname=KlarPaymentIncident', 'severity=page'), 'on-call');
    assert.equal(receiver('alertname=KlarBackupShrank', 'severity=ticket'), 'tickets');
    assert.equal(receiver('alertname=KlarWatchdog', 'severity=none'), 'dead-mans-switch');
  });

  it('Alertmanager silences only alerts that exist', () => {
    const text = read('k8s/alertmanager/alertmanager.yaml');
    const named = [...text.matchAll(/Klar\(([\w|]+)\)/g)].flatMap(([, names = '']) => names.split('|'));
    const single = [...text.matchAll(/alertname = Klar(\w+)/g)].map(([, name = '']) => name);
    assert.ok(named.length > 5);
    for (const name of [...named, ...single])
      assert.ok(existsSync(path.join(ROOT, `charts/klar/alerts/Klar${name}.yaml`)), name);
  });

  it('GitHub takes the workflows', () => {
    const files = readdirSync(path.join(ROOT, '.github/workflows')).map((file) =>
      path.join(ROOT, '.github/workflows', file),
    );
    const { code, output } = judge('actionlint', files);
    assert.equal(code, 0, output);
    for (const file of files) {
      for (const [, reference = ''] of readFileSync(file, 'utf8').matchAll(/uses: *(\S+)/g)) {
        assert.match(reference, /^(\.\/.*|[\w./-]+@[0-9a-f]{40})$/, `${file}: ${reference} is not pinned by digest`);
      }
    }
  });

  it('skaffold takes its own', () => {
    const document = load('skaffold.yaml');
    const version = document.apiVersion.replace('skaffold/', '');
    const module = goModule('github.com/GoogleContainerTools/skaffold/v2', 'v2.16.1');
    const schema = JSON.parse(readFileSync(path.join(module, `docs-v2/content/en/schemas/${version}.json`), 'utf8'));
    const validate = new Ajv({ strict: false, validateFormats: false }).compile<unknown>(schema);
    const findings = () => JSON.stringify(validate.errors);
    assert.equal(validate(document), true, findings());
    assert.equal(validate({ ...document, biuld: {} }), false, 'a misspelt field must be seen');
    for (const { deploy } of [document, ...document.profiles]) {
      for (const release of deploy?.helm?.releases ?? []) {
        for (const file of [release.chartPath, ...(release.valuesFiles ?? [])])
          assert.ok(existsSync(path.join(ROOT, file)), file);
      }
    }
    assert.deepEqual(document.profiles.map(({ name }: { name: string }) => name).sort(), ['dev', 'e2e']);
  });

  it('skaffold installs what the chart takes, and forwards ports that are there', () => {
    for (const profile of load('skaffold.yaml').profiles) {
      const [release] = profile.deploy.helm.releases;
      const set = Object.entries({ ...release.setValueTemplates, ...release.setValues }).flatMap(([name, value]) => [
        '--set',
        `${name}=${String(value).replace(/\{\{.*\}\}/, 'one')}`,
      ]);
      const files = release.valuesFiles.flatMap((file: string) => ['--values', path.join(ROOT, file)]);
      const { code, output } = judge('helm', [
        'template',
        release.name,
        path.join(ROOT, release.chartPath),
        ...files,
        ...set,
      ]);
      assert.equal(code, 0, output);
      const services = parseManifests(output).filter(({ kind }) => kind === 'Service');
      for (const { resourceName, port } of profile.portForward) {
        const service = services.find(({ metadata }) => metadata.name === resourceName);
        assert.match(JSON.stringify(service?.spec ?? {}), new RegExp(`"port":${port}\\b`), resourceName);
      }
    }
  });

  it('kind is told nothing it does not know', () => {
    const { kind, apiVersion, nodes, ...rest } = load('k8s/kind/cluster.yaml');
    assert.equal(`${apiVersion} ${kind}`, 'kind.x-k8s.io/v1alpha4 Cluster');
    assert.deepEqual(Object.keys(rest).sort(), ['name', 'networking']);
    for (const node of nodes) {
      for (const key of Object.keys(node)) assert.match(key, /^(role|labels|extraPortMappings)$/);
    }
    assert.ok(nodes.filter(({ role }: { role: string }) => role === 'worker').length >= 2, stringify(nodes));
  });
});
