import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';

const ROOT = path.resolve(import.meta.dirname, '../..');
const CHART = path.join(ROOT, 'charts/klar');

/** What of a manifest this repository's checks look at. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string>; labels?: Record<string, string> };
  [field: string]: unknown;
}

/** The values files below charts/klar/ci, one for each scenario. */
export function scenarios(): { name: string; file: string }[] {
  return readdirSync(path.join(CHART, 'ci'))
    .filter((file) => file.endsWith('-values.yaml'))
    .map((file) => ({ name: file.replace('-values.yaml', ''), file: path.join(CHART, 'ci', file) }));
}

/** What `helm install klar` would send with a values file, hooks and tests included. */
export function renderChart(valuesFile: string): string {
  const args = ['template', 'klar', CHART, '--namespace', 'klar', '--values', valuesFile, '--include-crds=false'];
  return execFileSync('helm', args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Files of k8s/ that are Kubernetes objects; the others configure programs (kind, Prometheus, Alertmanager). */
export function clusterManifests(): { name: string; file: string }[] {
  const folder = path.join(ROOT, 'k8s');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml'))
    .map((name) => ({ name, file: path.join(folder, name) }))
    .filter(({ file }) => isManifest(file))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isManifest(file: string): boolean {
  const [first] = parseManifests(readFileSync(file, 'utf8'));
  return first !== undefined && first.apiVersion !== undefined && first.metadata !== undefined;
}

/** The documents of a YAML text that are not empty. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error) throw error;
    const value = document.toJS() as Manifest | null;
    return value ? [value] : [];
  });
}

/** The chart's alerts as a rules file for a Prometheus without its operator; of the demo, where no values are given. */
export function renderRules(valuesFile?: string): string {
  const demo = 'mode=demo,image.repository=klar,postgresql.enabled=true';
  const base = 'monitoring.rules.runbookBaseUrl=https://runbooks.example.com/klar';
  const values = valuesFile ? ['--values', valuesFile] : ['--set', `${demo},${base}`];
  const args = ['template', 'klar', CHART, '--namespace', 'klar', ...values, '--set', 'monitoring.enabled=true'];
  const only = ['--show-only', 'templates/monitoring/prometheusrule.yaml'];
  const [rule] = parseManifests(execFileSync('helm', [...args, ...only], { encoding: 'utf8' }));
  return stringify(rule?.spec);
}
