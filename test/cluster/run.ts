import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { run } from './support/command.ts';
import { uninstall } from './support/installation.ts';

const HERE = import.meta.dirname;
const ROOT = path.resolve(HERE, '../..');
const EXIT_USAGE = 64;

/** Files of the full run by part; each part ends within an hour on two cores. In this order a short run does all. */
const PARTS: readonly (readonly string[])[] = [
  ['image', 'install', 'modes', 'migrations', 'rollout'],
  ['disruption', 'autoscaling'],
  ['network', 'cronjobs', 'controller-core', 'controller-candidates', 'flags'],
  ['backup', 'drill'],
  ['rotations'],
];

const HELP = `Usage: npm run test:cluster -- --short | --full [--part N] [options]

Installs Klar with its chart into the cluster that KUBECONFIG names, breaks things while it is under load, and counts what
was lost. Needs helm 4 and kubectl on PATH and an ingress controller; a cluster that it may fill, e.g. kind.

  --short            every kind of fault at least once, with a fixed seed; all parts, about an hour on two cores
  --full             the full counts; each part ends within an hour
  --part N           only part N: ${PARTS.map((files, n) => `${n + 1} ${files.join(', ')}`).join('; ')}
  --only FILE        only this file (\`rollout\` for rollout.test.ts); may be given again
  --grep TEXT        only tests whose title has this text
  --seed N           for what is chosen at random (default 1)
  --keep             leave the installation for a look; the next run upgrades it
  --allow-not-run    exit 0 although tests could not run for want of KLAR_TEST_FAULTS
  --help             this text

Environment
  KUBECONFIG                the cluster
  KLAR_TEST_IMAGE           Klar's image as the nodes know it, e.g. localhost/klar:dev
  KLAR_TEST_IMAGE_NEXT      built from test/cluster/images/next: the same code, another commit
  KLAR_TEST_IMAGE_BROKEN    built from test/cluster/images/broken: a newer migration, and no process starts
  KLAR_TEST_FAULTS          command for faults that Kubernetes cannot make: \`node-kill NODE\`, \`node-start NODE\`,
                            \`restart apiserver\`; without it those tests print 'not run' and the run fails
  KLAR_TEST_ETCD            optional: where etcd answers, to compact it within controller-core
  KLAR_TEST_LOAD            share of the load of 200 requests and 50 webhooks a second (default 1), for a busy machine
  KLAR_TEST_INGRESS         where the ingress answers (default http://127.0.0.1:8080)
  KLAR_TEST_INGRESS_NAMESPACE  of the ingress controller's pods (default ingress)
  KLAR_TEST_POSTGRES_IMAGE  default localhost/postgres:15
  KLAR_TEST_BUSYBOX_IMAGE   default localhost/busybox:1
  KLAR_TEST_NAMESPACE       default klar-test; made, and deleted at the end

What each part prints is kept in test/artifacts/cluster-<part>.log.
`;

const options = {
  short: { type: 'boolean', default: false },
  full: { type: 'boolean', default: false },
  part: { type: 'string' },
  only: { type: 'string', multiple: true },
  grep: { type: 'string' },
  seed: { type: 'string', default: '1' },
  keep: { type: 'boolean', default: false },
  'allow-not-run': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

function refuse(problem: string): never {
  process.stderr.write(`${problem}\n\n${HELP}`);
  process.exit(EXIT_USAGE);
}

function parse() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

function filesOf(wanted: ReturnType<typeof parse>): string[] {
  if (wanted.short === wanted.full && !wanted.only) refuse('Say --short or --full.');
  const part = wanted.part === undefined ? undefined : PARTS[Number(wanted.part) - 1];
  if (wanted.part !== undefined && !part) refuse(`There is no part ${wanted.part}.`);
  const names = wanted.only ?? part ?? PARTS.flat();
  const missing = names.filter((name) => !existsSync(path.join(HERE, `${name}.test.ts`)));
  if (missing.length > 0) refuse(`There is no test/cluster/${missing[0]}.test.ts.`);
  return names.map((name) => path.join(HERE, `${name}.test.ts`));
}

/** Everything that is missing at once, each with its mend. */
async function problems(): Promise<string[]> {
  const found: string[] = [];
  const runs = async (program: string, args: string[]) => {
    try {
      return await run(program, args, { timeoutMs: 30_000 });
    } catch {
      return undefined;
    }
  };
  const kubectl = await runs('kubectl', ['version', '--client']);
  if (!kubectl) found.push('kubectl is not on PATH: install it');
  const helm = await runs('helm', ['version', '--short']);
  if (!helm) found.push('helm is not on PATH: go install helm.sh/helm/v4/cmd/helm@v4.2.4');
  else if (!helm.stdout.startsWith('v4')) found.push(`helm 4 is needed, found ${helm.stdout.trim()}`);
  if (!process.env.KUBECONFIG) found.push('KUBECONFIG is not set: the file that names the cluster');
  else if (!existsSync(process.env.KUBECONFIG)) found.push(`KUBECONFIG: there is no file ${process.env.KUBECONFIG}`);
  else if (kubectl) {
    const nodes = await runs('kubectl', ['get', 'nodes', '--request-timeout=20s']);
    if (nodes?.code !== 0) found.push(`KUBECONFIG: the cluster does not answer: ${nodes?.stderr.trim()}`);
  }
  if (!process.env.KLAR_TEST_IMAGE) found.push("KLAR_TEST_IMAGE is not set: Klar's image as the nodes know it");
  return found;
}

/** mocha, printing here and into the file of the part; resolves with its exit code. */
function mocha(files: readonly string[], wanted: ReturnType<typeof parse>, log: string): Promise<number> {
  const args = [
    path.join(ROOT, 'node_modules/mocha/bin/mocha.js'),
    ...['--no-parallel', '--timeout', '1200000', '--reporter', 'spec', '--exit'],
    // A test that was not run is no success, except for somebody who says so.
    wanted['allow-not-run'] ? '--no-forbid-pending' : '--forbid-pending',
    ...(wanted.grep ? ['--fgrep', wanted.grep] : []),
    ...files,
  ];
  const env = { ...process.env, KLAR_TEST_FULL: wanted.full ? '1' : '', KLAR_TEST_SEED: wanted.seed };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  // mocha would go on alone, with its load.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => child.kill('SIGKILL'));
  const file = createWriteStream(log);
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      process.stdout.write(chunk);
      file.write(chunk);
    });
  }
  return new Promise((resolve) => child.once('close', (code) => file.end(() => resolve(code ?? 1))));
}

const wanted = parse();
if (wanted.help) {
  process.stdout.write(HELP);
} else {
  const files = filesOf(wanted);
  const unlisted = readdirSync(HERE).filter(
    (name) => name.endsWith('.test.ts') && !PARTS.flat().includes(name.replace('.test.ts', '')),
  );
  if (unlisted.length > 0) refuse(`test/cluster/${unlisted[0]} is in no part: add it to PARTS of test/cluster/run.ts.`);
  const found = await problems();
  if (found.length > 0) {
    process.stderr.write(`test:cluster cannot begin:\n${found.map((line) => `  ${line}`).join('\n')}\n`);
    process.exit(1);
  }
  const artifacts = path.join(ROOT, 'test/artifacts');
  mkdirSync(artifacts, { recursive: true });
  const name = wanted.only?.join('-') ?? (wanted.part ? `part-${wanted.part}` : wanted.full ? 'full' : 'short');
  const from = performance.now();
  process.exitCode = await mocha(files, wanted, path.join(artifacts, `cluster-${name}.log`));
  process.stdout.write(`${Math.round((performance.now() - from) / 1000)} s\n`);
  if (!wanted.keep) await uninstall();
}
