import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';

export const CHART = path.resolve(import.meta.dirname, '../../charts/klar');
export const NAMESPACE = 'klar';

const execute = promisify(execFile);

/** One rule as Prometheus gets it. */
export interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

/** Names of the alerts: one file each. */
export const alertNames = (): string[] =>
  readdirSync(path.join(CHART, 'alerts'))
    .map((file) => path.basename(file, '.yaml'))
    .sort();

/** The file of an alert as it is written, with its `$` words. */
export const alertSource = (alert: string): string => readFileSync(path.join(CHART, 'alerts', `${alert}.yaml`), 'utf8');

/** The values with which the rules are rendered: the chart's own schedules, as release `klar` in namespace `klar`. */
const RENDERED = [
  'mode=demo',
  'image.repository=localhost/klar',
  'postgresql.enabled=true',
  'monitoring.enabled=true',
  'monitoring.rules.runbookBaseUrl=https://runbooks.example.com/klar',
];

/** The PrometheusRule of the chart by `helm template`, which is what a cluster gets. */
export async function renderRules(more: readonly string[] = []): Promise<Rule[]> {
  const { stdout } = await execute(
    'helm',
    ['template', 'klar', CHART, '--namespace', NAMESPACE, '-s', 'templates/monitoring/prometheusrule.yaml'].concat(
      [...RENDERED, ...more].flatMap((value) => ['--set', value]),
    ),
    { maxBuffer: 1 << 26 },
  );
  const object = parse(stdout) as { spec: { groups: { rules: Rule[] }[] } };
  return object.spec.groups.flatMap((group) => group.rules);
}

/** Runs promtool over files in a folder of their own; its output, or an error that holds it. */
export async function promtool(
  files: Record<string, unknown>,
  args: (folder: string) => readonly string[],
): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-alerts-'));
  try {
    for (const [name, content] of Object.entries(files))
      await writeFile(path.join(folder, name), stringify(content, { lineWidth: 0 }));
    const { stdout } = await execute('promtool', [...args(folder)], { cwd: folder });
    return stdout;
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    throw new Error(`${message}\n${stdout}${stderr}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What follows a metric's name in PromQL: every selector of these alerts has braces, as it names the namespace. */
const SELECTOR = /([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}/g;

/** Metrics that an expression reads, with the labels by which it selects. */
export function selectorsOf(expr: string): { metric: string; labels: string[] }[] {
  return [...expr.matchAll(SELECTOR)].map(([, metric = '', inside = '']) => ({
    metric,
    labels: [...inside.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  }));
}
