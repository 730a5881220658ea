import assert from 'node:assert/strict';
import { sha256 } from '#platform/crypto/index.ts';
import {
  newApiKey,
  openHash,
  type Pepper,
  prefixOf,
  sealHash,
  verifyKey,
} from '../../../services/domain/tenancy/api-key.ts';

const pepper = (...values: [generation: string, value: string][]): Pepper => ({
  accepted: () => values.map(([generation, value]) => ({ generation, value })),
  current: () => values[0]?.[1] ?? '',
  generation: () => values[0]?.[0] ?? '',
});
const one = pepper(['1', 'pepper one']);
const hash = sha256('a key');

describe('tenancy: API key sealing', () => {
  it('names its generation and hides the hash', () => {
    const sealed = sealHash(hash, 'place', pepper(['20260101', 'x']));
    assert.match(sealed, /^v20260101\$[A-Za-z0-9+/]+=*$/);
    assert.ok(!sealed.includes(hash.toString('base64')));
    assert.notEqual(sealHash(hash, 'place', one), sealHash(hash, 'place', one));
  });

  it('opens in its own place only, whole, and under an accepted generation', () => {
    const sealed = sealHash(hash, 'ten_1/abc', one);
    assert.deepEqual(openHash(sealed, 'ten_1/abc', one), hash);
    assert.equal(openHash(sealed, 'ten_2/abc', one), undefined);
    assert.equal(openHash(sealed, 'ten_1/abd', one), undefined);
    assert.equal(openHash(sealed, 'ten_1/abc', pepper(['1', 'another'])), undefined);
    for (let i = 3; i < sealed.length - 2; i += 7) {
      const flipped = sealed.slice(0, i) + (sealed[i] === 'A' ? 'B' : 'A') + sealed.slice(i + 1);
      assert.equal(openHash(flipped, 'ten_1/abc', one), undefined, `byte ${i}`);
    }
    for (const broken of ['', 'v1$', '$', 'v1', 'v1$AAAA']) assert.equal(openHash(broken, 'p', one), undefined);
  });

  it('opens what an earlier generation sealed, also when that was renamed', () => {
    const sealed = sealHash(hash, 'p', one);
    assert.deepEqual(openHash(sealed, 'p', pepper(['2', 'pepper two'], ['1', 'pepper one'])), hash);
    assert.deepEqual(openHash(sealed, 'p', pepper(['2', 'pepper two'], ['renamed', 'pepper one'])), hash);
    assert.equal(openHash(sealed, 'p', pepper(['2', 'pepper two'])), undefined);
  });

  it('makes keys that it recognizes, each different', () => {
    const made = Array.from({ length: 1000 }, newApiKey);
    assert.equal(new Set(made.map(({ prefix }) => prefix)).size, 1000);
    for (const { key, prefix } of made) assert.equal(prefixOf(key), prefix);
    const { key } = made[0] ?? newApiKey();
    const sealed = sealHash(sha256(key), 'p', one);
    assert.ok(verifyKey(key, sealed, 'p', one));
    assert.ok(!verifyKey(`${key}x`, sealed, 'p', one));
  });
});
