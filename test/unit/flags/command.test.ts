import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { canonicalDocument, compileFlags, FLAGS, renderLive } from '#domain/flags/index.ts';
import { runCli } from '../../../services/cli/main.ts';
import { json, sample } from './documents.ts';

describe('klar flags', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'klar-flags-'));
    file = path.join(folder, 'flags.json');
    await writeFile(file, json(sample()));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function flags(...argv: string[]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const code = await runCli({ argv: ['flags', ...argv], stdout, stderr, env: {} });
    const text = async (stream: PassThrough) => (await stream.end().toArray()).join('');
    return { code, out: await text(stdout), err: await text(stderr) };
  }

  it('list: the flags of flags.yaml', async () => {
    const { code, out } = await flags('list', '--json');
    equal(code, 0);
    deepEqual(
      JSON.parse(out).flags.map(({ flag }: { flag: string }) => flag),
      ['checkout-enabled', 'webhook-handling-enabled'],
    );
    match((await flags('list')).out, /^Version [0-9a-f]{12}\nFLAG .*\ncheckout-enabled +kill-switch +ENABLED +on/);
  });

  it('lint: 0 for flags.yaml, 1 for what differs from the code or is refused, with the place', async () => {
    const good = await flags('lint');
    deepEqual([good.code, good.out.startsWith('flags.yaml is good: 2 flags')], [0, true]);
    const differs = await flags('lint', '--file', file, '--json');
    equal(differs.code, 1);
    const { ok, problems } = JSON.parse(differs.out);
    deepEqual([ok, problems[0].path], [false, 'flags.new-player']);
    await writeFile(file, json(sample()).replace('"ENABLED"', '"enabled"'));
    const refused = await flags('lint', '--file', file);
    equal(refused.code, 1);
    match(refused.out, /flags\.json: flags\.checkout-enabled\.state \(line 4, column 7\) is "enabled"\. Write ENABLED/);
  });

  it('lint: 1 for a flag that is past its day', async () => {
    const { flags: all } = sample();
    const { 'new-player': one } = all;
    await writeFile(file, json({ flags: { ...all, 'new-player': one } }).replaceAll('2027-01-31', '2020-01-31'));
    match((await flags('lint', '--file', file)).out, /new-player expired on 2020-01-31/);
    const stale = await flags('stale', '--file', file);
    equal(stale.code, 1);
    match(stale.out, /new-player +2020-01-31 +-\d+ EXPIRED +learning/);
  });

  it('set: turns a flag in a file, keeps the comments, and says what changed', async () => {
    const yaml = path.join(folder, 'flags.yaml');
    await writeFile(yaml, await readFile('flags.yaml', 'utf8'));
    const set = await flags('set', 'checkout-enabled', 'off', '--file', yaml, '--json');
    equal(set.code, 0, set.err);
    const told = JSON.parse(set.out);
    deepEqual([told.changed, told.from, told.to, told.targeting], [true, 'on', 'off', 'none']);
    match(told.version, /^[0-9a-f]{12}$/);
    const text = await readFile(yaml, 'utf8');
    match(text, /^# The flags of Klar[\s\S]*defaultVariant: "?off"?\n[\s\S]*\.\.\.\n$/);
    const shown = await flags('explain', 'checkout-enabled', '--file', yaml, '--json');
    deepEqual([JSON.parse(shown.out).value, JSON.parse(shown.out).version], [false, told.version]);
    match((await flags('set', 'checkout-enabled', 'off', '--file', yaml)).out, /is off already.*Nothing was written/);
  });

  it('set: says that targeting decides first, and takes it away when told to', async () => {
    match((await flags('set', 'new-player', 'on', '--file', file)).out, /new-player: off -> on.*\nIts targeting still/);
    const set = await flags('set', 'new-player', 'off', '--file', file, '--everybody', '--json');
    equal(JSON.parse(set.out).targeting, 'removed');
    equal(JSON.parse(await readFile(file, 'utf8')).flags['new-player'].targeting, undefined);
  });

  it('set: refuses an unknown flag or variant, and a document that is bad, and writes nothing', async () => {
    const text = await readFile(file, 'utf8');
    match((await flags('set', 'checkout-enable', 'off', '--file', file)).err, /Did you mean "checkout-enabled"/);
    match(
      (await flags('set', 'checkout-enabled', 'of', '--file', file)).err,
      /has no variant "of"\. There is: on, off/,
    );
    equal(await readFile(file, 'utf8'), text);
    await writeFile(file, '{}');
    const bad = await flags('set', 'checkout-enabled', 'off', '--file', file);
    equal(bad.code, 1);
    match(bad.err, /flags .*is missing/);
  });

  describe('set in a cluster', () => {
    const before = process.env.PATH;
    /** Stands for kubectl: `get` gives a file, `replace` keeps its input, or refuses it as the API server does. */
    const KUBECTL = `#!/bin/sh
cd "$(dirname "$0")"
printf '%s\\n' "$*" >> calls
case "$*" in
  *"get configmap klar-flags-source"*) cat source.json ;;
  *"get configmap klar-flags -o"*) cat live.json ;;
  *"get configmap klar-flags-status"*) cat status.json ;;
  *replace*) cat > replaced.json; [ ! -e conflict ] || { echo 'the object has been modified; please apply your changes' >&2; exit 1; } ;;
esac
`;
    beforeEach(async () => {
      await writeFile(path.join(folder, 'kubectl'), KUBECTL, { mode: 0o755 });
      process.env.PATH = `${folder}:${before}`;
      const map = {
        metadata: { name: 'klar-flags-source', resourceVersion: '7' },
        data: { 'flags.yaml': await readFile('flags.yaml', 'utf8') },
      };
      await writeFile(path.join(folder, 'source.json'), json(map));
    });
    afterEach(() => {
      process.env.PATH = before;
    });
    const status = (version: string, conditions: object[]) =>
      writeFile(
        path.join(folder, 'status.json'),
        json({ metadata: {}, data: { version, conditions: json(conditions) } }),
      );

    it('replaces what was read, says who, and waits until every pod runs it', async () => {
      const there = path.join(folder, 'flags.yaml');
      await writeFile(there, await readFile('flags.yaml', 'utf8'));
      const { version } = JSON.parse((await flags('set', 'checkout-enabled', 'off', '--file', there, '--json')).out);
      await status(version, [
        { type: 'SourceValid', status: 'True', message: '' },
        { type: 'Distributed', status: 'True', message: 'All 6 ready pods run it.' },
      ]);
      const { code, out } = await flags('set', 'checkout-enabled', 'off', '--namespace', 'school', '--json');
      equal(code, 0);
      deepEqual([JSON.parse(out).distributed, JSON.parse(out).detail], [true, 'All 6 ready pods run it.']);
      const replaced = JSON.parse(await readFile(path.join(folder, 'replaced.json'), 'utf8'));
      equal(replaced.metadata.resourceVersion, '7');
      match(replaced.metadata.annotations['klar.io/changed-by'], new RegExp(`^${version} cli:`));
      match(replaced.data['flags.yaml'], /checkout-enabled:[^.]*?defaultVariant: "?off/);
      match(
        await readFile(path.join(folder, 'calls'), 'utf8'),
        /^-n school get configmap klar-flags-source -o json\n-n school replace/,
      );
    });

    it('--from-live turns a flag in what is in use while the source is bad, which is said', async () => {
      const source = { metadata: { name: 'klar-flags-source', resourceVersion: '7' }, data: {} };
      const bad = { ...source, data: { 'flags.yaml': 'flags: {', 'flags.json': '{}', 'accept-shrink': 'x' } };
      await writeFile(path.join(folder, 'source.json'), json(bad));
      const refused = await flags('set', 'checkout-enabled', 'off');
      deepEqual([refused.code, /klar flags set checkout-enabled off --from-live/.test(refused.err)], [1, true]);

      const live = (text: string) =>
        writeFile(path.join(folder, 'live.json'), json({ metadata: {}, data: { 'live.json': text } }));
      await live(json(sample()));
      match((await flags('set', 'checkout-enabled', 'off', '--from-live')).err, /klar-flags holds no good set/);

      const compiled = compileFlags(json(sample()), FLAGS);
      if (!compiled.ok) throw new Error('bad sample');
      const { version, document } = compiled.set;
      await live(renderLive({ sequence: 3, version, document: canonicalDocument(document) }));
      // Also when the flag is there already: the source is bad.
      for (const position of ['off', 'on']) {
        const { code, out } = await flags('set', 'checkout-enabled', position, '--from-live', '--wait', '0', '--json');
        deepEqual([code, JSON.parse(out).changed], [0, true]);
        const { data } = JSON.parse(await readFile(path.join(folder, 'replaced.json'), 'utf8'));
        deepEqual(Object.keys(data).sort(), ['accept-shrink', 'flags.yaml']);
        const written = compileFlags(data['flags.yaml'], FLAGS);
        equal(written.ok && written.set.document.flags['checkout-enabled']?.defaultVariant, position);
      }
      match((await flags('set', 'checkout-enabled', 'off', '--from-live', '--file', file)).err, /for a cluster/);
    });

    it('fails when the controller refuses it, when pods do not follow, and when somebody else was faster', async () => {
      await status('0123456789ab', [{ type: 'SourceValid', status: 'False', message: 'It shrinks.' }]);
      const refused = await flags('set', 'checkout-enabled', 'off', '--wait', '1');
      deepEqual([refused.code, /It shrinks\./.test(refused.out)], [1, true]);
      await status('0123456789ab', [{ type: 'SourceValid', status: 'True', message: '' }]);
      match((await flags('set', 'checkout-enabled', 'off', '--wait', '1')).out, /Not every pod runs it after 1 s/);
      await writeFile(path.join(folder, 'conflict'), '');
      match((await flags('set', 'checkout-enabled', 'off')).err, /was changed by somebody else in between/);
    });
  });

  it('stale: 0 when no flag has an end', async () => {
    const { code, out } = await flags('stale');
    deepEqual([code, out], [0, 'No flag has an end: all are permanent.\n']);
  });

  it('explain: what a tenant and a person get, and why', async () => {
    const on = JSON.parse((await flags('explain', 'new-player', '--file', file, '--tenant', 'ten_a', '--json')).out);
    deepEqual([on.value, on.variant, on.reason, on.tenant, on.person], [true, 'on', 'TARGETING_MATCH', 'ten_a', null]);
    const other = await flags('explain', 'new-player', '--file', file, '--tenant', 'ten_z', '--person', 'per_2');
    match(other.out, /^new-player is false \(variant "off"\), because its targeting decides nothing here/);
    match((await flags('explain', 'checkout-enabled')).out, /STATIC[\s\S]*Off: no new checkout session/);
  });

  it('explain: says what the code does while a flag is DISABLED', async () => {
    await writeFile(file, json(sample()).replace('"ENABLED"', '"DISABLED"'));
    match(
      (await flags('explain', 'checkout-enabled', '--file', file)).out,
      /^checkout-enabled is true, because it is DIS/,
    );
  });

  it('tells an unknown flag, an unreadable file and a bad document apart', async () => {
    const unknown = await flags('explain', 'checkout-enable', '--json');
    equal(unknown.code, 1);
    match(unknown.err, /"flag_not_found".*Did you mean \\"checkout-enabled\\"/);
    match((await flags('list', '--file', path.join(folder, 'none'), '--json')).err, /"flags_unreadable".*--file/);
    await writeFile(file, '{}');
    match((await flags('stale', '--file', file)).err, /flags\.json: flags .*is missing.*\(flags_invalid\)/);
  });
});
