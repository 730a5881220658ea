import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { newId } from '#platform/ids/index.ts';
import {
  decideRefresh,
  isAuthentic,
  mintRefreshToken,
  parseRefreshToken,
} from '../../../services/domain/identity/refresh-token.ts';

describe('refresh token', () => {
  const seed = randomBytes(16);
  const sessionId = newId('ses');

  it('is parsed back to what it was made of, and is authentic under its own secret only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (generation) => {
        const parsed = parseRefreshToken(mintRefreshToken('secret', sessionId, generation, seed));
        assert.ok(parsed);
        assert.equal(parsed.sessionId, sessionId);
        assert.equal(parsed.generation, generation);
        assert.ok(isAuthentic(parsed, ['other', 'secret'], seed));
        assert.ok(!isAuthentic(parsed, ['other'], seed));
        assert.ok(!isAuthentic(parsed, ['secret'], randomBytes(16)));
        assert.ok(!isAuthentic({ ...parsed, generation: generation + 1 }, ['secret'], seed));
        assert.ok(!isAuthentic({ ...parsed, sessionId: newId('ses') }, ['secret'], seed));
      }),
    );
  });

  it('never throws on whatever a client sends', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(parseRefreshToken(text), undefined);
      }),
    );
  });

  it('is decided by generation, time and whether the grace was used', () => {
    const state = { generation: 5, rotatedMsAgo: 30_000, graceUsed: false };
    assert.equal(decideRefresh(state, 5), 'rotate');
    assert.equal(decideRefresh(state, 4), 'repeat');
    assert.equal(decideRefresh({ ...state, graceUsed: true }, 4), 'superseded');
    assert.equal(decideRefresh({ ...state, rotatedMsAgo: 30_001 }, 4), 'reuse');
    assert.equal(decideRefresh({ ...state, rotatedMsAgo: 30_001, graceUsed: true }, 4), 'reuse');
    assert.equal(decideRefresh({ ...state, rotatedMsAgo: 0 }, 3), 'reuse');
    assert.equal(decideRefresh(state, 6), 'unknown');
    // A rotation that committed while this refresh waited may seem to lie in the future.
    assert.equal(decideRefresh({ ...state, rotatedMsAgo: -5 }, 4), 'repeat');
  });
});
