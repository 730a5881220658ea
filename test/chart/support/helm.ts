import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

export const ROOT = path.join(import.meta.dirname, '../../..');
export const CHART = path.join(ROOT, 'charts/klar');

/** The parts of any Kubernetes object that the tests look at. */
export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: the shapes of twenty kinds; a wrong path fails the test that takes it
  spec?: any;
  data?: Record<string, string>;
  automountServiceAccountToken?: boolean;
};

export type Run = { status: number; stdout: string; stderr: string };

/** A tool of the chart; its absence is an error and not a reason to skip. */
export function run(command: string, args: string[]): Run {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, KUBECONFIG: '/dev/null' },
  });
  if (error) throw new Error(`${command} cannot be run (npm run tools installs it): ${error.message}`);
  return { status: status ?? 1, stdout, stderr };
}

/** Values files of every scenario. */
export const SCENARIOS = readdirSync(path.join(CHART, 'ci'))
  .filter((name) => name.endsWith('-values.yaml'))
  .map((name) => name.replace('-values.yaml', ''));

/** `helm template` with the values of a scenario and these on top. */
export function template(scenario: string, values: object = {}, chart = CHART): Run {
  const folder = mkdtempSync(path.join(tmpdir(), 'klar-chart-'));
  try {
    const file = path.join(folder, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    const base = scenario === 'none' ? [] : ['-f', path.join(CHART, 'ci', `${scenario}-values.yaml`)];
    return run('helm', ['template', 'klar', chart, '--namespace', 'klar', ...base, '-f', file]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The objects that helm would send. */
export function render(scenario: string, values: object = {}, chart = CHART): KubeObject[] {
  const { status, stdout, stderr } = template(scenario, values, chart);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJS() as KubeObject | null;
    })
    .filter((object) => object !== null);
}

export const named = (objects: KubeObject[], kind: string, name: string): KubeObject => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (!found) throw new Error(`no ${kind} ${name}: ${objects.map((o) => `${o.kind}/${o.metadata.name}`).join(' ')}`);
  return found;
};

export type PodTemplate = { owner: string; labels: Record<string, string>; spec: KubeObject['spec'] };

/** Every pod that these objects lead to. */
export function pods(objects: KubeObject[]): PodTemplate[] {
  return objects.flatMap((object) => {
    const owner = `${object.kind}/${object.metadata.name}`;
    if (object.kind === 'Pod') return [{ owner, labels: object.metadata.labels ?? {}, spec: object.spec }];
    const template = object.kind === 'CronJob' ? object.spec.jobTemplate.spec.template : object.spec?.template;
    if (!/^(Deployment|StatefulSet|Job|CronJob)$/.test(object.kind)) return [];
    return [{ owner, labels: template.metadata.labels as Record<string, string>, spec: template.spec }];
  });
}

/** Whether a selector of plain labels takes a pod. */
export const selects = (selector: { matchLabels?: Record<string, string> }, labels: Record<string, string>): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
