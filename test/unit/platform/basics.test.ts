import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fakeClock } from '#platform/clock/index.ts';
import { hmacSha256, openAes256Gcm, randomToken, safeEqual, sealAes256Gcm, sha256 } from '#platform/crypto/index.ts';
import { fail, KINDS, KlarError, toKlarError } from '#platform/errors/index.ts';
import { ID_PREFIXES, isId, newId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';

describe('ids', () => {
  it('are a prefix and a UUIDv7, and rise within a process even when the clock stands still or goes back', () => {
    const now = Date.now() + 1_000_000;
    const ids = [
      ...Array.from({ length: 10_000 }, () => newId('ord', now)),
      newId('ord', now - 5000),
      newId('ord', now + 60_000),
    ];
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual([...ids].sort(), ids);
    for (const id of ids) assert.match(id, /^ord_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  });

  it('hold the time they were made at', () => {
    const at = Date.now() + 100_000_000;
    assert.equal(Number.parseInt(newId('evt', at).slice(4, 16), 16), at);
  });

  it('are recognised by their form', () => {
    assert.ok(isId('ord', newId('ord')));
    assert.ok(isId('ten', SYSTEM_TENANT_ID));
    for (const text of [
      '',
      'ord_',
      'crs_00000000000070008000000000000000',
      'ord_0000000000007000800000000000000',
      'ord_0000000000007000800000000000000G',
      `${newId('ord')}\n`,
    ]) {
      assert.equal(isId('ord', text), false, text);
    }
  });

  it('have a prefix of their own for each kind', () => {
    const prefixes = Object.values(ID_PREFIXES);
    assert.equal(new Set(prefixes).size, prefixes.length);
    assert.ok(prefixes.every((prefix) => /^[a-z]{3}$/.test(prefix)));
  });
});

describe('crypto', () => {
  it('opens what it sealed, and nothing else: not with another key, another place, or any changed byte', () => {
    const key = sha256('key');
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.string(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (plain, aad, at, flip) => {
          const sealed = sealAes256Gcm(key, Buffer.from(plain), aad);
          assert.deepEqual(openAes256Gcm(key, sealed, aad), Buffer.from(plain));
          assert.throws(() => openAes256Gcm(sha256('other'), sealed, aad));
          assert.throws(() => openAes256Gcm(key, sealed, `${aad}x`));
          const forged = Buffer.from(sealed);
          const i = at % forged.length;
          forged[i] = (forged[i] ?? 0) ^ flip;
          assert.throws(() => openAes256Gcm(key, forged, aad));
          assert.throws(() => openAes256Gcm(key, sealed.subarray(0, at % sealed.length), aad));
        },
      ),
    );
  });

  it('seals the same text differently each time', () => {
    assert.notDeepEqual(sealAes256Gcm(sha256('k'), 'x'), sealAes256Gcm(sha256('k'), 'x'));
  });

  it('compares texts of any length', () => {
    assert.ok(safeEqual('a', Buffer.from('a')));
    assert.equal(safeEqual('a', 'ab'), false);
    assert.equal(safeEqual('', 'a'), false);
  });

  it('agrees with the published vectors', () => {
    assert.equal(sha256('abc').toString('hex'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    // RFC 4231, test case 2
    assert.equal(
      hmacSha256('Jefe', 'what do ya want for nothing?').toString('hex'),
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
    assert.match(randomToken(32), /^[A-Za-z0-9_-]{43}$/);
  });
});

describe('errors', () => {
  it('have a complete table: status, level and a Retry-After where waiting helps', () => {
    for (const [kind, rule] of Object.entries(KINDS)) {
      assert.ok(rule.status >= 400 && rule.status < 600, kind);
      assert.equal(rule.logLevel === 'error', kind === 'internal', `${kind}: only our own fault is an error`);
    }
    assert.equal(fail.unavailable('x', 'y').extra.retryAfterS, 1);
    assert.equal(fail.rateLimited(7).extra.retryAfterS, 7);
  });

  it('make not_found the same bytes whatever was looked for', () => {
    const [a, b] = [fail.notFound(), fail.notFound()];
    assert.deepEqual([a.code, a.detail, a.status, a.extra], [b.code, b.detail, b.status, b.extra]);
  });

  it('keep what a driver said in the cause, out of code and detail', () => {
    const thrown = new Error('duplicate key value (email)=(ada@example.com)');
    const error = toKlarError(thrown);
    assert.equal(error.kind, 'internal');
    assert.equal(error.cause, thrown);
    assert.ok(!`${error.message}${error.code}${error.detail}`.includes('ada'));
    const own = fail.conflict('slug_taken', 'This slug is taken.', { cause: thrown });
    assert.equal(toKlarError(own), own);
    assert.ok(own instanceof KlarError && own.cause === thrown && !('cause' in own.extra));
  });
});

describe('fake clock', () => {
  it('stands still until it is moved', () => {
    const clock = fakeClock('2026-01-01T00:00:00Z');
    clock.advance(1500);
    assert.equal(clock.now().toISOString(), '2026-01-01T00:00:01.500Z');
    assert.equal(clock.now().getTime(), clock.now().getTime());
  });
});
