import { deepEqual, equal, match, ok } from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  canonicalDocument,
  compileFlags,
  FLAGS,
  type FlagEvent,
  type FlagStore,
  renderLive,
  watchFlags,
} from '#domain/flags/index.ts';
import { fakeClock } from '#platform/clock/index.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';
import { MUTATIONS } from '../../unit/flags/mutations.ts';

const checkout = (position: 'on' | 'off') => {
  const document = sample();
  Object.assign(document.flags['checkout-enabled'] as object, { defaultVariant: position });
  return json(document);
};

describe('flags of a file', () => {
  let folder: string;
  let file: string;
  let store: FlagStore | undefined;
  const events: FlagEvent[] = [];
  const clock = fakeClock('2026-06-01T00:00:00Z');

  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'klar-flags-'));
    file = path.join(folder, 'flags.json');
    events.length = 0;
  });
  afterEach(() => {
    store?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const open = (more: { acceptShrinkFile?: string } = {}) => {
    store = watchFlags({ file, code: FLAGS, clock, report: (event) => events.push(event), ...more });
    return store;
  };
  const isOn = () => store?.current()?.flags.get('checkout-enabled')?.evaluate({}).value;
  const kept = (says: RegExp) =>
    until(() => events.some((event) => event.change === 'kept' && says.test(event.problem)), { what: String(says) });
  const shows = (value: boolean) => until(() => isOn() === value, { what: `checkout-enabled ${value}` });

  it('are there as soon as the store is', () => {
    writeFileSync(file, checkout('off'));
    const { loadedAt, problem, version } = open().state();
    equal(isOn(), false);
    deepEqual([loadedAt, problem], [clock.now(), null]);
    match(version ?? '', /^[0-9a-f]{12}$/);
  });

  it('change soon after the file does', async () => {
    writeFileSync(file, checkout('on'));
    const first = open().state().version;
    writeFileSync(file, checkout('off'));
    await shows(false);
    deepEqual(events.at(-1), { change: 'loaded', version: store?.state().version, previous: first, source: 'file' });
  });

  it('tell those who asked to be told', async () => {
    writeFileSync(file, checkout('on'));
    const seen: string[] = [];
    const stop = open().onChange((set) => seen.push(set.version));
    writeFileSync(file, checkout('off'));
    await until(() => seen.length === 1);
    stop();
    writeFileSync(file, checkout('on'));
    await shows(true);
    equal(seen.length, 1);
  });

  it('are the defaults of the code until there is a file', async () => {
    const { version, loadedAt, problem } = open().state();
    deepEqual([version, loadedAt, isOn()], [null, null, undefined]);
    match(problem?.text ?? '', /cannot be read \(.*ENOENT\)\. Put the file back/);
    writeFileSync(file, checkout('off'));
    await shows(false);
    equal(store?.state().problem, null);
  });

  it('stay when the file is half written, until it is whole', async () => {
    writeFileSync(file, checkout('on'));
    open();
    const next = checkout('off');
    writeFileSync(file, next.slice(0, next.length / 2));
    await kept(/not well formed.*cut off/);
    equal(isOn(), true);
    writeFileSync(file, next);
    await shows(false);
    equal(store?.state().problem, null);
  });

  it('say nothing of a half that is whole a moment later', async () => {
    writeFileSync(file, checkout('on'));
    open();
    const next = checkout('off');
    writeFileSync(file, next.slice(0, next.length / 2));
    store?.checkNow();
    writeFileSync(file, next);
    await shows(false);
    ok(
      events.every(({ change }) => change === 'loaded'),
      JSON.stringify(events),
    );
  });

  it('stay when the file is deleted, and change when it comes back', async () => {
    writeFileSync(file, checkout('off'));
    open();
    unlinkSync(file);
    await kept(/ENOENT/);
    equal(isOn(), false);
    writeFileSync(file, checkout('on'));
    await shows(true);
  });

  it('follow the link that kubelet swaps', async () => {
    const put = (name: string, text: string) => {
      mkdirSync(path.join(folder, name));
      writeFileSync(path.join(folder, name, 'flags.json'), text);
      symlinkSync(name, path.join(folder, '..data_tmp'));
      renameSync(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
    };
    put('..2026_1', checkout('on'));
    symlinkSync(path.join('..data', 'flags.json'), file);
    open();
    equal(isOn(), true);
    put('..2026_2', checkout('off'));
    rmSync(path.join(folder, '..2026_1'), { recursive: true });
    await shows(false);
    ok(
      events.every(({ change }) => change === 'loaded'),
      JSON.stringify(events),
    );
  });

  it('change through none of the mutations, and each is told', async () => {
    writeFileSync(file, checkout('off'));
    const { version } = open().state();
    for (const { name, text, says } of MUTATIONS) {
      // Beside and renamed: one event a mutation.
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
      const wanted = name === 'over 1 MiB' ? /the most is 1048576/ : says;
      await until(
        () => {
          store?.checkNow();
          return wanted.test(store?.state().problem?.text ?? '');
        },
        { what: name },
      );
      deepEqual([isOn(), store?.state().version], [false, version], name);
    }
    writeFileSync(file, checkout('on'));
    await shows(true);
  });

  it('tell what is wrong once, and since when', async () => {
    writeFileSync(file, checkout('on'));
    open();
    writeFileSync(file, '{}');
    await kept(/^flags .*is missing/);
    const since = store?.state().problem?.since;
    clock.advance(60_000);
    store?.checkNow();
    // Longer than a bad file is given to settle: only then would it be told again.
    await new Promise((resolve) => setTimeout(resolve, 150));
    equal(events.filter(({ change }) => change === 'kept').length, 1);
    deepEqual(store?.state().problem?.since, since);
  });

  it('say that what was wrong is mended, also when the flags stay the same', async () => {
    writeFileSync(file, checkout('on'));
    const { version } = open().state();
    writeFileSync(file, '{}');
    await kept(/^flags .*is missing/);
    writeFileSync(file, `${checkout('on')}\n`);
    await until(() => store?.state().problem === null);
    deepEqual(events.at(-1), { change: 'recovered', version, source: 'file' });
    equal(events.filter(({ change }) => change === 'loaded').length, 1);
  });

  it('are not read into memory when the file is too large', async () => {
    writeFileSync(file, checkout('off'));
    open();
    // Sparse: 8 GiB that no string could hold, so only the size can be what was looked at.
    truncateSync(file, 8 * 1024 ** 3);
    await kept(/is 8589934592 bytes long, the most is 1048576/);
    equal(isOn(), false);
  });

  it('complain once of a file that goes on changing while it is bad', async () => {
    writeFileSync(file, checkout('on'));
    open();
    for (let i = 0; i < 40 && store?.state().problem == null; i += 1) {
      writeFileSync(file, `{"flags": [${i}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    ok(store?.state().problem, 'a file that changes every 10 ms put off its complaint');
  });

  describe('by the controller', () => {
    const live = (sequence: number, position: 'on' | 'off', change: { version?: string } = {}) => {
      const result = compileFlags(checkout(position), FLAGS);
      if (!result.ok) throw new Error('bad sample');
      const { version, document } = result.set;
      return renderLive({ sequence, version, document: canonicalDocument(document), ...change });
    };

    it('win by their sequence, not by who wrote last', async () => {
      writeFileSync(file, live(7, 'on'));
      deepEqual([open().state().sequence, isOn()], [7, true]);
      writeFileSync(file, live(8, 'off'));
      await shows(false);
      writeFileSync(file, live(6, 'on'));
      store?.checkNow();
      deepEqual([store?.state().sequence, isOn(), store?.state().problem], [8, false, null]);
      writeFileSync(file, live(9, 'on'));
      await shows(true);
    });

    it('are refused when somebody edited them by hand', async () => {
      writeFileSync(file, live(7, 'on'));
      open();
      writeFileSync(file, live(8, 'off', { version: '0123456789ab' }));
      await kept(/says version 0123456789ab, but its flags are version [0-9a-f]{12}\. Change the source instead/);
      equal(isOn(), true);
    });

    it('may shrink, as the controller judged that', async () => {
      writeFileSync(file, live(7, 'on'));
      open();
      const result = compileFlags(json({ flags: { 'page-size': sample().flags['page-size'] } }), FLAGS);
      if (!result.ok) throw new Error('bad sample');
      const document = canonicalDocument(result.set.document);
      writeFileSync(file, renderLive({ sequence: 8, version: result.set.version, document }));
      await until(() => store?.current()?.flags.size === 1);
    });
  });

  it('do not shrink by more than half, until the version is accepted by name', async () => {
    writeFileSync(file, checkout('on'));
    const acceptShrinkFile = path.join(folder, 'accept-shrink');
    open({ acceptShrinkFile });
    const document = sample();
    const { 'page-size': only } = document.flags;
    writeFileSync(file, json({ flags: { 'page-size': only } }));
    await kept(/drops 3 of 4 flags\. If that is meant, accept version [0-9a-f]{12}/);
    equal(store?.current()?.flags.size, 4);
    const version = /accept version ([0-9a-f]{12})/.exec(store?.state().problem?.text ?? '')?.[1] ?? '';
    writeFileSync(acceptShrinkFile, 'another');
    store?.checkNow();
    equal(store?.current()?.flags.size, 4);
    writeFileSync(acceptShrinkFile, `${version}\n`);
    await until(() => store?.current()?.flags.size === 1);
    equal(store?.state().version, version);
  });
});
