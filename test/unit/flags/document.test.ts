import { equal, match, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { compileFlags, describeProblems, FLAGS } from '#domain/flags/index.ts';
import { json, sample } from './documents.ts';
import { MUTATIONS } from './mutations.ts';

const refusal = (text: string): string => {
  const result = compileFlags(text, FLAGS);
  return result.ok ? '' : describeProblems(result.problems);
};
const version = (text: string): string => {
  const result = compileFlags(text, FLAGS);
  ok(result.ok, result.ok ? '' : describeProblems(result.problems));
  return result.set.version;
};
const FLAGS_YAML = readFileSync('flags.yaml', 'utf8');

describe('a flag document', () => {
  it('is taken as JSON and as YAML', () => {
    version(json(sample()));
    version(FLAGS_YAML);
  });

  it(`is refused with all of ${MUTATIONS.length} mutations, each by name`, () => {
    ok(MUTATIONS.length >= 40);
    equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length);
  });
  for (const { name, text, says } of MUTATIONS) {
    it(`is refused: ${name}`, () => match(refusal(text), says));
  }

  it('is refused wherever it was cut off', () => {
    for (const text of [
      FLAGS_YAML.trimEnd(),
      JSON.stringify({ flags: { 'page-size': sample().flags['page-size'] } }),
    ]) {
      for (let length = 0; length < text.length; length += 1) {
        ok(refusal(text.slice(0, length)) !== '', `the first ${length} characters pass for a document`);
      }
    }
  });

  it('tells everything that is wrong with it, not only the first', () => {
    const document = sample();
    Object.assign(document.flags['new-player'] as object, { state: 'on' });
    Object.assign(document.flags['page-size'] as object, { state: 'off' });
    match(refusal(json(document)), /new-player\.state[\s\S]*page-size\.state/);
  });

  it('has one version however it is written, and another when a flag is', () => {
    const base = sample();
    const { flags } = sample();
    const reversed = { flags: Object.fromEntries(Object.entries(flags).reverse()), $schema: 'https://flagd.dev/x' };
    equal(version(JSON.stringify(base)), version(json(reversed)));
    Object.assign(flags['new-player'] as object, { defaultVariant: 'on' });
    ok(version(json({ flags })) !== version(json(base)));
    match(version(json(base)), /^[0-9a-f]{12}$/);
  });

  it('may have a flag that is named like a member of every object', () => {
    const { flags } = sample();
    version(json({ flags: { ...flags, constructor: flags['page-size'] } }));
  });
});
