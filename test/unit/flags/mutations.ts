import { json, sample } from './documents.ts';

/** A document that must be refused, and what the refusal must say: where, what, and how to mend it. */
export type Mutation = { name: string; text: string; says: RegExp };

type Flags = ReturnType<typeof sample>['flags'];
const changed = (change: (flags: Flags) => void): string => {
  const document = sample();
  change(document.flags);
  return json(document);
};
const player = (change: (flag: Record<string, unknown>) => void): string =>
  changed((flags) => change(flags['new-player'] as Record<string, unknown>));
const rule = (targeting: unknown): string => player((flag) => Object.assign(flag, { targeting }));
const metadata = (over: object): string =>
  player((flag) => Object.assign(flag, { metadata: { ...(flag.metadata as object), ...over } }));
const replaced = (from: string, to: string): string => {
  const text = json(sample());
  if (!text.includes(from)) throw new Error(`The sample has no ${from}.`);
  return text.replace(from, to);
};
const yaml = (flag: string) => `flags:\n  page-size:\n${flag.replace(/^/gm, '    ')}\n...\n`;
const isTenant = { '==': [{ var: 'tenantId' }, 'ten_a'] };

export const MUTATIONS: readonly Mutation[] = [
  { name: 'nothing', text: '', says: /^the document is empty\. Write "flags:"/ },
  { name: 'white space', text: ' \n\n', says: /^the document is empty/ },
  { name: '{}', text: '{}', says: /^flags \(line 1, column 1\) is missing\. Write "flags" as a map/ },
  { name: '[]', text: '[]', says: /^the document \(line 1, column 1\) is a list/ },
  { name: 'null', text: 'null\n...', says: /^the document .*is null/ },
  { name: 'a text', text: '"flags"\n...', says: /^the document .*is "flags"/ },
  { name: 'no flags', text: '{"flags":{}}', says: /^flags .*is empty.*at least one flag/ },
  { name: 'flags as a list', text: '{"flags":[]}', says: /^flags .*is a list/ },
  {
    name: 'a page of HTML',
    text: '<html><body>502</body></html>',
    says: /cut off\. End a YAML document with a line "\.\.\."/,
  },
  { name: 'not UTF-8', text: replaced('A test.', 'A \ufffd test.'), says: /is not UTF-8 text\. Save it as UTF-8/ },
  {
    name: 'JSON cut off',
    text: json(sample()).slice(0, 700),
    says: /\(line \d+, column \d+\) is not well formed.*cut off/,
  },
  { name: 'YAML cut off at a line', text: 'flags:\n  a:\n', says: /does not end with "\.\.\."/ },
  { name: 'two documents', text: 'flags: {}\n---\nflags: {}\n...\n', says: /more than one document/ },
  {
    name: 'over 1 MiB',
    text: `${json(sample())}${' '.repeat(1024 * 1024)}`,
    says: /is \d+ bytes long, the most is 1048576/,
  },
  {
    name: 'just under 1 MiB of brackets',
    text: '['.repeat(1024 * 1024 - 1),
    says: /is nested deeper than 64\. Flatten/,
  },
  {
    name: 'just under 1 MiB of YAML dashes',
    text: `flags:\n  ${'- '.repeat(500_000)}1\n...`,
    says: /bytes of YAML, the most is 32768\. Write it as JSON/,
  },
  { name: 'dashes without end', text: `flags:\n  ${'- '.repeat(10_000)}1\n...`, says: /is nested deeper than 64/ },
  {
    name: 'just under 1 MiB of empty lists',
    text: `{"flags":[${'[],'.repeat(349_000)}1]}`,
    says: /more than 20000 lists and members/,
  },
  {
    name: 'just under 1 MiB in one text',
    text: replaced('A test.', 'x'.repeat(1024 * 1024 - 4_000)),
    says: /description \(line \d+, .* is a text of \d+ characters\. Say in 500 characters/,
  },
  {
    name: 'duplicate key',
    text: replaced('"defaultVariant": "on"', '"state": "DISABLED", "defaultVariant": "on"'),
    says: /^flags\.checkout-enabled\.state \(line 9, column \d+\) stands there twice\. Keep one/,
  },
  {
    name: 'duplicate flag',
    text: replaced('"page-size"', '"new-player"'),
    says: /^flags\.new-player \(line \d+, column 5\) stands there twice/,
  },
  {
    name: 'YAML anchor',
    text: yaml('state: &s ENABLED'),
    says: /^flags\.page-size\.state \(line 3, column \d+\) has the YAML anchor "s"/,
  },
  {
    name: 'YAML alias',
    text: yaml('state: &s ENABLED\ndefaultVariant: *s'),
    says: /defaultVariant \(line 4, .* is a YAML alias\. Write the value out/,
  },
  {
    name: 'YAML merge key',
    text: yaml('<<: { state: ENABLED }'),
    says: /has the YAML merge key "<<"\. Write the values out/,
  },
  { name: 'more behind the end', text: `${json(sample())}\n{}`, says: /goes on after its end\. Keep one document/ },
  {
    name: 'a number beyond numbers',
    text: replaced('"large": 100', '"large": 1e999'),
    says: /variants\.large \(line \d+, .* is not a finite number/,
  },
  {
    name: 'YAML duplicate key',
    text: yaml('state: ENABLED\nstate: DISABLED'),
    says: /^flags\.page-size\.state \(line 4, column 5\) stands there twice\. Keep one/,
  },
  {
    name: 'YAML __proto__',
    text: yaml('__proto__: { state: ENABLED }'),
    says: /page-size \(line 3, .* has the key "__proto__"\. Name it otherwise/,
  },
  { name: 'YAML tag', text: yaml('state: !!str ENABLED'), says: /has the YAML tag .*Remove it/ },
  {
    name: 'YAML key that is no text',
    text: yaml('variants: { 1: true }'),
    says: /has a key that is not text\. Put it in quotes/,
  },
  {
    name: '__proto__',
    text: replaced('"page-size"', '"__proto__"'),
    says: /has the key "__proto__"\. Name it otherwise/,
  },
  { name: 'not a finite number', text: yaml('variants: { a: .inf }'), says: /is not a finite number/ },
  {
    name: 'nested without end',
    text: replaced('"large": 100', `"large": ${'[['.repeat(50)}${']]'.repeat(50)}`),
    says: /is nested deeper than 64/,
  },
  {
    name: 'a flag that is null',
    text: changed((flags) => Object.assign(flags, { more: null })),
    says: /^flags\.more .*is null, not a flag/,
  },
  {
    name: 'unknown member of the document',
    text: json({ ...sample(), $evaluators: {} }),
    says: /^\$evaluators .*is not known\. Remove it; there is: \$schema, flags/,
  },
  {
    name: 'unknown member of a flag',
    text: player((flag) => Object.assign(flag, { targetting: {} })),
    says: /new-player\.targetting .*is not known\. .*targeting/,
  },
  {
    name: 'a name with a space',
    text: changed((flags) => Object.assign(flags, { 'new player': flags['new-player'] })),
    says: /^flags\.new player .*is no name of a flag/,
  },
  {
    name: '51 flags',
    text: changed((flags) => {
      for (let i = 0; i < 47; i += 1) flags[`f-${i}`] = flags['page-size'] as never;
    }),
    says: /^flags .*has 51 flags\. Remove some: 50/,
  },
  {
    name: 'unknown state',
    text: player((flag) => Object.assign(flag, { state: 'enabled' })),
    says: /state .*is "enabled"\. Write ENABLED or DISABLED/,
  },
  {
    name: 'mixed types',
    text: player((flag) => Object.assign(flag, { variants: { on: true, off: 'false' } })),
    says: /new-player\.variants .*mixes boolean and string/,
  },
  {
    name: 'another type than the code',
    text: changed((flags) =>
      Object.assign(flags['checkout-enabled'] as object, {
        variants: { on: 'yes', off: 'no' },
        metadata: (flags['page-size'] as { metadata: unknown }).metadata,
      }),
    ),
    says: /checkout-enabled\.variants .*are strings, the code asks for a boolean/,
  },
  {
    name: 'a kill switch of texts',
    text: changed((flags) =>
      Object.assign((flags['page-size'] as { metadata: object }).metadata, { kind: 'kill-switch' }),
    ),
    says: /page-size\.variants .*is not on or off/,
  },
  {
    name: 'one variant',
    text: player((flag) => Object.assign(flag, { variants: { off: false } })),
    says: /variants .*has 1 variants.*at least two/,
  },
  {
    name: 'two variants of one value',
    text: player((flag) => Object.assign(flag, { variants: { on: true, off: true } })),
    says: /variants .*has the same value twice/,
  },
  {
    name: 'variants with an object',
    text: player((flag) => Object.assign(flag, { variants: { on: {}, off: {} } })),
    says: /variants\.on .*is a map/,
  },
  {
    name: 'a variant named by a newline',
    text: player((flag) => Object.assign(flag, { variants: { 'o\nn': true, off: false } })),
    says: /is no name of a variant/,
  },
  {
    name: 'default that is no variant',
    text: player((flag) => Object.assign(flag, { defaultVariant: 'of' })),
    says: /defaultVariant .*is "of", which is no variant\. There is: on, off/,
  },
  {
    name: 'no default',
    text: player((flag) => Object.assign(flag, { defaultVariant: null })),
    says: /defaultVariant .*is null\. Name one of the variants/,
  },
  {
    name: 'an unknown member of the metadata',
    text: metadata({ expiry: '2027-01-31' }),
    says: /metadata\.expiry .*is not known\. Remove it; there is: owner, description/,
  },
  { name: 'no owner', text: metadata({ owner: undefined }), says: /metadata\.owner .*is missing\. Name the team/ },
  { name: 'an empty owner', text: metadata({ owner: ' ' }), says: /metadata\.owner .*\. Name the team/ },
  { name: 'no expiry', text: metadata({ expires: undefined }), says: /metadata .*has neither expires nor permanent/ },
  { name: 'both ends', text: metadata({ permanent: true }), says: /metadata .*has both expires and permanent/ },
  {
    name: 'an expiry that is no day',
    text: metadata({ expires: '2027-02-30' }),
    says: /expires .*is "2027-02-30"\. Write the last day/,
  },
  {
    name: 'an unknown kind',
    text: metadata({ kind: 'toggle' }),
    says: /kind .*is "toggle"\. Write one of: kill-switch/,
  },
  {
    name: 'targeting that is a list',
    text: rule([]),
    says: /new-player\.targeting .*is no rule\. Write a map of one of: if, fractional/,
  },
  {
    name: 'an unknown operator',
    text: rule({ if: [{ matches: [{ var: 'tenantId' }, '.*'] }, 'on'] }),
    says: /has the operator "matches".*one of: ==/,
  },
  {
    name: 'two operators',
    text: rule({ if: [isTenant, 'on'], fractional: [] }),
    says: /has 2 operators \(if, fractional\)/,
  },
  {
    name: 'a variant that is not there',
    text: rule({ if: [isTenant, 'onn'] }),
    says: /targeting\.if\.1 .*leads to "onn", which is no variant/,
  },
  {
    name: 'an unknown variable',
    text: rule({ if: [{ '==': [{ var: 'tenant' }, 'a'] }, 'on'] }),
    says: /asks for "tenant"\. There is: tenantId, personId/,
  },
  {
    name: 'a condition on constants',
    text: rule({ if: [{ '==': ['a', 'a'] }, 'on'] }),
    says: /has constants only\. Let it ask/,
  },
  {
    name: 'a text of constants',
    text: rule({ fractional: [{ cat: ['a', 'b'] }, ['on', 25], ['off', 75]] }),
    says: /fractional\.0 .*is the same for everybody\. Let it hold one of: tenantId, personId/,
  },
  {
    name: 'a share by a constant',
    text: rule({ fractional: ['everybody', ['on', 25], ['off', 75]] }),
    says: /fractional\.0 .*is the same for everybody/,
  },
  {
    name: "a share by the flag's own name",
    text: rule({ fractional: [{ var: '$flagd.flagKey' }, ['on', 25], ['off', 75]] }),
    says: /fractional\.0 .*is the same for everybody/,
  },
  {
    name: "a condition on the flag's own name",
    text: rule({ if: [{ '==': [{ var: ['$flagd.flagKey'] }, 'new-player'] }, 'on'] }),
    says: /has constants only/,
  },
  {
    name: 'a list that a constant is in',
    text: rule({ if: [{ in: [{ cat: ['ten_', { var: '$flagd.flagKey' }] }, ['ten_a']] }, 'on'] }),
    says: /has constants only/,
  },
  { name: 'a condition that is true', text: rule({ if: [true, 'on'] }), says: /is no rule/ },
  {
    name: 'a comparison of one',
    text: rule({ if: [{ '==': [{ var: 'tenantId' }] }, 'on'] }),
    says: /has 1 operands\. Give it 2/,
  },
  { name: 'an "and" of nothing', text: rule({ if: [{ and: [] }, 'on'] }), says: /has no operands/ },
  { name: 'an "if" without result', text: rule({ if: [isTenant] }), says: /is no condition with a result/ },
  {
    name: 'ids as one text',
    text: rule({ if: [{ in: [{ var: 'tenantId' }, 'ten_a,ten_b'] }, 'on'] }),
    says: /is no list of texts/,
  },
  {
    name: 'an id that is a number',
    text: rule({ if: [{ '==': [{ var: 'tenantId' }, 7] }, 'on'] }),
    says: /is 7\. Write a text in quotes/,
  },
  {
    name: 'weights of 0',
    text: rule({
      fractional: [
        ['on', 0],
        ['off', 0],
      ],
    }),
    says: /has shares of 0 %\. Let them add up to 100/,
  },
  {
    name: 'weights of 99',
    text: rule({
      fractional: [
        ['on', 50],
        ['off', 49],
      ],
    }),
    says: /has shares of 99 %/,
  },
  {
    name: 'a negative weight',
    text: rule({
      fractional: [
        ['on', 150],
        ['off', -50],
      ],
    }),
    says: /is no share\. Write \["variant", percent\]/,
  },
  {
    name: 'a weight that is a text',
    text: rule({
      fractional: [
        ['on', '50'],
        ['off', 50],
      ],
    }),
    says: /is no share/,
  },
  {
    name: 'a variant that nothing leads to',
    text: changed((flags) => {
      (flags['page-size'] as { targeting: unknown }).targeting = {
        fractional: [
          ['small', 100],
          ['large', 0],
        ],
      };
    }),
    says: /page-size\.variants\.large .*nothing leads to/,
  },
];
