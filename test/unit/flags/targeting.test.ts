import { deepEqual, equal, ok } from 'node:assert/strict';
import { FlagdCore } from '@openfeature/flagd-core';
import fc from 'fast-check';
import { compileFlags, describeProblems } from '#domain/flags/index.ts';
import { murmur32 } from '../../../services/domain/flags/murmur.ts';

const IDS = ['ten_a', 'ten_ab', 'per_1', '', 'x', 'mine'];
const SILENT = { error() {}, warn() {}, info() {}, debug() {} };

const subject = fc.constantFrom('tenantId', 'personId', 'targetingKey').map((name) => ({ var: name }));
const variable = fc.oneof(subject, fc.constant({ var: '$flagd.flagKey' }));
const id = fc.constantFrom(...IDS);
const cat = fc
  .tuple(fc.array(fc.oneof(variable, id), { maxLength: 2 }), subject)
  .map(([more, last]) => ({ cat: [...more, last] }));
const shares = fc
  .tuple(fc.nat(100), fc.nat(100))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b) - Math.min(a, b), 100 - Math.max(a, b)])
  .map((parts) => parts.map((share, index) => [['a', 'b', 'c'][index], share]));

/** Rules over what may ask for somebody. */
function rules(asking: fc.Arbitrary<unknown>) {
  const value = fc.oneof(asking, variable, id);
  const comparison = fc.constantFrom('==', '===', '!=', '!==', 'starts_with', 'ends_with');
  const condition = fc.letrec<{ it: unknown }>((tie) => ({
    it: fc.oneof(
      { maxDepth: 3 },
      fc.tuple(comparison, asking, value).map(([name, left, right]) => ({ [name]: [left, right] })),
      fc.tuple(asking, fc.array(id, { minLength: 1, maxLength: 3 })).map((operands) => ({ in: operands })),
      tie('it').map((inner) => ({ '!': [inner] })),
      fc
        .tuple(fc.constantFrom('and', 'or'), fc.array(tie('it'), { minLength: 1, maxLength: 3 }))
        .map(([name, inner]) => ({ [name]: inner })),
    ),
  })).it;
  const target = fc.letrec<{ it: unknown }>((tie) => ({
    it: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom('a', 'b', 'c'),
      fc.constant(null),
      fc.tuple(fc.option(asking), shares).map(([key, list]) => ({ fractional: key === null ? list : [key, ...list] })),
      fc.tuple(condition, tie('it')).map((operands) => ({ if: operands })),
      fc.tuple(condition, tie('it'), condition, tie('it'), tie('it')).map((operands) => ({ if: operands })),
    ),
  })).it;
  // A rule is a map; what leads everywhere comes first, as variants without a way to them are refused.
  const everywhere = {
    fractional: [
      ['a', 98],
      ['b', 1],
      ['c', 1],
    ],
  };
  return target.map((inner) => ({ if: [{ '==': [{ var: 'tenantId' }, 'all'] }, everywhere, inner] }));
}
const anyId = fc.oneof(id, fc.string({ unit: 'grapheme-ascii' }));
const somebody = fc.record({ tenantId: anyId, personId: id });
const maybe = fc.record({ tenantId: anyId, personId: id }, { requiredKeys: [] });

const documentOf = (targeting: unknown) =>
  JSON.stringify({
    flags: {
      mine: {
        state: 'ENABLED',
        variants: { a: 'A', b: 'B', c: 'C' },
        defaultVariant: 'c',
        targeting,
        metadata: { owner: 'o', description: 'd', kind: 'experiment', permanent: true },
      },
    },
  });

function compiled(targeting: unknown) {
  const result = compileFlags(documentOf(targeting), {});
  ok(result.ok, result.ok ? '' : describeProblems(result.problems));
  const flag = result.set.flags.get('mine');
  ok(flag);
  return flag;
}

describe('targeting', () => {
  const likeFlagd = (rule: fc.Arbitrary<unknown>, context: fc.Arbitrary<{ tenantId?: string; personId?: string }>) => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(rule, fc.array(context, { minLength: 1, maxLength: 4 }), (targeting, contexts) => {
        const ours = compiled(targeting);
        const theirs = new FlagdCore(undefined, SILENT);
        theirs.setConfigurations(documentOf(targeting));
        for (const one of contexts) {
          const given = one.tenantId === undefined ? one : { ...one, targetingKey: one.tenantId };
          const { value, variant, reason } = theirs.resolveStringEvaluation('mine', 'none', given, SILENT);
          deepEqual({ ...ours.evaluate(one) }, { value, variant, reason });
          seen.add(`${variant} ${reason}`);
        }
      }),
      { numRuns: 250 },
    );
    // A comparison that only ever saw one answer would compare nothing.
    equal(seen.size, 4, [...seen].join(', '));
  };
  it('means what it means to flagd', () => likeFlagd(rules(fc.oneof(subject, cat)), somebody));
  it('means what it means to flagd for who has no id', () => likeFlagd(rules(subject), maybe));
  it('takes a text with a missing part for missing', () => {
    const flag = compiled({ fractional: [{ cat: ['x', { var: 'personId' }] }, ['a', 50], ['b', 50]] });
    equal(flag.evaluate({ tenantId: 'ten_a' }).reason, 'DEFAULT');
    equal(flag.evaluate({ personId: 'per_1' }).reason, 'TARGETING_MATCH');
  });

  it('puts the same key into the same bucket for ever', () => {
    // Reference values of MurmurHash3_x86_32 with seed 0.
    equal(murmur32(''), 0);
    equal(murmur32('hello'), 0x248bfa47);
    equal(murmur32('hello, world'), 0x149bbb7f);
    equal(murmur32('The quick brown fox jumps over the lazy dog'), 0x2e4ff723);
    // Bytes, not UTF-16 units, as flagd in other languages has it.
    equal(murmur32('smörgås'), 0x93a08bbc);
  });

  it('gives each variant its share', () => {
    const flag = compiled({
      fractional: [
        ['a', 10],
        ['b', 30],
        ['c', 60],
      ],
    });
    const counts: Record<string, number> = { a: 0, b: 0, c: 0 };
    for (let i = 0; i < 20_000; i += 1) {
      const { variant } = flag.evaluate({ tenantId: `ten_${i}` });
      if (variant) counts[variant] = (counts[variant] ?? 0) + 1;
    }
    for (const [variant, share] of [
      ['a', 0.1],
      ['b', 0.3],
      ['c', 0.6],
    ] as const) {
      ok(Math.abs((counts[variant] ?? 0) / 20_000 - share) < 0.015, JSON.stringify(counts));
    }
  });

  it('leaves who has no id to the default variant', () => {
    const flag = compiled({
      fractional: [
        ['a', 50],
        ['b', 50],
      ],
    });
    equal(flag.evaluate({}).reason, 'DEFAULT');
    equal(flag.evaluate({ personId: 'per_1' }).variant, 'c');
  });
});
