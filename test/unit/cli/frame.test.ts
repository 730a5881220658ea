import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { ConfigError } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import { type Command, type CommandEntry, EXIT } from '../../../services/cli/command.ts';
import { COMMANDS } from '../../../services/cli/commands.ts';
import { runCli } from '../../../services/cli/main.ts';

async function run(argv: string[], options: { commands?: CommandEntry[]; env?: Record<string, string> } = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCli({ argv, stdout, stderr, env: { KLAR_SECRETS_DIR: '/nowhere' }, ...options });
  const all = (stream: PassThrough) =>
    stream
      .end()
      .toArray()
      .then((chunks) => chunks.join(''));
  return { code, out: await all(stdout), err: await all(stderr) };
}

const entry = (name: string, command: Partial<Command>): CommandEntry => ({
  name,
  summary: `Does ${name}`,
  load: async () => ({ run: async () => EXIT.ok, ...command }),
});

describe('klar', () => {
  it('shows every command, and each one its own help', async () => {
    const overview = await run(['--help']);
    assert.equal(overview.code, 0);
    for (const { name } of COMMANDS) {
      assert.ok(overview.out.includes(name));
      const help = await run([...name.split(' '), '--help']);
      assert.deepEqual([help.code, help.err], [0, '']);
      assert.match(help.out, /^Usage: klar /);
      assert.match(help.out, /--json/);
      assert.equal((await run(['help', ...name.split(' ')])).out, help.out);
    }
  });

  it('lists what there is, and exits 64, for anything it does not know', async () => {
    const cases: [string[], RegExp][] = [
      [[], /Usage: klar/],
      [['nonsense'], /There is no command "nonsense"[\s\S]*config check/],
      [['config', 'chekc'], /has no command "chekc"[\s\S]*klar config check/],
      [['config'], /needs one more word/],
      [['config', 'check', '--proces', 'api'], /no option --proces[\s\S]*Did you mean --process/],
      [['config', 'check', '--process', 'apy'], /cannot be "apy"[\s\S]*webhook-ingest/],
      [['config', 'check', '--process'], /argument missing|expects|requires/i],
      [['config', 'check', 'extra'], /one argument too many/],
    ];
    for (const [argv, message] of cases) {
      const { code, out, err } = await run(argv);
      assert.deepEqual([code, out], [EXIT.usage, ''], argv.join(' '));
      assert.match(err, message);
    }
  });

  it('answers --json with one document on stdout, and mistakes with one on stderr', async () => {
    const answer = entry('a b', {
      run: async ({ answer, say }) => {
        say('progress');
        answer({ x: 1 }, 'text');
        return EXIT.ok;
      },
    });
    const { out } = await run(['a', 'b', '--json'], { commands: [answer] });
    assert.deepEqual(JSON.parse(out), { x: 1 });
    assert.equal((await run(['a', 'b'], { commands: [answer] })).out, 'progress\ntext\n');
    const { err } = await run(['a', 'b', '--json', '--nope'], { commands: [answer] });
    assert.equal(JSON.parse(err).error.code, 'usage');
  });

  it('turns what a command throws into an exit code and a plain answer', async () => {
    const throwing = (error: unknown) => [entry('x', { run: () => Promise.reject(error) })];
    const config = await run(['x'], {
      commands: throwing(new ConfigError('cli', [{ name: 'PORT', problem: 'p', mend: 'm' }])),
    });
    assert.deepEqual([config.code, config.err.includes('-> m')], [EXIT.config, true]);
    const known = await run(['x'], { commands: throwing(fail.conflict('taken', 'It is taken.')) });
    assert.deepEqual([known.code, known.err], [EXIT.failed, 'It is taken. (taken)\n']);
    const unknown = await run(['x'], { commands: throwing(new Error('boom')) });
    assert.deepEqual([unknown.code, unknown.err.startsWith('Error: boom')], [EXIT.failed, true]);
  });

  it('checks arguments: missing, too many, optional and open-ended ones', async () => {
    const taking = (...names: string[]) => [
      entry('x', { arguments: names.map((name) => ({ name, description: '' })) }),
    ];
    assert.equal((await run(['x'], { commands: taking('id') })).code, EXIT.usage);
    assert.equal((await run(['x', 'a'], { commands: taking('id') })).code, EXIT.ok);
    assert.equal((await run(['x', 'a', 'b'], { commands: taking('id') })).code, EXIT.usage);
    assert.equal((await run(['x'], { commands: taking('id?') })).code, EXIT.ok);
    assert.equal((await run(['x', 'a', 'b', 'c'], { commands: taking('ids...') })).code, EXIT.ok);
  });

  it('takes an argument that looks like a command word of its own', async () => {
    let seen: string[] = [];
    const commands = [
      entry('x', {
        arguments: [{ name: 'ids...', description: '' }],
        run: async (input) => {
          seen = input.arguments;
          return EXIT.ok;
        },
      }),
    ];
    await run(['x', 'x', 'help'], { commands });
    assert.deepEqual(seen, ['x', 'help']);
  });
});

describe('klar config check', () => {
  it('lists every problem of the deployed processes and exits 78', async () => {
    const { code, out } = await run(['config', 'check', '--json'], {
      env: {
        KLAR_SECRETS_DIR: '/nowhere',
        PORT: 'x',
        CORS_ALLOW_ORIGINS: '*',
        KLAR_PROFILE: 'production',
        STRIPE_SECRET_KEY: 'sk_test_1234',
      },
    });
    assert.equal(code, EXIT.config);
    const { ok, problems } = JSON.parse(out) as {
      ok: boolean;
      problems: { name: string; mend: string; processes: string[] }[];
    };
    assert.equal(ok, false);
    const names = problems.map(({ name }) => name);
    for (const name of [
      'PORT',
      'CORS_ALLOW_ORIGINS',
      'NODE_ENV',
      'STRIPE_SECRET_KEY',
      'AUTH_SECRET',
      'DATABASE_URL_API',
      'DATABASE_URL_INGEST',
      'SMTP_URL',
      'STRIPE_WEBHOOK_SECRET',
    ]) {
      assert.ok(names.includes(name), name);
    }
    assert.deepEqual(problems.find(({ name }) => name === 'NODE_ENV')?.processes, ['api', 'webhook-ingest', 'worker']);
    assert.ok(!out.includes('sk_test_1234'));
  });

  it('exits 0 when all is good, and shows origins but no secret', async () => {
    const env = {
      KLAR_SECRETS_DIR: '/nowhere',
      DATABASE_URL: 'postgres://u:hunter2hunter2@h/d',
      STRIPE_WEBHOOK_SECRET: 'whsec_hidden123',
      S3_ENDPOINT: 'https://u:pw123456@s3.test',
    };
    const { code, out } = await run(['config', 'check', '--process', 'webhook-ingest'], { env });
    assert.equal(code, EXIT.ok, out);
    assert.match(out, /DATABASE_URL +env +generation [0-9a-f]{8}/);
    assert.match(out, /INGEST_PORT +default +3001/);
    for (const hidden of ['hunter2', 'whsec_hidden123', 'pw123456']) assert.ok(!out.includes(hidden), hidden);
  });

  it('needs nothing for all-in-one', async () => {
    assert.equal((await run(['config', 'check', '--process', 'all-in-one'])).code, EXIT.ok);
  });
});
