import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import {
  compareWithCode,
  compileFlags,
  describeProblem,
  describeProblems,
  expiredProblems,
  expiries,
  FLAGS,
  shrinkProblem,
} from '#domain/flags/index.ts';
import { json, sample } from './documents.ts';

function setOf(text: string) {
  const result = compileFlags(text, FLAGS);
  ok(result.ok, result.ok ? '' : describeProblems(result.problems));
  return result.set;
}
const without = (...names: string[]) => {
  const document = sample();
  for (const name of names) delete document.flags[name];
  return setOf(json(document));
};
const forTenants = (count: number) => {
  const document = sample();
  const ids = Array.from({ length: count }, (_, i) => `ten_${i}`);
  Object.assign(document.flags['new-player'] as object, {
    targeting: { if: [{ in: [{ var: 'tenantId' }, ids] }, 'on'] },
  });
  return setOf(json(document));
};

describe('flags.yaml and the code', () => {
  const set = setOf(readFileSync('flags.yaml', 'utf8'));

  it('have the same flags', () => deepEqual(compareWithCode(set, FLAGS).map(describeProblem), []));
  it('have no expired flag today', () => deepEqual(expiredProblems(set, new Date()).map(describeProblem), []));
  it('give the same answer, so that a missing document changes nothing', () => {
    for (const [name, { default: value }] of Object.entries(FLAGS))
      equal(set.flags.get(name)?.evaluate({}).value, value);
  });
  it('meet in this module only: elsewhere a name that flags.ts does not know could be asked for', () => {
    const outside = readdirSync('services', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.startsWith(path.join('domain', 'flags')))
      .filter((name) => readFileSync(path.join('services', name), 'utf8').includes('@openfeature/'));
    deepEqual(outside, []);
  });
});

describe('the comparison of flags', () => {
  it('sees a flag that only the code has', () => {
    const [problem, ...more] = compareWithCode(without('checkout-enabled', 'new-player', 'page-size'), FLAGS);
    match(describeProblem(problem as never), /^flags\.checkout-enabled is missing, but the code asks for it\. Add it/);
    deepEqual(more, []);
  });
  it('sees a flag that only the document has', () => {
    const problems = compareWithCode(setOf(json(sample())), FLAGS).map(describeProblem);
    equal(problems.length, 2);
    match(problems[0] ?? '', /^flags\.new-player is not asked for by the code\. Remove it/);
  });
});

describe('the expiry of a flag', () => {
  const set = setOf(json(sample()));
  it('is the end of its last day in UTC', () => {
    deepEqual(expiredProblems(set, new Date('2027-01-31T23:59:59Z')), []);
    const [problem] = expiredProblems(set, new Date('2027-02-01T00:00:00Z'));
    match(describeProblem(problem as never), /^flags\.new-player expired on 2027-01-31\. Let learning remove it/);
  });
  it('is counted in days, and permanent flags have none', () => {
    deepEqual(
      expiries(set, new Date('2027-01-30T12:00:00Z')).map(({ flag, days_left }) => [flag, days_left]),
      [
        ['new-player', 1],
        ['page-size', 1],
      ],
    );
  });
});

describe('the shrink guard', () => {
  const whole = setOf(json(sample()));
  it('refuses to drop more than half of the flags, with the version to accept', () => {
    const less = without('new-player', 'page-size', 'checkout-enabled');
    const problem = shrinkProblem(whole, less);
    equal(problem?.problem, 'drops 3 of 4 flags');
    match(problem?.mend ?? '', new RegExp(less.version));
  });
  it('takes half', () => equal(shrinkProblem(whole, without('new-player', 'page-size')), undefined));
  it('sees renamed flags as dropped', () => {
    const { flags } = sample();
    const renamed = Object.fromEntries(Object.entries(flags).map(([name, flag]) => [`${name}-x`, flag]));
    equal(shrinkProblem(whole, setOf(json({ flags: renamed })))?.problem, 'drops 4 of 4 flags');
  });
  it('refuses to drop more than half of the targeting', () => {
    match(shrinkProblem(forTenants(1_000), forTenants(3))?.problem ?? '', /^drops 997 of \d+ constants/);
    equal(shrinkProblem(forTenants(1_000), forTenants(600)), undefined);
  });
  it('lets the rule of one finished rollout go', () => equal(shrinkProblem(forTenants(2), forTenants(1)), undefined));
});

describe('a document with the same mistake a thousand times', () => {
  it('is refused with the first of them: to look for each in the text would take seconds', () => {
    const document = sample();
    const wrong = Array.from({ length: 1_000 }, () => ({ '==': [{ var: 'tenantid' }, 'x'] }));
    Object.assign(document.flags['new-player'] as object, { targeting: { if: [{ or: wrong }, 'on'] } });
    const result = compileFlags(json(document), FLAGS);
    ok(!result.ok);
    equal(result.problems.length, 20);
  });
});
