import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
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
