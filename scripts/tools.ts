import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

/** A Go program that judges what this repository writes, or a peer that a test needs. */
interface GoTool {
  name: string;
  /** The package that makes the program. */
  package: string;
  /** The module that the package belongs to, as the program's build information names it. */
  module: string;
  version: string;
  why: string;
  /** What `go install` calls it, where that is another name. */
  built?: string;
}

/** Pinned: a newer judge may find more, which should be a change of its own. */
const GO_TOOLS: readonly GoTool[] = [
  {
    name: 'helm',
    package: 'helm.sh/helm/v4/cmd/helm',
    module: 'helm.sh/helm/v4',
    version: 'v4.2.4',
    why: 'installs and renders charts/klar',
  },
  {
    name: 'kubeconform',
    package: 'github.com/yannh/kubeconform/cmd/kubeconform',
    module: 'github.com/yannh/kubeconform',
    version: 'v0.7.0',
    why: 'compares manifests with their schemas',
  },
  {
    name: 'kube-score',
    package: 'github.com/zegl/kube-score/cmd/kube-score',
    module: 'github.com/zegl/kube-score',
    version: 'v1.20.0',
    why: 'judges manifests',
  },
  {
    name: 'actionlint',
    package: 'github.com/rhysd/actionlint/cmd/actionlint',
    module: 'github.com/rhysd/actionlint',
    version: 'v1.7.12',
    why: 'judges workflows',
  },
  {
    name: 'helm-docs',
    package: 'github.com/norwoodj/helm-docs/cmd/helm-docs',
    module: 'github.com/norwoodj/helm-docs',
    version: 'v1.14.2',
    why: "writes the chart's README",
  },
  {
    name: 'amtool',
    package: 'github.com/prometheus/alertmanager/cmd/amtool',
    module: 'github.com/prometheus/alertmanager',
    version: 'v0.34.0',
    why: 'checks the Alertmanager configuration',
  },
  {
    name: 'versitygw',
    package: 'github.com/versity/versitygw/cmd/versitygw',
    module: 'github.com/versity/versitygw',
    version: 'v1.8.0',
    why: 'the S3 store of the backup tests',
  },
  {
    name: 'livekit-server',
    package: 'github.com/livekit/livekit-server/cmd/server',
    module: 'github.com/livekit/livekit-server',
    version: 'v1.13.5',
    why: 'whose key the rotation tests replace',
    built: 'server',
  },
];

/** Programs that the system's packages bring. */
const SYSTEM_TOOLS = [
  { name: 'kubectl', from: "Kubernetes' own packages or your distribution", why: 'talks to the cluster' },
  {
    name: 'promtool',
    from: 'Debian: apt-get install prometheus',
    why: 'checks alerts and the Prometheus configuration',
  },
  { name: 'pg_dump', from: 'Debian: apt-get install postgresql-client', why: 'makes backups' },
  { name: 'pg_restore', from: 'Debian: apt-get install postgresql-client', why: 'restores them' },
] as const;

const HELP = `Usage: npm run tools [-- --check] [-- --only NAME ...]

Installs the pinned Go programs that tests and CI use, and says which programs of the system are missing.
A program that is there in its version is left alone.

${[
  ...GO_TOOLS.map(({ name, version, why }) => [name, version, why]),
  ...SYSTEM_TOOLS.map(({ name, why }) => [name, 'system', why]),
]
  .map(([name = '', version = '', why = '']) => `  ${name.padEnd(14)} ${version.padEnd(8)} ${why}`)
  .join('\n')}

  --check      install nothing; exit 1 when something is missing or of another version
  --only NAME  this program only; may be repeated
  --bin        print the folder they are installed into, for PATH
  --help       this text
`;

const { values: options } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    bin: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

/** Where `go install` puts programs. */
function goBin(): string {
  const go = spawnSync('go', ['env', 'GOBIN', 'GOPATH'], { encoding: 'utf8' });
  if (go.error) throw new Error('go is not on the PATH: install Go 1.26 or newer from https://go.dev/dl');
  const [bin = '', gopath = ''] = go.stdout.split('\n');
  return bin || path.join(gopath.split(path.delimiter)[0] ?? '', 'bin');
}

/** The version that a program was built from, by the build information inside it. */
function installedVersion(file: string, module: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const { stdout } = spawnSync('go', ['version', '-m', file], { encoding: 'utf8' });
  const row = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  return row.find(([keyword, name]) => keyword === 'mod' && name === module)?.[2];
}

function install(tool: GoTool, bin: string): boolean {
  const file = path.join(bin, tool.name);
  const present = installedVersion(file, tool.module);
  if (present === tool.version) {
    process.stdout.write(`ok         ${tool.name} ${tool.version}\n`);
    return true;
  }
  if (options.check) {
    process.stdout.write(
      `missing    ${tool.name} ${tool.version}${present ? `, found ${present}` : ''}: npm run tools\n`,
    );
    return false;
  }
  process.stdout.write(`building   ${tool.name} ${tool.version}\n`);
  const from = performance.now();
  try {
    execFileSync('go', ['install', `${tool.package}@${tool.version}`], {
      stdio: ['ignore', 'inherit', 'inherit'],
      // A program that needs no C library runs in any image and needs no compiler here.
      env: { ...process.env, GOBIN: bin, CGO_ENABLED: '0' },
    });
    if (tool.built) renameSync(path.join(bin, tool.built), file);
  } catch {
    process.stdout.write(`FAILED     ${tool.name}: go install ${tool.package}@${tool.version}\n`);
    return false;
  }
  process.stdout.write(
    `installed  ${tool.name} ${tool.version} (${Math.round((performance.now() - from) / 1000)} s)\n`,
  );
  return true;
}

function onPath(name: string): boolean {
  return (process.env.PATH ?? '').split(path.delimiter).some((folder) => existsSync(path.join(folder, name)));
}

function main(): number {
  const bin = goBin();
  if (options.bin) {
    process.stdout.write(`${bin}\n`);
    return 0;
  }
  const known = new Set<string>([...GO_TOOLS, ...SYSTEM_TOOLS].map(({ name }) => name));
  const unknown = options.only.filter((name) => !known.has(name));
  if (unknown.length > 0) throw new Error(`there is no tool ${unknown.join(', ')}; npm run tools -- --help lists them`);
  const wanted = <T extends { name: string }>(tools: readonly T[]): T[] =>
    tools.filter(({ name }) => options.only.length === 0 || options.only.includes(name));

  let fine = true;
  for (const tool of wanted(GO_TOOLS)) fine = install(tool, bin) && fine;
  for (const { name, from } of wanted(SYSTEM_TOOLS)) {
    const present = onPath(name);
    process.stdout.write(present ? `ok         ${name}\n` : `missing    ${name}: ${from}\n`);
    fine &&= present;
  }
  if (fine && wanted(GO_TOOLS).some(({ name }) => !onPath(name))) {
    process.stdout.write(`\nnot on the PATH yet: export PATH="${bin}:$PATH"\n`);
  }
  return fine ? 0 : 1;
}

try {
  process.exitCode = options.help ? 0 : main();
  if (options.help) process.stdout.write(HELP);
} catch (error) {
  process.stderr.write(`tools: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
