import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { describePolicyProblem, parsePolicies } from '#domain/secrets/index.ts';

const GOOD = `
version: 1
policies:
  - secret: ADMIN_TOKEN
    kind: admin-token
    period: 90d
    soak: 1h
    jitter: 7d
    blackout:
      - { days: [sat, sun], from: "00:00", to: "23:59", timeZone: Europe/Stockholm }
  - { secret: AUTH_JWT_KEY, kind: jwt-key, period: 30d, quiet: 1s }
`;
const one = (fields: string, secret = 'ADMIN_TOKEN') => `version: 1\npolicies:\n  - { secret: ${secret}, ${fields} }\n`;
const told = (text: string, present: string[] = []): string => {
  const result = parsePolicies(text, present);
  return result.ok ? 'ok' : result.problems.map(describePolicyProblem).join('\n');
};

describe('rotation policies', () => {
  it('are read, and never wait for less than their kind needs', () => {
    const result = parsePolicies(GOOD, ['ADMIN_TOKEN', 'AUTH_JWT_KEY']);
    ok(result.ok);
    const [admin, jwt] = [result.policies.get('ADMIN_TOKEN'), result.policies.get('AUTH_JWT_KEY')];
    deepEqual([admin?.periodS, admin?.soakS, admin?.jitterS], [90 * 86_400, 3_600, 7 * 86_400]);
    deepEqual(admin?.blackout[0], { days: ['sat', 'sun'], fromMin: 0, toMin: 1_439, timeZone: 'Europe/Stockholm' });
    equal(jwt?.quietS, 330);
  });

  const bad: [string, string, RegExp, string[]?][] = [
    ['an unknown kind', one('kind: magic, period: 90d'), /kind is no kind; there is: admin-token/],
    ['a kind that does not fit', one('kind: jwt-key, period: 90d'), /Write kind: admin-token/],
    ['a negative period', one('kind: admin-token, period: -90d'), /period is no period; write 1h to 3650d/],
    ['a period of seconds', one('kind: admin-token, period: 5s'), /period is no period/],
    [
      'a soak that no row can hold',
      one('kind: admin-token, period: 90d, soak: 30000d'),
      /soak is no time; write 0s to 3650d/,
    ],
    [
      'a secret without a policy',
      one('kind: admin-token, period: 90d'),
      /no policy for SMTP_URL.*Add \{ secret: SMTP_URL, kind: manual/,
      ['ADMIN_TOKEN', 'SMTP_URL'],
    ],
    [
      'two policies for one secret',
      `${one('kind: admin-token, period: 90d')}  - { secret: ADMIN_TOKEN, kind: manual, period: 1d }\n`,
      /second policy for ADMIN_TOKEN\. Keep one/,
    ],
    ['a word too many', one('kind: admin-token, period: 90d, perriod: 1d'), /perriod/],
    ['a key twice', one('kind: admin-token, period: 90d, period: 1d'), /not YAML/],
    ['an alias', 'version: &v 1\npolicies: []\nx: *v\n', /alias/],
    ['truncated text', GOOD.slice(0, 120).concat('"'), /not YAML|wrong/],
    ['nothing', '', /wrong/],
    ['an empty map', '{}', /wrong/],
    ['a list', '[]', /wrong/],
    [
      'a time zone that nobody knows',
      one('kind: admin-token, period: 90d, blackout: [{ from: "01:00", to: "02:00", timeZone: Mars/Base }]'),
      /IANA/,
    ],
    [
      'blackouts that leave no time',
      one(
        'kind: admin-token, period: 90d, blackout: [{ from: "00:00", to: "12:00", timeZone: UTC }, { from: "12:00", to: "00:00", timeZone: UTC }]',
      ),
      /leaves no quarter/,
    ],
    ['a text that is too long', 'x'.repeat(200_001), /longer than/],
  ];
  for (const [name, text, words, present] of bad) {
    it(`refuse ${name}, and say what mends it`, () => match(told(text, present), words));
  }
});
