import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isAddress } from '#domain/notifications/index.ts';
import { EMAIL_PATTERN, normalizeEmail, throttleKey } from '../../../services/domain/identity/email.ts';
import { afterFailure, FORGET_AFTER_S, FREE_FAILURES } from '../../../services/domain/identity/lockout.ts';
import { normalizePassword, passwordFault } from '../../../services/domain/identity/password.ts';
import { OUTSIDE_CACHE_MS, REVOCATION_POLL_MS, REVOCATION_STALE_MS } from '../../../services/domain/identity/rules.ts';

describe('lockout', () => {
  it('starts at the tenth failure, doubles, and never exceeds a quarter of an hour', () => {
    let failures = 0;
    const locks: number[] = [];
    for (let i = 0; i < 30; i += 1) {
      const next = afterFailure({ failures, ageS: 1 });
      failures = next.failures;
      locks.push(next.lockS);
    }
    assert.deepEqual(locks.slice(0, FREE_FAILURES - 1), Array(FREE_FAILURES - 1).fill(0));
    assert.deepEqual(locks.slice(FREE_FAILURES - 1, FREE_FAILURES + 5), [30, 60, 120, 240, 480, 900]);
    assert.equal(Math.max(...locks), 900);
  });

  it('forgets after a day', () => {
    assert.deepEqual(afterFailure({ failures: 500, ageS: FORGET_AFTER_S + 1 }), { failures: 1, lockS: 0 });
  });

  it('is a finite number of seconds for any count', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (failures, ageS) => {
        const { lockS } = afterFailure({ failures, ageS });
        assert.ok(Number.isInteger(lockS) && lockS >= 0 && lockS <= 900);
      }),
    );
  });
});

describe('password rule', () => {
  it('counts characters, takes spaces and any script, and refuses what cannot be typed', () => {
    assert.equal(passwordFault('1234567'), 'too_short');
    assert.equal(passwordFault('12345678'), undefined);
    assert.equal(passwordFault('🔐'.repeat(7)), 'too_short');
    assert.equal(passwordFault('🔐'.repeat(8)), undefined);
    assert.equal(passwordFault('пароль мой длинный'), undefined);
    assert.equal(passwordFault('x'.repeat(257)), 'too_long');
    assert.equal(passwordFault('ab\u0000cdefgh'), 'control_characters');
    assert.equal(passwordFault('Ada@Example.com', 'ada@example.com'), 'same_as_email');
  });

  it('has one spelling, however it was typed', () => {
    assert.equal(normalizePassword('cafe\u0301'), normalizePassword('caf\u00e9'));
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        (text) => normalizePassword(normalizePassword(text)) === normalizePassword(text),
      ),
    );
  });
});

describe('address', () => {
  it('is folded to one spelling, and hashed apart by purpose', () => {
    assert.equal(normalizeEmail('  Ada@Example.COM '), 'ada@example.com');
    assert.deepEqual(throttleKey('login', 'ADA@example.com'), throttleKey('login', 'ada@example.com'));
    assert.notDeepEqual(throttleKey('login', 'ada@example.com'), throttleKey('mail.reset', 'ada@example.com'));
  });

  it('of an account is one that mail servers take', () => {
    const good = ['a@b.se', "o'brien+tag@mail.example.com", `${'a'.repeat(64)}@${'b'.repeat(63)}.se`];
    for (const email of good) assert.ok(EMAIL_PATTERN.test(email) && isAddress(email), email);
    const bad = ['a@b', '.a@b.se', 'a.@b.se', 'a@-b.se', 'a@b_c.se', 'a@b.s3', 'ä@b.se', 'a@b.se\n'];
    const long = [`${'a'.repeat(65)}@b.se`, `a@${'b'.repeat(64)}.se`, `a@b.${'c'.repeat(64)}`];
    for (const email of [...bad, ...long]) assert.ok(!EMAIL_PATTERN.test(email), email);
  });
});

describe('the 5 seconds within which a revocation is seen everywhere', () => {
  it('are kept by the numbers: stale knowledge and a poll that fails', () => {
    assert.ok(REVOCATION_STALE_MS < 5_000);
    assert.ok(REVOCATION_POLL_MS < REVOCATION_STALE_MS);
    assert.ok(OUTSIDE_CACHE_MS < 5_000);
  });
});
