import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type OriginRules, originAllowed } from '#platform/http/index.ts';

const rules: OriginRules = {
  auth: ['https://login.example.com'],
  cors: ['https://app.example.com'],
  public: ['https://www.example.com'],
  own: 'https://klar.example.com',
  allowLocalhost: false,
  allowNull: false,
};
const uses = ['auth', 'cors', 'public'] as const;
const where = (origin: string, more: Partial<OriginRules> = {}) =>
  uses.filter((use) => originAllowed(origin, use, { ...rules, ...more }));

describe('originAllowed', () => {
  it('lets each list in where it belongs, and our own pages everywhere', () => {
    assert.deepEqual(where('https://login.example.com'), ['auth']);
    assert.deepEqual(where('https://app.example.com'), ['cors', 'public']);
    assert.deepEqual(where('https://www.example.com'), ['public']);
    assert.deepEqual(where('https://klar.example.com'), [...uses]);
  });
  it('lets nothing in that is not a member, letter by letter', () => {
    const all = [...rules.auth, ...rules.cors, ...rules.public, rules.own ?? ''];
    fc.assert(
      fc.property(
        fc.constantFrom(...all),
        fc.string({ minLength: 1, maxLength: 3 }),
        fc.nat(40),
        (origin, noise, at) => {
          const i = at % (origin.length + 1);
          assert.deepEqual(where(origin.slice(0, i) + noise + origin.slice(i)), []);
          assert.deepEqual(where(origin.toUpperCase()), []);
          assert.deepEqual(where(origin.replace('https', 'http')), []);
        },
      ),
    );
  });
  it('lets localhost in by its setting only, whatever its port', () => {
    const some = ['http://localhost', 'http://localhost:5173', 'https://127.0.0.1:8443', 'http://[::1]:3000'];
    for (const origin of some) {
      assert.deepEqual(where(origin), []);
      assert.deepEqual(where(origin, { allowLocalhost: true }), [...uses]);
    }
    for (const origin of [
      'http://localhost.evil.example',
      'http://localhost:1@evil.example',
      'http://127.0.0.1.evil.example',
      'ftp://localhost',
    ]) {
      assert.deepEqual(where(origin, { allowLocalhost: true }), []);
    }
  });
  it('lets null in by its setting only', () => {
    assert.deepEqual(where('null'), []);
    assert.deepEqual(where('null', { allowNull: true }), [...uses]);
    assert.deepEqual(where('null', { own: undefined }), []);
  });
});
