import { deepEqual, equal, match } from 'node:assert/strict';
import { canonicalDocument, compileFlags, FLAGS, renderLive } from '#domain/flags/index.ts';
import { type Checked, decide, type Observed } from '../../../services/controller/flags/decide.ts';
import { distributionOf } from '../../../services/controller/flags/distribution.ts';
import { authorOf, readSource } from '../../../services/controller/flags/source.ts';
import { json, sample } from '../flags/documents.ts';

const NOW = new Date('2026-06-01T00:00:00Z');
const SECONDS = (NOW.getTime() - Date.UTC(2025, 0, 1)) / 1_000;

const text = (position: 'on' | 'off', only?: string) => {
  const { flags } = sample();
  Object.assign(flags['checkout-enabled'] as object, { defaultVariant: position });
  return json({ flags: only === undefined ? flags : { [only]: flags[only] } });
};
function checked(sequence: number, source: string): Checked {
  const result = compileFlags(source, FLAGS);
  if (!result.ok) throw new Error('bad sample');
  return { sequence, version: result.set.version, document: canonicalDocument(result.set.document), set: result.set };
}
function observe(source: string | undefined, more: Partial<Observed> & { acceptShrink?: string } = {}): Observed {
  const { acceptShrink, ...rest } = more;
  const { live = 'missing' } = rest;
  return {
    source:
      source === undefined
        ? { state: 'absent' }
        : { state: 'document', text: source, acceptShrink, changedBy: undefined },
    compiled: source === undefined ? undefined : compileFlags(source, FLAGS),
    live,
    liveText: typeof live === 'object' ? renderLive(live) : undefined,
    stored: 'missing',
    memory: undefined,
    ...rest,
  };
}

describe('what the controller decides about flags', () => {
  const on = checked(900, text('on'));
  const off = checked(901, text('off'));

  it('a first source becomes live, in the database and the ConfigMap, with the time as its sequence', () => {
    const plan = decide(observe(text('on')), NOW);
    deepEqual([plan.changed, plan.writeLive, plan.writeStored, plan.restoreSource], [true, true, true, undefined]);
    deepEqual([plan.target?.sequence, plan.target?.version], [SECONDS, on.version]);
    equal(plan.source.valid, true);
  });

  it('nothing at all asks for the defaults', () => {
    const plan = decide(observe(undefined), NOW);
    deepEqual([plan.target, plan.restoreSource, plan.source.reason], [undefined, 'from-defaults', 'SourceMissing']);
  });

  it('no defaults are made while the database, which may hold switches that are off, does not answer', () => {
    equal(decide(observe(undefined, { stored: 'unknown' }), NOW).restoreSource, undefined);
  });

  it('what is live already is not written again', () => {
    const plan = decide(observe(text('on'), { live: on, stored: on }), NOW);
    deepEqual([plan.changed, plan.writeLive, plan.writeStored, plan.target?.sequence], [false, false, false, 900]);
  });

  it('a changed source is later than everything seen, also when the clock was set back', () => {
    const early = new Date('2025-01-01T00:00:10Z');
    const plan = decide(observe(text('off'), { live: on, stored: { ...on, sequence: 950 }, memory: on }), early);
    deepEqual([plan.target?.sequence, plan.target?.version, plan.changed], [951, off.version, true]);
  });

  it('a bad source changes nothing and says how to mend it', () => {
    for (const bad of ['', '{}', '[]', '{"flags":{}}']) {
      const plan = decide(observe(bad, { live: on, stored: on }), NOW);
      deepEqual([plan.writeLive, plan.writeStored, plan.target?.version], [false, false, on.version], bad);
      equal(plan.source.valid, false);
      match(plan.source.message, new RegExp(`\\. Version ${on.version} stays live\\.$`));
    }
    match(decide(observe('{}'), NOW).source.message, /The defaults of the code stay in use\.$/);
  });

  it('half of the flags do not go at once, until their version is accepted by name', () => {
    const small = text('on', 'page-size');
    const { version } = checked(1, small);
    const refused = decide(observe(small, { live: on, stored: on }), NOW);
    deepEqual([refused.source.reason, refused.target?.version], ['SourceShrinks', on.version]);
    match(refused.source.message, new RegExp(`Set the key accept-shrink of the source ConfigMap to ${version}`));
    const other = decide(observe(small, { live: on, stored: on, acceptShrink: 'aaaaaaaaaaaa' }), NOW);
    equal(other.source.valid, false);
    const accepted = decide(observe(small, { live: on, stored: on, acceptShrink: version }), NOW);
    deepEqual([accepted.source.valid, accepted.target?.version], [true, version]);
  });

  it('a lost live ConfigMap comes back from the database, with its sequence', () => {
    const plan = decide(observe(text('off'), { stored: off }), NOW);
    deepEqual([plan.writeLive, plan.writeStored, plan.changed, plan.target?.sequence], [true, false, false, 901]);
  });

  it('an emptied or restored database gets what is live', () => {
    for (const stored of ['missing', on] as const) {
      const plan = decide(observe(text('off'), { live: off, stored }), NOW);
      deepEqual([plan.writeLive, plan.writeStored, plan.target?.sequence], [false, true, 901]);
    }
  });

  it('a database that is away holds up nothing', () => {
    const plan = decide(observe(text('off'), { live: on, stored: 'unknown' }), NOW);
    deepEqual([plan.writeLive, plan.writeStored, plan.target?.version], [true, false, off.version]);
  });

  it('a deleted source comes back from what is live, which stays', () => {
    const plan = decide(observe(undefined, { live: off, stored: off }), NOW);
    deepEqual([plan.restoreSource, plan.target?.version, plan.writeLive], ['from-live', off.version, false]);
  });

  it('what this process applied outlives a loss of all three', () => {
    const plan = decide(observe(undefined, { memory: off }), NOW);
    deepEqual(
      [plan.restoreSource, plan.writeLive, plan.writeStored, plan.target?.sequence],
      ['from-live', true, true, 901],
    );
  });

  it('two sets under one sequence end with a later one', () => {
    const plan = decide(observe(text('on'), { live: on, stored: { ...off, sequence: 900 } }), NOW);
    deepEqual(
      [plan.target?.version, plan.target?.sequence, plan.writeLive, plan.writeStored],
      [on.version, SECONDS, true, true],
    );
  });

  it('a live ConfigMap that was edited is written again, whatever was edited', () => {
    const bare = decide(observe(text('off'), { liveText: text('on'), stored: off }), NOW);
    deepEqual([bare.writeLive, bare.writeStored, bare.target?.sequence], [true, false, 901]);
    const spaced = decide(observe(text('off'), { live: off, liveText: `${renderLive(off)}\n`, stored: off }), NOW);
    deepEqual([spaced.writeLive, spaced.target?.sequence], [true, 901]);
    // Another good set under the same sequence, while the source cannot say which is meant.
    const edited = { ...on, sequence: 901 };
    for (const others of [{ stored: off }, { memory: off, stored: 'unknown' }] as const) {
      const plan = decide(observe('{}', { live: edited, ...others }), NOW);
      deepEqual([plan.target?.version, plan.target?.sequence, plan.writeLive], [off.version, SECONDS, true]);
    }
  });
});

describe('the source ConfigMap of flags', () => {
  const map = (data: Record<string, string>, annotations = {}) =>
    readSource({ metadata: { name: 'klar-flags-source', annotations }, data });

  it('has one document', () => {
    match(JSON.stringify(map({})), /has neither flags\.yaml nor flags\.json\. Keep the document in one/);
    match(JSON.stringify(map({ 'flags.yaml': 'a', 'flags.json': 'b' })), /has both flags\.yaml and flags\.json/);
    match(JSON.stringify(map({ 'flags.json': ' '.repeat(1024 * 1024 - 100) })), /is too long\. Keep it below 1048064/);
    equal(map({ 'flags.json': '{}' }).state, 'document');
    equal(readSource(undefined).state, 'absent');
  });

  it('names who changed it only for the version that they made', () => {
    const source = map({ 'flags.json': '{}' }, { 'klar.io/changed-by': '0123456789ab Ada <ada@example.com>' });
    equal(authorOf(source, '0123456789ab'), 'Ada <ada@example.com>');
    equal(authorOf(source, 'ba9876543210'), undefined);
    equal(authorOf(map({ 'flags.json': '{}' }), ''), undefined);
  });
});

describe('the distribution of flags', () => {
  const pod = (name: string, version: string | null | undefined, ready = true) => ({
    pod: name,
    component: 'api',
    ready,
    ...(version === undefined ? { problem: 'ECONNREFUSED' } : { versionz: { flags: { version } } }),
  });

  it('names ready pods that run something else or do not answer, and leaves out those that are not ready', () => {
    equal(distributionOf([pod('a', 'v2'), pod('b', 'v1', false)], 'v2').valid, true);
    const lag = distributionOf([pod('a', 'v2'), pod('b', 'v1'), pod('c', undefined), pod('d', null)], 'v2');
    deepEqual([lag.valid, lag.reason, lag.current, lag.silent], [false, 'PodsLag', 1, ['c']]);
    equal(lag.message, '1 of 4 ready pods run version v2; b runs v1, d runs no document, c does not answer.');
    equal(distributionOf([pod('a', undefined)], 'v2').reason, 'PodsSilent');
  });

  it('takes what is no answer of ours for no version', () => {
    for (const versionz of [null, 7, {}, { flags: null }, { flags: { version: 3 } }]) {
      equal(distributionOf([{ pod: 'a', component: 'api', ready: true, versionz }], 'v2').valid, false);
    }
  });
});
