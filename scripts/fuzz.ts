import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type AllInOne, createAllInOne } from '../test/support/all-in-one.ts';
import { ApiClient } from '../test/support/client.ts';

const HELP = `npm run test:fuzz -- [options]

Starts Klar on a database of its own and lets schemathesis attack every documented operation with all of its checks:
no 5xx, no answer that the OpenAPI document does not describe, no 400 for what it calls valid, nothing but 400 for what
it does not. schemathesis.toml says how each answer is judged, and why.

  --minutes N    how long in all (default: 3; the whole proof runs 10)
  --seed N       seed of the generated requests (default: 1)
  --only NAME    one pass: school, member, person, leaving or platform
  --record FILE  also write the summary there
  --help         this text
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
    only: { type: 'string' },
    record: { type: 'string' },
    help: { type: 'boolean' },
  },
});

/** Operations of a person without a school, of the platform, and those that end the session they are called with. */
const PERSON = '^/api/(auth/|me$|tenants$|tenants/\\{slug\\}|invitations/\\{token\\})';
const PLATFORM = '^/api/(admin|ops)';
const LEAVING = '^/api/auth/(logout|sessions|password/change)';

/** Who attacks what: each with the credential that opens the operations, so that the attack reaches their insides. */
interface Pass {
  name: string;
  identity: string;
  include: string;
  exclude?: string;
  /** School of every request; where there is none it is generated as any other header. */
  tenant?: string;
}

const passes = (slug: string): Pass[] => [
  { name: 'school', identity: 'school', include: '^/api/', exclude: `${PERSON}|${PLATFORM}` },
  { name: 'member', identity: 'owner', include: '^/api/', exclude: `${PERSON}|${PLATFORM}`, tenant: slug },
  { name: 'person', identity: 'owner', include: PERSON, exclude: LEAVING },
  { name: 'leaving', identity: 'leaver', include: LEAVING },
  // Last: it blocks and suspends the schools of the others.
  { name: 'platform', identity: 'platform', include: PLATFORM },
];

interface Result {
  pass: Pass;
  code: number;
  output: string;
}

function run(command: string, args: readonly string[], env = process.env): Promise<{ code: number; output: string }> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: ROOT, env });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  return new Promise((resolve, reject) =>
    child.once('error', reject).once('close', (code) => resolve({ code: code ?? 1, output })),
  );
}

async function install(): Promise<string> {
  const program = path.join(TOOLS, 'bin/schemathesis');
  if (!existsSync(program)) {
    if ((await run('python3', ['-m', 'venv', TOOLS])).code !== 0)
      throw new Error('python3 with venv is needed (Debian: python3-venv)');
    if ((await run(path.join(TOOLS, 'bin/pip'), ['install', '--quiet', SCHEMATHESIS])).code !== 0)
      throw new Error('schemathesis could not be installed');
  }
  return program;
}

/** Two schools with something in them, and the file of identities that schemathesis attacks as. */
async function prepare(klar: AllInOne): Promise<{ slug: string; identities: string }> {
  const anybody = new ApiClient(klar.url);
  const open = async (name: string) => {
    const person = await anybody.register(name);
    const slug = `${name}-${Date.now()}`;
    await person.client.expect(201, 'POST', '/api/tenants', { body: { name, slug } });
    const school = person.client.with({ tenant: slug });
    const price = { amount: 4900, currency: 'USD' };
    const post = (url: string, body: object) => school.expect<{ id: string }>(201, 'POST', url, { body });
    const course = await post('/api/courses', { title: 'Course', price, status: 'published' });
    await post(`/api/courses/${course.id}/lessons`, { title: 'Lesson' });
    await post('/api/services', { title: 'Service', duration_minutes: 30, price, status: 'published' });
    await post('/api/orders', { lines: [{ kind: 'course', id: course.id, quantity: 1 }] });
    const { key } = await school.expect<{ key: string }>(201, 'POST', '/api/api-keys', { body: { name: 'fuzz' } });
    return { person, slug, key };
  };
  const school = await open('fuzz');
  const other = await open('other');
  const adminToken = (await readFile(path.join(klar.dataDir, 'secrets/ADMIN_TOKEN/current'), 'utf8')).trim();
  const token = (name: string, value: string) => ({
    name,
    fixedHeaders: [{ name: 'Authorization', value: `Bearer ${value}` }],
  });
  const login = (name: string, { email, password }: { email: string; password: string }) => ({
    name,
    loginEndpointAuth: {
      verb: 'POST',
      endpoint: '/api/auth/login',
      contentType: 'application/json',
      payloadUserPwd: { username: email, usernameField: 'email', password, passwordField: 'password' },
      token: {
        extractFrom: 'body',
        extractSelector: '/access_token',
        sendIn: 'header',
        sendName: 'Authorization',
        sendTemplate: 'Bearer {token}',
      },
    },
  });
  const auth = [
    token('school', school.key),
    token('other school', other.key),
    login('owner', school.person),
    login('leaver', await anybody.register('leaver')),
    token('platform', adminToken),
  ];
  const identities = path.join(klar.dataDir, 'fuzz-identities.json');
  await writeFile(identities, JSON.stringify({ schemaVersion: '0.0.1', auth }));
  return { slug: school.slug, identities };
}

async function attack(program: string, klar: AllInOne, pass: Pass, identities: string, seconds: number) {
  process.stdout.write(`\n--- ${pass.name}: ${pass.include}\n`);
  const args = [
    '--config-file=schemathesis.toml',
    'run',
    `${klar.url}/api/openapi.json`,
    '--checks=all',
    `--max-time=${seconds}`,
    `--seed=${options.seed}`,
    '--continue-on-failure',
    '--no-color',
    `--include-path-regex=${pass.include}`,
    ...(pass.exclude === undefined ? [] : [`--exclude-path-regex=${pass.exclude}`]),
    ...(pass.tenant === undefined ? [] : [`--header=Klar-Tenant: ${pass.tenant}`]),
    `--report=junit`,
    `--report-junit-path=${path.join(ARTIFACTS, `schemathesis-${pass.name}.xml`)}`,
  ];
  const env = { ...process.env, KLAR_FUZZ_IDENTITIES: identities, KLAR_FUZZ_IDENTITY: pass.identity };
  return { pass, ...(await run(program, args, env)) };
}

const number = (text: string, pattern: RegExp) => pattern.exec(text)?.[1] ?? '?';

/** Operations never called, as when their requests take too long to make up: nothing was found because nothing was asked. */
function isVain({ output }: Result): boolean {
  return (
    number(output, /Tested: (\d+)/) !== number(output, /Selected: (\d+)/) || !/Fuzzing \(in .*\)\s+✅/.test(output)
  );
}

/** One table of what ran and what it found. */
function summary(results: readonly Result[], errors: readonly string[], seconds: number): string {
  const rows = results.map((result) => [
    result.pass.name,
    result.pass.identity,
    `${number(result.output, /Tested: (\d+)/)} of ${number(result.output, /Selected: (\d+)/)}`,
    number(result.output, /(\d+) generated/),
    result.code === 0 ? (isVain(result) ? 'not all asked' : '0') : number(result.output, /(\d+) failures?/),
    `${seconds} s`,
  ]);
  return [
    '# schemathesis',
    '',
    `- when: ${new Date().toISOString().slice(0, 16)}Z, \`npm run test:fuzz -- --minutes ${options.minutes} --seed ${options.seed}\``,
    `- with: ${SCHEMATHESIS.replace('==', ' ')}, Node ${process.version}, all checks, \`schemathesis.toml\``,
    `- error lines in Klar's log: ${errors.length}`,
    '',
    '| pass | attacks as | operations | requests made up | findings | time |',
    '|---|---|---|---|---|---|',
    ...rows.map((row) => `| ${row.join(' | ')} |`),
    '',
  ].join('\n');
}

async function main(): Promise<number> {
  const program = await install();
  await mkdir(ARTIFACTS, { recursive: true });
  const limits = ['AUTH', 'READ', 'WRITE', 'BILLING', 'MEDIA', 'OPS', 'BAD_CREDENTIALS'];
  const klar = await createAllInOne({
    ...Object.fromEntries(limits.map((name) => [`RATE_LIMIT_${name}`, '10000000'])),
    LOG_LEVEL: 'error',
  });
  try {
    await klar.start();
    const { slug, identities } = await prepare(klar);
    const chosen = passes(slug).filter(({ name }) => options.only === undefined || name === options.only);
    const seconds = Math.max(10, Math.floor((Number(options.minutes) * 60) / chosen.length));
    const results: Result[] = [];
    for (const pass of chosen) results.push(await attack(program, klar, pass, identities, seconds));
    const lines = klar.process().output().split('\n');
    const errors = lines.filter((line) => line.includes('"level":"error"'));
    if (errors.length > 0) process.stdout.write(`\nKlar's log:\n${errors.slice(0, 20).join('\n')}\n`);
    const text = summary(results, errors, seconds);
    process.stdout.write(`\n${text}`);
    for (const file of [path.join(ARTIFACTS, 'schemathesis.md'), ...(options.record ? [options.record] : [])]) {
      await writeFile(file, text);
    }
    const fine = results.length > 0 && results.every((result) => result.code === 0 && !isVain(result));
    return fine && errors.length === 0 ? 0 : 1;
  } finally {
    await klar.close();
  }
}

if (options.help) process.stdout.write(HELP);
else process.exitCode = await main();
