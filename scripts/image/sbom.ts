import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const HELP = `Usage: node scripts/image/sbom.ts --packages FILE --node-modules FOLDER [...]

Prints the image's bill of materials (CycloneDX): the npm packages, as \`npm sbom\` lists them in FILE and as far as they
are in FOLDER; the Debian packages of the base and of the client tools; Node. A package in FOLDER that FILE does not list
is an error. Runs while the image is built; the same input gives the same bytes.

  --packages FILE      what \`npm sbom --package-lock-only --sbom-format cyclonedx\` printed
  --node-modules FOLDER  the image's packages
  --status FILE        dpkg's list of the base (default: /var/lib/dpkg/status)
  --status-dir FOLDER  packages whose files were copied, one status each
  --created TIME       when the image was built; left out, the document has no time
  --help               this text
`;

/** The part of CycloneDX that this document uses. */
interface Component {
  'bom-ref': string;
  type: string;
  name: string;
  version: string;
  purl: string;
  cpe?: string;
  licenses?: unknown[];
  [key: string]: unknown;
}

interface Bom {
  serialNumber?: string;
  metadata: { timestamp?: string; component: Component; [key: string]: unknown };
  components: Component[];
  dependencies: { ref: string; dependsOn?: string[] }[];
  [key: string]: unknown;
}

/** The paragraphs of a dpkg status file that name an installed package. */
function debianPackages(status: string, distribution: string): Component[] {
  return status.split(/\n\n+/).flatMap((paragraph) => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1];
    const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
    if (!name || !version || !field('Status')?.endsWith(' installed')) return [];
    // An advisory names the source package, where a scanner looks it up.
    const [, source = name] = /^(\S+)/.exec(field('Source') ?? '') ?? [];
    const query = new URLSearchParams({ arch: architecture ?? 'all', distro: distribution, upstream: source });
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${query}`;
    return [{ 'bom-ref': purl, type: 'library', name, version, purl }];
  });
}

function nodeItself(): Component {
  const version = process.versions.node;
  const purl = `pkg:generic/node@${version}`;
  const cpe = `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:-:*:*:*`;
  return { 'bom-ref': purl, type: 'platform', name: 'node', version, purl, cpe };
}

/** `debian-12`, as package URLs name the distribution. */
function distributionOf(osRelease: string): string {
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(osRelease)?.[1] ?? '';
  return `${field('ID')}-${field('VERSION_ID')}`;
}

/** `name@version` of every package below a node_modules folder, nested ones too. */
function installedPackages(folder: string): string[] {
  const entries = (at: string) => readdirSync(at, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return entries(folder).flatMap(({ name }) => {
    if (name.startsWith('.')) return [];
    if (name.startsWith('@')) return installedPackages(path.join(folder, name));
    const { name: own, version } = JSON.parse(readFileSync(path.join(folder, name, 'package.json'), 'utf8'));
    const nested = path.join(folder, name, 'node_modules');
    return [`${own}@${version}`, ...(existsSync(nested) ? installedPackages(nested) : [])];
  });
}

/** npm lists what the lock file has; of that the image holds one platform's part, without what the base brings. */
function onlyInstalled(npm: Bom, installed: readonly string[]): Bom {
  const present = new Set(installed);
  const listed = new Set(npm.components.map(({ name, version }) => `${name}@${version}`));
  const unlisted = installed.filter((one) => !listed.has(one));
  if (unlisted.length > 0) throw new Error(`npm does not list ${unlisted.join(', ')}`);
  const components = npm.components.filter(({ name, version }) => present.has(`${name}@${version}`));
  const root = npm.metadata.component['bom-ref'];
  const refs = new Set([root, ...components.map((one) => one['bom-ref'])]);
  const dependencies = npm.dependencies
    .filter(({ ref }) => refs.has(ref))
    .map((one) => ({ ...one, dependsOn: (one.dependsOn ?? []).filter((ref) => refs.has(ref)) }));
  const component = { ...npm.metadata.component, name: 'klar' };
  return {
    ...npm,
    metadata: { ...npm.metadata, lifecycles: [{ phase: 'build' }], component },
    components,
    dependencies,
  };
}

const unique = (components: Component[]) => [...new Map(components.map((one) => [one['bom-ref'], one])).values()];
const byRef = (a: { 'bom-ref': string }, b: { 'bom-ref': string }) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1);

/** One document of both; the times and random numbers that npm puts in are left out. */
function merge(npm: Bom, others: Component[], created: string | undefined): Bom {
  const components = unique([...npm.components, ...others]).sort(byRef);
  const root = npm.metadata.component['bom-ref'];
  const dependencies = npm.dependencies.map((one) =>
    one.ref === root
      ? { ...one, dependsOn: [...(one.dependsOn ?? []), ...others.map((other) => other['bom-ref'])] }
      : one,
  );
  const { timestamp: _, ...metadata } = npm.metadata;
  const time = created ? { timestamp: created } : {};
  const body: Bom = { ...npm, metadata: { ...time, ...metadata }, components, dependencies };
  delete body.serialNumber;
  const digest = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  const parts = [digest.slice(0, 8), digest.slice(8, 12), `8${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`];
  return { ...body, serialNumber: `urn:uuid:${parts.join('-')}-${digest.slice(20, 32)}` };
}

function main(): void {
  const { values: options } = parseArgs({
    options: {
      packages: { type: 'string' },
      'node-modules': { type: 'string' },
      status: { type: 'string', default: '/var/lib/dpkg/status' },
      'status-dir': { type: 'string' },
      created: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (options.help || !options.packages || !options['node-modules']) {
    process.stdout.write(HELP);
    process.exitCode = options.help ? 0 : 2;
    return;
  }
  const listed = JSON.parse(readFileSync(options.packages, 'utf8')) as Bom;
  const npm = onlyInstalled(listed, installedPackages(options['node-modules']));
  const distribution = distributionOf(readFileSync('/etc/os-release', 'utf8'));
  const folder = options['status-dir'];
  const copied = folder ? readdirSync(folder).map((name) => readFileSync(path.join(folder, name), 'utf8')) : [];
  const debian = [readFileSync(options.status, 'utf8'), ...copied].flatMap((text) =>
    debianPackages(text, distribution),
  );
  process.stdout.write(`${JSON.stringify(merge(npm, [...debian, nodeItself()], options.created), null, 1)}\n`);
}

main();
