import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { ensureSecret, inspectSettings } from '#platform/config/index.ts';
import { runCli } from '../../../services/cli/main.ts';

describe('klar secrets generate', () => {
  let folder: string;
  beforeEach(async () => {
    folder = path.join(await mkdtemp(path.join(tmpdir(), 'klar-secrets-')), 'secrets');
  });
  afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

  async function generate(args: string[] = [], env: Record<string, string> = {}) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const argv = ['secrets', 'generate', '--dir', folder, ...args];
    const code = await runCli({ argv, stdout, stderr, env: { KLAR_SECRETS_DIR: '/nowhere', ...env } });
    const text = async (stream: PassThrough) => (await stream.end().toArray()).join('');
    return { code, out: await text(stdout), err: await text(stderr) };
  }
  const names = async () => (await readdir(folder).catch(() => [])).sort();
  const secretOf = async (name: string) => (await readFile(path.join(folder, name, 'current'), 'utf8')).trim();
  const modeOf = async (...parts: string[]) => (await stat(path.join(folder, ...parts))).mode & 0o777;

  it('makes what an installation needs, readable for its owner only, without showing a value', async () => {
    const { code, out } = await generate();
    assert.equal(code, 0, out);
    assert.deepEqual(await names(), ['ADMIN_TOKEN', 'API_SECRET_SALT', 'AUTH_JWT_KEY', 'AUTH_SECRET']);
    for (const name of await names()) {
      assert.equal(await modeOf(name), 0o700);
      assert.equal(await modeOf(name, 'current'), 0o600);
      assert.ok(!out.includes(await secretOf(name)));
    }
    assert.equal(await modeOf(), 0o700);
  });

  it('makes what staging and production take as good', async () => {
    await generate();
    const { problems, settings } = inspectSettings('api', {
      KLAR_SECRETS_DIR: folder,
      KLAR_PROFILE: 'staging',
      NODE_ENV: 'production',
    });
    const about = problems.filter(({ name }) => /^(AUTH|API|ADMIN)_/.test(name));
    assert.deepEqual(about, []);
    assert.equal(settings.AUTH_JWT_KEY?.origin, 'generated');
  });

  it('keeps what is there, to the byte', async () => {
    await mkdir(path.join(folder, 'AUTH_SECRET'), { recursive: true });
    await writeFile(path.join(folder, 'AUTH_SECRET', 'current'), 'of a person\n');
    const first = JSON.parse((await generate(['--json'])).out);
    const state = (name: string) => first.secrets.find((secret: { name: string }) => secret.name === name).state;
    assert.deepEqual([state('AUTH_SECRET'), state('ADMIN_TOKEN')], ['kept', 'made']);
    const token = await secretOf('ADMIN_TOKEN');
    const again = JSON.parse((await generate(['--json'])).out);
    assert.deepEqual(new Set(again.secrets.map((secret: { state: string }) => secret.state)), new Set(['kept']));
    assert.deepEqual([await secretOf('AUTH_SECRET'), await secretOf('ADMIN_TOKEN')], ['of a person', token]);
    assert.deepEqual((await readdir(path.join(folder, 'ADMIN_TOKEN'))).sort(), ['current', 'generated']);
  });

  it('gives all who make the same one at once the same value', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ensureSecret(folder, 'AUTH_SECRET')));
    assert.equal(new Set(all.map(({ value }) => value)).size, 1);
    assert.equal(all.filter(({ made }) => made).length, 1);
  });

  it('replaces the empty file of a crash, and stops at one that it may not read', async () => {
    await mkdir(path.join(folder, 'AUTH_SECRET'), { recursive: true });
    await writeFile(path.join(folder, 'AUTH_SECRET', 'current'), '');
    assert.equal((await ensureSecret(folder, 'AUTH_SECRET')).made, true);
    await mkdir(path.join(folder, 'ADMIN_TOKEN', 'current'), { recursive: true });
    await assert.rejects(ensureSecret(folder, 'ADMIN_TOKEN'), { code: 'EISDIR' });
  });

  it('makes the stand-ins of the sandbox and database URLs when they are named, and those alone', async () => {
    const { code } = await generate([
      ...['--only', 'STRIPE_SECRET_KEY', '--only', 'STRIPE_WEBHOOK_SECRET', '--only', 'DATABASE_URL_INGEST'],
      ...['--database', 'postgres://db.test:5433/klar?sslmode=require', '--group-readable'],
    ]);
    assert.equal(code, 0);
    assert.deepEqual(await names(), ['DATABASE_URL_INGEST', 'STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET']);
    assert.match(
      await secretOf('DATABASE_URL_INGEST'),
      /^postgres:\/\/klar_ingest_a:[\w-]{30,}@db\.test:5433\/klar\?sslmode=require$/,
    );
    assert.equal(await modeOf('DATABASE_URL_INGEST'), 0o750);
    assert.equal(await modeOf('DATABASE_URL_INGEST', 'current'), 0o640);
  });

  for (const [args, says] of [
    [['--only', 'AUTH_SECRT'], /Did you mean AUTH_SECRET\?/],
    [['--only', 'SMTP_URL'], /cannot be made here/],
    [['--only', 'DATABASE_URL_API'], /needs --database/],
    [['--only', 'DATABASE_URL_API', '--database', 'db.test'], /not a URL/],
    [['--dir', ''], /--dir is missing/],
  ] as const) {
    it(`is called wrongly with ${args.join(' ')}`, async () => {
      const { code, err } = await generate([...args]);
      assert.equal(code, 64, err);
      assert.match(err, says);
      assert.deepEqual(await names(), []);
    });
  }

  for (const [env, args, code, says] of [
    [{ KLAR_PROFILE: 'production' }, [], 1, /--force/],
    [{ KLAR_PROFILE: 'staging' }, [], 1, /--force/],
    [{ NODE_ENV: 'production' }, [], 1, /KLAR_PROFILE=production/],
    [{ KLAR_PROFILE: 'prod' }, ['--force'], 78, /KLAR_PROFILE/],
    [{ KLAR_PROFILE: 'production' }, ['--force', '--only', 'STRIPE_SECRET_KEY'], 1, /has no sandbox/],
  ] as const) {
    it(`refuses under ${JSON.stringify(env)} with [${args.join(' ')}]`, async () => {
      const answer = await generate([...args], env);
      assert.equal(answer.code, code, answer.err);
      assert.match(answer.err, says);
      assert.deepEqual(await names(), []);
    });
  }

  it('does it under production when told twice', async () => {
    assert.equal((await generate(['--force'], { KLAR_PROFILE: 'production', NODE_ENV: 'production' })).code, 0);
    assert.equal((await names()).length, 4);
  });
});
