import { spawnSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { type Manifest, parseManifests } from '../../scripts/manifests/render.ts';
import { schemaLocation, writeSchemas } from '../../scripts/manifests/schemas.ts';

/** Runs a judge on a text; its absence is an error with the mend, never a skip. */
export function judge(command: string, args: readonly string[], input = ''): { code: number; output: string } {
  const ended = spawnSync(command, args, { input, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (ended.error) throw new Error(`${command} is not on the PATH: npm run tools`, { cause: ended.error });
  return { code: ended.status ?? 1, output: ended.stdout + ended.stderr };
}

let location: Promise<string> | undefined;
const schemas = () => {
  location ??= (async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'klar-schemas-'));
    await writeSchemas(folder);
    return schemaLocation(folder);
  })();
  return location;
};

/** What kubeconform finds wrong with the manifests, line by line; a misspelt field counts. */
export async function schemaFindings(text: string): Promise<string[]> {
  const { code, output } = judge('kubeconform', ['-strict', '-schema-location', await schemas()], text);
  const lines = output.split('\n').filter((line) => line !== '');
  return code === 0 ? [] : lines;
}

/** What kube-score calls critical. */
export function criticals(text: string): string[] {
  const { code, output } = judge('kube-score', ['score', '--kubernetes-version', 'v1.34', '-o', 'ci', '-'], text);
  const lines = output.split('\n').filter((line) => line !== '');
  const found = lines.filter((line) => line.startsWith('[CRITICAL]'));
  // It ends with 1 for a finding and for a file that it cannot read; of kinds that it has no opinion on it says nothing.
  return code !== 0 && found.length === 0 ? [`kube-score ended with ${code}: ${output}`] : found;
}

/** A name that no cluster has yet. */
export const temporaryNamespace = (): string => `m-manifests-${Date.now().toString(36)}`;

/** Says why there is no cluster to ask. */
export function needsCluster(): void {
  if (judge('kubectl', ['version', '--request-timeout=10s']).code === 0) return;
  throw new Error('KUBECONFIG names no cluster that answers: kind create cluster --config k8s/kind/cluster.yaml');
}

/**
 * What the API server says against the manifests, warnings included (those of Pod Security, for instance), as if they were
 * applied to `namespace`, which exists and enforces `restricted`.
 */
export function serverFindings(text: string, namespace: string): string[] {
  const moved = parseManifests(text).map((manifest) => moveTo(manifest, namespace));
  const input = moved.map((manifest) => stringify(manifest)).join('---\n');
  const args = ['apply', '--dry-run=server', '--validate=strict', '--namespace', namespace, '--filename=-'];
  const { code, output } = judge('kubectl', args, input);
  const lines = output.split('\n').filter((line) => line !== '' && !/ \(server dry run\)$/.test(line));
  return code === 0 || lines.length > 0 ? lines : [`kubectl ended with ${code}`];
}

/** The cluster that judges may have a namespace of that name, or that node port, for something else. */
function moveTo(manifest: Manifest, namespace: string): Manifest {
  const { kind, metadata } = manifest;
  if (kind === 'Namespace') return { ...manifest, metadata: { ...metadata, name: `${namespace}-${metadata.name}` } };
  const moved = metadata.namespace === undefined ? metadata : { ...metadata, namespace };
  if (kind !== 'Service') return { ...manifest, metadata: moved };
  const spec = manifest.spec as { ports?: { nodePort?: number }[] };
  const ports = spec.ports?.map(({ nodePort: _, ...port }) => port);
  return { ...manifest, metadata: moved, spec: { ...spec, ports } };
}
