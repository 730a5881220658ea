import assert from 'node:assert/strict';
import { parseIssuers } from '../../../services/domain/identity/outside-issuers.ts';

describe('AUTH_ISSUERS', () => {
  const issuer = 'https://id.example.com';

  it('takes asymmetric algorithms by default', () => {
    const [parsed] = parseIssuers([{ issuer, audience: 'klar' }], true);
    assert.deepEqual(parsed?.algorithms, ['RS256', 'ES256', 'EdDSA']);
    assert.deepEqual(parseIssuers(undefined, true), []);
  });

  it('refuses none, HMAC, a missing audience, unknown fields, doubles, and http in production', () => {
    const refused: [unknown, RegExp][] = [
      [[{ issuer, audience: 'klar', algorithms: ['none'] }], /AUTH_ISSUERS/],
      [[{ issuer, audience: 'klar', algorithms: ['HS256'] }], /AUTH_ISSUERS/],
      [[{ issuer, audience: 'klar', algorithms: [] }], /AUTH_ISSUERS/],
      [[{ issuer }], /audience/],
      [[{ issuer, audience: '' }], /audience/],
      [[{ issuer, audience: 'klar', jwksUri: 'https://x' }], /jwksUri/],
      [{ issuer, audience: 'klar' }, /array/],
      [
        [
          { issuer, audience: 'a' },
          { issuer, audience: 'b' },
        ],
        /twice/,
      ],
      [[{ issuer: 'http://id.example.com', audience: 'a' }], /https/],
      [[{ issuer, audience: 'a', jwks_uri: 'http://id.example.com/keys' }], /https/],
    ];
    for (const [value, message] of refused)
      assert.throws(() => parseIssuers(value, true), message, JSON.stringify(value));
    parseIssuers([{ issuer: 'http://localhost:8080/realms/x', audience: 'a' }], false);
  });
});
