import assert from 'node:assert/strict';
import { inspectSettings } from '#platform/config/index.ts';

describe('AUTH_ISSUERS', () => {
  const issuer = 'https://id.example.com';
  const read = (value: unknown, more: Record<string, string> = {}) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const { settings, problems } = inspectSettings('api', { AUTH_ISSUERS: text, ...more });
    const found = problems.filter(({ name }) => name === 'AUTH_ISSUERS').map(({ problem }) => problem);
    return { issuers: settings.AUTH_ISSUERS, problem: found.join('; ') };
  };

  it('takes asymmetric algorithms by default, and nothing at all when unset', () => {
    const { issuers, problem } = read([{ issuer, audience: 'klar' }]);
    assert.equal(problem, '');
    assert.deepEqual(issuers, [{ issuer, audience: 'klar', algorithms: ['RS256', 'ES256', 'EdDSA'] }]);
    assert.deepEqual(inspectSettings('api', {}).settings.AUTH_ISSUERS, []);
  });

  it('refuses none, HMAC, a missing audience, unknown fields, doubles, and http in production', () => {
    const refused: [unknown, RegExp][] = [
      ['{', /not JSON/],
      [{ issuer, audience: 'klar' }, /not a JSON list/],
      [[null], /entry 1: is not an object/],
      [[{ issuer, audience: 'klar', algorithms: ['none'] }], /algorithms/],
      [[{ issuer, audience: 'klar', algorithms: ['RS256', 'HS256'] }], /algorithms/],
      [[{ issuer, audience: 'klar', algorithms: [] }], /algorithms/],
      [[{ issuer }], /audience/],
      [[{ issuer, audience: '' }], /audience/],
      [[{ issuer, audience: [] }], /audience/],
      [[{ issuer: 'ftp://x', audience: 'klar' }], /issuer/],
      [[{ issuer, audience: 'klar', jwksUri: 'https://x' }], /unknown field jwksUri/],
      [
        [
          { issuer, audience: 'a' },
          { issuer, audience: 'b' },
        ],
        /twice/,
      ],
    ];
    for (const [value, message] of refused) assert.match(read(value).problem, message, JSON.stringify(value));
    const local = [{ issuer: 'http://localhost:8080/realms/x', audience: 'a', jwks_uri: 'http://localhost:8080/keys' }];
    assert.equal(read(local).problem, '');
    assert.match(read(local, { KLAR_PROFILE: 'production' }).problem, /realms\/x is not https; .*keys is not https/);
  });
});
