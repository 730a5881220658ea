import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type ProcessName, SPEC } from '#platform/config/index.ts';
import { ensureDatabase } from '#platform/db/setup.ts';
import { mounts, onLoopback, published, ROOT, readComposition } from '../support/compose.ts';
import { once, startOwnPostgres, type TestServer, withDatabase } from '../support/database.ts';
import { imageEnvironment } from '../support/dockerfile.ts';
import { freePorts, type KlarProcess, startProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
const SERVERS = ['api', 'webhook-ingest', 'worker', 'sandbox'];
/** Which row of the settings table a service reads. */
const PROCESS: Record<string, ProcessName> = {
  api: 'api',
  'webhook-ingest': 'webhook-ingest',
  worker: 'worker',
  sandbox: 'all-in-one',
  klar: 'cli',
};
const PORT_SETTINGS = ['PORT', 'INGEST_PORT', 'ADMIN_PORT', 'SANDBOX_PORT', 'SANDBOX_MAIL_PORT'] as const;

describe('compose.yaml', () => {
  const { services, volumes, networks } = readComposition();

  for (const [name, service] of Object.entries(services)) {
    describe(name, () => {
      it('is hardened: read-only, without capabilities, never root', () => {
        assert.equal(service.read_only, true);
        assert.deepEqual(service.cap_drop, ['ALL']);
        assert.deepEqual(service.security_opt, ['no-new-privileges:true']);
        assert.match(service.user, name === 'postgres' ? /^postgres$/ : /^10001:10001$/);
      });

      it('has a health check and restarts, or ends by itself', () => {
        const ends = service.restart === 'no' || service.profiles.includes('tools');
        assert.equal(service.healthcheck === undefined, ends);
        assert.equal(service.restart === 'unless-stopped', !ends);
      });

      it('is reached from this machine only', () => {
        for (const { address } of published(service)) assert.equal(address, '127.0.0.1');
      });

      it('names volumes, networks and settings that exist', () => {
        for (const { volume } of mounts(service)) assert.ok(volume in volumes, volume);
        for (const network of service.networks) assert.ok(network in networks, network);
        if (name === 'postgres') return;
        for (const setting of Object.keys(service.environment)) {
          assert.ok(setting.replace(/_FILE$/, '') in SPEC, setting);
        }
      });

      it('is told no secret but the password of the local database, and that one in setup alone', () => {
        for (const [setting, value] of Object.entries(service.environment)) {
          const secret = setting in SPEC && SPEC[setting as keyof typeof SPEC].secret;
          const carries = URL.canParse(value) && new URL(value).password !== '';
          if (name === 'setup' && setting === 'DATABASE_URL_SUPERUSER') continue;
          assert.ok(!carries, `${setting} carries a password`);
          assert.ok(!secret || setting === 'SMTP_URL', `${setting} is a secret: use ${setting}_FILE`);
        }
      });
    });
  }

  it('lets nobody but setup write where secrets are', () => {
    const writers = Object.entries(services).filter(([, service]) =>
      mounts(service).some(({ volume, readOnly }) => /secrets|stripe/.test(volume) && !readOnly),
    );
    assert.deepEqual(
      writers.map(([name]) => name),
      ['setup'],
    );
  });

  it('keeps the database from whom it does not concern', () => {
    assert.equal(networks.database?.internal, true);
    assert.ok(!services.sandbox?.networks.includes('database'));
    assert.deepEqual(services.postgres?.ports, []);
  });
});

describe('compose.yaml, run without an engine', function () {
  this.timeout(180_000);
  let folder: string;
  let postgres: TestServer;
  let composition: ReturnType<typeof readComposition>;
  let here: (name: string, text: string) => string;
  const running = new Map<string, KlarProcess>();
  const ports = new Map<string, number>();

  const service = (name: string) => {
    const found = composition.services[name];
    assert.ok(found, `there is no service ${name}`);
    return found;
  };
  const portOf = (name: string, port: number) => {
    const found = name === 'postgres' ? postgres.port : ports.get(`${name}:${port}`);
    assert.ok(found, `nothing listens on ${name}:${port}`);
    return found;
  };
  /** What the image and compose.yaml give a service, and the ports it is moved to. */
  const environmentOf = (name: string): Record<string, string> => {
    const { NODE_ENV, KLAR_PROFILE } = imageEnvironment();
    const own = Object.entries(service(name).environment).map(([key, value]) => [key, here(name, value)]);
    const moved = PORT_SETTINGS.map((setting) => [setting, ports.get(`${name}:${SPEC[setting].fallback}`)]);
    return {
      ...(NODE_ENV && KLAR_PROFILE ? { NODE_ENV, KLAR_PROFILE } : {}),
      ...Object.fromEntries(own),
      ...Object.fromEntries(moved.filter(([, port]) => port !== undefined).map(([key, port]) => [key, String(port)])),
      PATH: `${ROOT}/services/cli:${process.env.PATH}`,
    };
  };
  /** Runs what ends: setup, a health check, a command of klar. */
  const execute = async (name: string, command: string[]) => {
    const [program = '', ...args] = command.map((word) => here(name, word));
    return (await run(program, args, { cwd: ROOT, env: environmentOf(name) })).stdout;
  };
  const setUp = () => execute('setup', [...(service('setup').entrypoint ?? []), ...(service('setup').command ?? [])]);
  const secretsOf = async (name: string): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const { volume } of mounts(service(name)).filter((mount) => mount.readOnly)) {
      for (const secret of await readdir(path.join(folder, 'volumes', volume))) {
        found[secret] = (await readFile(path.join(folder, 'volumes', volume, secret, 'current'), 'utf8')).trim();
      }
    }
    return found;
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-compose-'));
    postgres = await startOwnPostgres();
    await ensureDatabase(postgres.superuserUrl, 'klar');
    const [api = 0, ingest = 0, sandbox = 0, ...rest] = await freePorts(3 + SERVERS.length * PORT_SETTINGS.length);
    composition = readComposition({
      PORT: String(api),
      INGEST_PORT: String(ingest),
      SANDBOX_PORT: String(sandbox),
      POSTGRES_PASSWORD: new URL(postgres.superuserUrl).password,
    });
    for (const name of SERVERS) {
      for (const setting of PORT_SETTINGS) ports.set(`${name}:${SPEC[setting].fallback}`, rest.pop() ?? 0);
      for (const { host, container } of published(service(name))) ports.set(`${name}:${container}`, host);
    }
    here = onLoopback(composition, folder, portOf);
    for (const volume of Object.keys(composition.volumes)) {
      await mkdir(path.join(folder, 'volumes', volume), { recursive: true });
    }
    await mkdir(path.join(folder, 'tmpfs/setup/run/klar'), { recursive: true });
  });
  after(async () => {
    await Promise.all([...running.values()].map((process) => process.stop()));
    await postgres?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('sets up: secrets, roles, schema', async () => {
    const output = await setUp();
    assert.match(output, /made {2}.*AUTH_JWT_KEY/);
    assert.match(output, /alter role klar_ingest_a password \.\.\./);
    for (const secret of Object.values(await secretsOf('api'))) assert.ok(!output.includes(secret));
  });

  it('starts every process from what it is given, until its health check is content', async () => {
    for (const name of SERVERS) {
      const [entry = '', ...args] = (service(name).command ?? []).map((word) => here(name, word));
      assert.ok(existsSync(path.join(ROOT, entry)), entry);
      running.set(name, startProcess(entry, environmentOf(name), args));
    }
    for (const name of SERVERS) {
      const [, ...check] = service(name).healthcheck?.test ?? [];
      const process = running.get(name);
      await until(() => execute(name, check).then(() => true), { timeoutMs: 60_000, everyMs: 200, what: name }).catch(
        (cause) => assert.fail(`${name}: ${cause.message}\n${process?.output()}`),
      );
    }
  });

  it('gives each process the secrets that it may hold, and no others', async () => {
    for (const name of [...SERVERS, 'klar']) {
      for (const secret of Object.keys(await secretsOf(name))) {
        const { processes }: { processes?: readonly ProcessName[] | undefined } = SPEC[secret as keyof typeof SPEC];
        assert.ok(processes?.includes(PROCESS[name] as ProcessName), `${name} holds ${secret}`);
      }
    }
    assert.deepEqual(Object.keys(await secretsOf('webhook-ingest')).sort(), [
      'DATABASE_URL_INGEST',
      'STRIPE_WEBHOOK_SECRET',
    ]);
    assert.deepEqual(Object.keys(await secretsOf('klar')), ['DATABASE_URL_OPS']);
    const held = Object.keys(await secretsOf('sandbox')).sort();
    assert.deepEqual(held, ['STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET']);
  });

  it('sells a course: ordered at the api, paid at the sandbox, told to the ingest, done by the worker', async () => {
    const demo = startProcess('scripts/demo.ts', {}, ['--base-url', `http://127.0.0.1:${portOf('api', 3000)}`]);
    const logs = () => [...running].map(([name, { output }]) => `--- ${name}\n${output()}`).join('\n');
    assert.equal(await demo.exited, 0, `${demo.output()}\n${logs()}`);
    assert.match(demo.output(), /enrolled/);
    const mailbox = `http://127.0.0.1:${portOf('sandbox', 3900)}/sandbox/mail`;
    await until(async () => /receipt/i.test(await (await fetch(mailbox)).text()), { what: 'the receipt by mail' });
  });

  it('logs in to the database with one role a process', async () => {
    const rows = await once(
      withDatabase(postgres.superuserUrl, 'klar'),
      `select distinct application_name as app, usename as login from pg_stat_activity where application_name like 'klar %'`,
    );
    const logins = Map.groupBy(rows, ({ login }) => String(login));
    assert.deepEqual([...logins.keys()].sort(), ['klar_api_a', 'klar_auth_a', 'klar_ingest_a', 'klar_worker_a']);
    for (const sessions of logins.values()) assert.equal(sessions.length, 1);
  });

  it('lets an operator look at the inbox with the login for that', async () => {
    const [entrypoint = ''] = service('klar').entrypoint ?? [];
    const { data } = JSON.parse(await execute('klar', [entrypoint, 'webhooks', 'list', '--json']));
    assert.ok(data.some(({ type }: { type: string }) => type === 'checkout.session.completed'));
  });

  it('sets up again at the next start, and changes nothing but the password that nobody keeps', async () => {
    const before = await Promise.all(SERVERS.map(secretsOf));
    await rm(path.join(folder, 'tmpfs/setup/run/klar/DATABASE_URL_MIGRATOR'), { recursive: true });
    const output = await setUp();
    assert.deepEqual(await Promise.all(SERVERS.map(secretsOf)), before);
    assert.deepEqual(
      output.match(/^(made .*|alter .*|create .*)$/gm)?.map((line) => line.replace(/^made .*run\/klar\//, '')),
      ['DATABASE_URL_MIGRATOR/current', 'alter role klar_migrator_a password ...'],
    );
    assert.match(output, /up to date/);
  });

  it('stops every process with 0', async () => {
    for (const [name, process] of running) assert.equal(await process.stop(), 0, `${name}\n${process.output()}`);
  });
});
