import { deepEqual, equal } from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compileFlags, FLAGS } from '#domain/flags/index.ts';
import { type AllInOne, createAllInOne } from '../../support/all-in-one.ts';
import { until } from '../../support/until.ts';

describe('npm start and flags', function () {
  this.timeout(120_000);
  let folder: string;
  let file: string;
  let klar: AllInOne;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-start-flags-'));
    file = path.join(folder, 'flags.yaml');
    await copyFile('flags.yaml', file);
    klar = await createAllInOne({ KLAR_FLAGS_FILE: file });
    await klar.start();
  });
  after(async () => {
    await klar?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const flags = async () =>
    ((await (await fetch(`${klar.adminUrl}/versionz`)).json()) as { flags: Record<string, unknown> }).flags;
  const versionOf = (text: string) => {
    const result = compileFlags(text, FLAGS);
    return result.ok ? result.set.version : '';
  };

  it('runs flags.yaml and follows it while it is edited; what is half written changes nothing', async () => {
    const text = await readFile(file, 'utf8');
    deepEqual([(await flags()).version, (await flags()).source], [versionOf(text), 'file']);
    const off = text.replace('defaultVariant: "on"', 'defaultVariant: "off"');
    await writeFile(file, off.slice(0, 400));
    await until(async () => (await flags()).problem !== null, { what: 'the half document is told' });
    equal((await flags()).version, versionOf(text));
    await writeFile(file, off);
    await until(async () => (await flags()).version === versionOf(off), { what: 'the flip', timeoutMs: 5_000 });
    equal((await flags()).problem, null);
  });
});
