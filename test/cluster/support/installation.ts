import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { allReady, apply, helm, kubectl, tryHelm, tryKubectl } from './kube.ts';
import { clusterSettings } from './settings.ts';
import { HOSTS, testValues, type Values } from './values.ts';

export const CHART = path.resolve(import.meta.dirname, '../../../charts/klar');

/** The one installation that all files of a run share. */
export interface Installation {
  readonly namespace: string;
  readonly release: string;
  /** Host names at the ingress. */
  readonly hosts: typeof HOSTS;
  /** `helm upgrade` with the run's values and, over them, `values`; `args` go to helm. */
  upgrade(values?: Values, args?: readonly string[]): Promise<string>;
  /** The file with the run's values, for helm commands of one's own. */
  readonly valuesFile: string;
}

/** Nothing passes in this namespace that no policy of the chart lets pass, and nothing unhardened runs in it. */
export const namespaceManifest = (name: string) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: Object.fromEntries(
        ['enforce', 'warn', 'audit'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted']),
      ),
    },
  });

export const defaultDeny = JSON.stringify({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'default-deny' },
  spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
});

let shared: Promise<Installation> | undefined;

/**
 * Installs Klar once a run: a namespace that enforces `restricted` with default-deny networking, PostgreSQL and the
 * sandbox in it, two replicas of api and webhook-ingest. A release that is there already is upgraded to the run's
 * values instead, so that one file can be repeated without a new installation.
 */
export function installation(): Promise<Installation> {
  shared ??= install();
  return shared;
}

async function install(): Promise<Installation> {
  const { namespace, release } = clusterSettings();
  await kubectl(['-n', 'default', 'apply', '-f', '-'], { input: namespaceManifest(namespace) });
  await apply(defaultDeny);
  const folder = await mkdtemp(path.join(tmpdir(), 'klar-cluster-'));
  process.once('exit', () => void rm(folder, { recursive: true, force: true }));
  const valuesFile = path.join(folder, 'values.json');
  writeFileSync(valuesFile, JSON.stringify(testValues(), null, 2));
  await settle(release);
  await helm(['upgrade', '--install', release, CHART, '-f', valuesFile, '--wait', '--timeout', '8m']).catch(
    async (error: Error) => {
      throw new Error(`${error.message}\n${await pictureOf()}`);
    },
  );
  for (const component of ['api', 'webhook-ingest', 'worker', 'controller']) await allReady(component);
  let extra = 0;
  return {
    namespace,
    release,
    hosts: HOSTS,
    valuesFile,
    upgrade(values = {}, args = ['--wait', '--timeout', '8m']) {
      const file = path.join(folder, `values-${++extra}.json`);
      writeFileSync(file, JSON.stringify(values, null, 2));
      return helm(['upgrade', release, CHART, '-f', valuesFile, '-f', file, ...args]);
    },
  };
}

/** A run that was cut off in the middle of an upgrade leaves a release that refuses every other operation. */
async function settle(release: string): Promise<void> {
  const status = await tryHelm(['status', release, '-o', 'json']);
  if (status.code !== 0) return;
  const state = (JSON.parse(status.stdout) as { info: { status: string } }).info.status;
  if (state.startsWith('pending')) await helm(['rollback', release, '--wait', '--timeout', '5m']);
}

/** What a person would look at first when an installation does not come up. */
export async function pictureOf(): Promise<string> {
  const parts = await Promise.all([
    tryKubectl(['get', 'pods,jobs', '-o', 'wide']),
    tryKubectl(['get', 'events', '--sort-by=.lastTimestamp']),
    tryKubectl(['logs', '-l', 'app.kubernetes.io/name', '--all-containers', '--prefix', '--tail', '8']),
  ]);
  const short = (text: string) =>
    text
      .split('\n')
      .slice(-40)
      .map((line) => line.slice(0, 260))
      .join('\n');
  return parts.map((part) => short(part.stdout) + short(part.stderr)).join('\n---\n');
}

/** Removes the installation with all that it stored. */
export async function uninstall(): Promise<void> {
  const { namespace, release } = clusterSettings();
  await tryHelm(['uninstall', release, '--wait', '--timeout', '3m']);
  await tryKubectl(['-n', 'default', 'delete', 'namespace', namespace, '--wait', '--timeout=180s']);
  shared = undefined;
}
