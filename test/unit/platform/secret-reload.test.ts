import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  generateSecret,
  inspectSettings,
  loadSettings,
  type SecretEvent,
  type Settings,
  SPEC,
} from '#platform/config/index.ts';
import { readSecretFiles } from '../../../services/platform/config/secret-files.ts';
import { until } from '../../support/until.ts';

const NAME = 'STRIPE_WEBHOOK_SECRET';

describe('secrets from files', () => {
  let root: string;
  let dir: string;
  let watching: { close(): void; checkNow(): void } | undefined;
  const events: SecretEvent[] = [];

  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'klar-secrets-'));
    dir = path.join(root, NAME);
    mkdirSync(dir);
    events.length = 0;
  });
  afterEach(() => {
    watching?.close();
    rmSync(root, { recursive: true });
  });

  const env = () => ({ DATABASE_URL: 'postgres://u@h/d', KLAR_SECRETS_DIR: root });
  const load = (): Settings => {
    const settings = loadSettings('webhook-ingest', env());
    watching = settings.meta.watch((event) => events.push(event));
    return settings;
  };
  const values = (settings: Settings) => settings[NAME]?.accepted().map(({ value }) => value);
  const write = (name: string, text: string) => writeFileSync(path.join(dir, name), text);

  /** As Kubernetes replaces a mounted secret: a new folder, then one rename of the symlink `..data`. */
  function publish(version: string, files: Record<string, string>): void {
    mkdirSync(path.join(dir, `..${version}`));
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(dir, `..${version}`, name), text);
    symlinkSync(`..${version}`, path.join(dir, '..data_tmp'));
    renameSync(path.join(dir, '..data_tmp'), path.join(dir, '..data'));
    for (const name of Object.keys(files)) {
      try {
        symlinkSync(path.join('..data', name), path.join(dir, name));
      } catch {
        // there since the first version
      }
    }
  }

  it('give the current value first, then the previous one, without the newline an editor adds', () => {
    write('current', 'whsec_two\n');
    write('previous', 'whsec_one\r\n');
    const settings = load();
    assert.deepEqual(values(settings), ['whsec_two', 'whsec_one']);
    assert.equal(settings[NAME]?.origin, 'file');
    assert.notEqual(settings[NAME]?.accepted()[0]?.generation, settings[NAME]?.accepted()[1]?.generation);
  });

  it('keep a signing key when another kind of key is put in its place, which would end every process at once', async () => {
    const key = generateSecret('AUTH_JWT_KEY');
    mkdirSync(path.join(root, 'AUTH_JWT_KEY'));
    const file = path.join(root, 'AUTH_JWT_KEY', 'current');
    writeFileSync(file, key);
    const { settings } = inspectSettings('api', env());
    watching = settings.meta.watch((event) => events.push(event));
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file, rsa);
    const [event] = await until(() => (events.length > 0 ? events : undefined));
    assert.deepEqual([event?.name, event?.change], ['AUTH_JWT_KEY', 'kept']);
    assert.equal(settings.AUTH_JWT_KEY?.current(), key);
  });

  it('name the generation that a file beside them says', () => {
    write('current', 'whsec_two');
    write('generation', '7\n');
    assert.equal(load()[NAME]?.generation(), '7');
  });

  it('follow an atomic swap as Kubernetes does it, and tell the listeners once', async () => {
    publish('v1', { current: 'whsec_one' });
    const settings = load();
    let told = 0;
    settings[NAME]?.onChange(() => {
      told += 1;
    });
    publish('v2', { current: 'whsec_two', previous: 'whsec_one' });
    await until(() => settings[NAME]?.current() === 'whsec_two');
    assert.deepEqual(values(settings), ['whsec_two', 'whsec_one']);
    publish('v3', { current: 'whsec_two' });
    await until(() => values(settings)?.length === 1);
    assert.equal(told, 2);
    assert.deepEqual(settings.meta.secretValues().includes('whsec_two'), true);
  });

  for (const volume of ['a volume each', 'one volume'])
    it(`are always read of one moment, with ${volume}, while another process swaps them and deletes the old ones`, async () => {
      const inside = volume === 'one volume' ? `/${NAME}` : '';
      if (inside) {
        rmSync(dir, { recursive: true });
        symlinkSync(`..data/${NAME}`, dir);
      }
      // What the kubelet does, as fast as it can: write a new folder, swap ..data, delete the old folder.
      const swapper = spawn(process.execPath, [
        '-e',
        `const fs = require('fs'), [, dir, inside] = process.argv;
       for (let i = 1; ; i++) {
         fs.mkdirSync(dir + '/..v' + i + inside, { recursive: true });
         for (const [name, text] of [['current', 'whsec_' + i], ['previous', 'whsec_' + (i - 1)], ['generation', '' + i]]) fs.writeFileSync(dir + '/..v' + i + inside + '/' + name, text);
         fs.symlinkSync('..v' + i, dir + '/..data_tmp');
         fs.renameSync(dir + '/..data_tmp', dir + '/..data');
         fs.rmSync(dir + '/..v' + (i - 1), { recursive: true, force: true });
       }`,
        inside ? root : dir,
        inside,
      ]);
      try {
        const source = { name: NAME, row: SPEC[NAME], at: { dir } };
        const seen = new Set<string>();
        const torn: string[] = [];
        await until(
          () => {
            for (let i = 0; i < 200; i += 1) {
              const reading = readSecretFiles(source);
              if (!reading.ok) continue; // three swaps within one reading: the last good value stays
              const [current, previous] = reading.values;
              const [now, before] = [current.value, previous?.value].map((value) => Number(value?.slice(6)));
              if (before !== Number(now) - 1 || current.generation !== `${now}`) torn.push(JSON.stringify(reading));
              seen.add(current.value);
            }
            return seen.size > 200;
          },
          { timeoutMs: 15_000 },
        );
        assert.deepEqual(torn.slice(0, 3), []);
      } finally {
        swapper.kill('SIGKILL');
        await new Promise((resolve) => swapper.once('exit', resolve));
      }
    });

  for (const [what, break_] of Object.entries({
    'an empty file': () => write('current', ''),
    'a file of white space': () => write('current', ' \n\n'),
    'a half-written value': () => write('current', 'whs'),
    'a removed file': () => unlinkSync(path.join(dir, 'current')),
    'a removed folder': () => rmSync(dir, { recursive: true }),
    'a folder in its place': () => {
      unlinkSync(path.join(dir, 'current'));
      mkdirSync(path.join(dir, 'current'));
    },
  })) {
    it(`keep the last good value over ${what}, say so once, and recover`, async () => {
      write('current', 'whsec_good');
      const settings = load();
      break_();
      await until(() => events.length > 0);
      assert.deepEqual(values(settings), ['whsec_good']);
      assert.equal(events[0]?.change, 'kept');
      watching?.checkNow();
      watching?.checkNow();
      assert.equal(events.length, 1);
      assert.ok(!JSON.stringify(events).includes('whsec_good'));
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      write('current', 'whsec_new');
      await until(() => settings[NAME]?.current() === 'whsec_new');
    });
  }

  it('do not take a value that is still being written', async () => {
    write('current', 'whsec_good');
    const settings = load();
    const seen: string[] = [];
    settings[NAME]?.onChange(() => seen.push(settings[NAME]?.current() ?? ''));
    for (let length = 8; length <= 26; length += 1) {
      write('current', 'whsec_abcdefghijklmnopqrst'.slice(0, length));
      watching?.checkNow();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(() => settings[NAME]?.current() === 'whsec_abcdefghijklmnopqrst');
    assert.deepEqual(seen, ['whsec_abcdefghijklmnopqrst']);
  });

  it('come from the file that <NAME>_FILE names, and follow it', async () => {
    const file = path.join(root, 'my-secret');
    writeFileSync(file, 'whsec_file\n');
    rmSync(dir, { recursive: true });
    const settings = loadSettings('webhook-ingest', { ...env(), [`${NAME}_FILE`]: file });
    watching = settings.meta.watch();
    assert.equal(settings[NAME]?.current(), 'whsec_file');
    writeFileSync(`${file}.new`, 'whsec_next');
    renameSync(`${file}.new`, file);
    await until(() => settings[NAME]?.current() === 'whsec_next');
  });

  it('are a problem when missing, empty, of the wrong shape, unreadable or given twice', () => {
    const names = (more: Record<string, string>) => inspectSettings('webhook-ingest', { ...env(), ...more }).problems;
    assert.match(names({})[0]?.problem ?? '', /cannot be read \(ENOENT\)/);
    write('current', '');
    assert.match(names({})[0]?.problem ?? '', /is empty/);
    write('current', 'sk_test_x');
    assert.match(names({})[0]?.problem ?? '', /whsec_/);
    assert.ok(!JSON.stringify(names({})).includes('sk_test_x'));
    write('current', 'whsec_x');
    assert.deepEqual(names({}), []);
    assert.equal(
      names({ [NAME]: 'whsec_y', [`${NAME}_FILE`]: '/nowhere' })[0]?.problem.startsWith('is given twice'),
      true,
    );
    assert.match(names({ [`${NAME}_FILE`]: '/nowhere' })[0]?.problem ?? '', /\/nowhere cannot be read/);
  });
});
