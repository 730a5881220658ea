import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createAllInOne } from '../test/support/all-in-one.ts';
import { ApiClient } from '../test/support/client.ts';

const HELP = `npm run test:fuzz -- [options]

Starts Klar on a database of its own and lets schemathesis attack every documented operation with all of its checks:
no 5xx, no answer that the OpenAPI document does not describe, no refusal of what it calls valid.

  --minutes N   how long in all (default: 3; the whole proof runs 10)
  --seed N      seed of the generated requests (default: 1)
  --help        this text
`;

/** Pinned: a newer one may check more, which should be a change of its own. */
const SCHEMATHESIS = 'schemathesis==4.32.5';
const ROOT = path.resolve(import.meta.dirname, '..');
const TOOLS = path.join(ROOT, 'node_modules/.cache/schemathesis');
const ARTIFACTS = path.join(ROOT, 'test/artifacts');

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean' },
  },
});

function run(command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', cwd: ROOT });
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', (code) => resolve(code ?? 1)));
}

async function install(): Promise<string> {
  const program = path.join(TOOLS, 'bin/schemathesis');
  if (!existsSync(program)) {
    if ((await run('python3', ['-m', 'venv', TOOLS])) !== 0)
      throw new Error('python3 with venv is needed (Debian: python3-venv)');
    if ((await run(path.join(TOOLS, 'bin/pip'), ['install', '--quiet', SCHEMATHESIS])) !== 0)
      throw new Error('schemathesis could not be installed');
  }
  return program;
}

/** Who attacks what: each with the credential that opens the operations, so that the attack reaches their insides. */
type Pass = { name: string; headers: string[]; include: string; exclude: string };

async function passes(url: string, dataDir: string): Promise<Pass[]> {
  const owner = await new ApiClient(url).register('fuzz');
  const slug = `fuzz-${Date.now()}`;
  await owner.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Fuzz', slug } });
  const school = owner.client.with({ tenant: slug });
  const { key } = await school.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'fuzz' } });
  const adminToken = (await readFile(path.join(dataDir, 'secrets/ADMIN_TOKEN/current'), 'utf8')).trim();
  const person = '^/api/(auth/|me$|tenants$|tenants/\\{slug\\}|invitations/\\{token\\})';
  const platform = '^/api/(admin|ops)';
  // These end the session that the pass lives on; the last pass calls them without one.
  const ending = '^/api/auth/(logout|sessions|password/change)';
  return [
    { name: 'school', headers: [`Authorization: Bearer ${key}`], include: '^/api/', exclude: `${person}|${platform}` },
    { name: 'platform', headers: [`Authorization: Bearer ${adminToken}`], include: platform, exclude: '^$' },
    { name: 'person', headers: [`Authorization: Bearer ${owner.token}`], include: person, exclude: ending },
    { name: 'ending', headers: [`Authorization: Bearer ${owner.token}`], include: ending, exclude: '^$' },
  ];
}

async function main(): Promise<number> {
  const program = await install();
  await mkdir(ARTIFACTS, { recursive: true });
  const limits = ['AUTH', 'READ', 'WRITE', 'BILLING', 'MEDIA', 'OPS'].map((name) => [`RATE_LIMIT_${name}`, '10000000']);
  const klar = await createAllInOne({ ...Object.fromEntries(limits), LOG_LEVEL: 'error' });
  try {
    await klar.start();
    const all = await passes(klar.url, klar.dataDir);
    const seconds = Math.max(10, Math.floor((Number(options.minutes) * 60) / all.length));
    const failed: string[] = [];
    for (const pass of all) {
      process.stdout.write(`\n--- ${pass.name}: ${pass.include}\n`);
      const code = await run(program, [
        'run',
        `${klar.url}/api/openapi.json`,
        '--checks=all',
        `--max-time=${seconds}`,
        `--seed=${options.seed}`,
        '--continue-on-failure',
        '--no-color',
        '--suppress-health-check=all',
        `--include-path-regex=${pass.include}`,
        `--exclude-path-regex=${pass.exclude}`,
        `--report=junit`,
        `--report-junit-path=${path.join(ARTIFACTS, `schemathesis-${pass.name}.xml`)}`,
        ...pass.headers.flatMap((header) => ['-H', header]),
      ]);
      if (code !== 0) failed.push(pass.name);
    }
    const errors = klar
      .process()
      .output()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    process.stdout.write(`\n${errors.length} error lines in Klar's log\n${errors.slice(0, 10).join('\n')}\n`);
    if (failed.length > 0) process.stdout.write(`findings in: ${failed.join(', ')}\n`);
    return failed.length > 0 || errors.length > 0 ? 1 : 0;
  } finally {
    await klar.close();
  }
}

if (options.help) process.stdout.write(HELP);
else process.exitCode = await main();
