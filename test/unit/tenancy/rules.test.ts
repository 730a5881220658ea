import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BILLING_STATES, isPlainName, normalizeEmail, permissionsOf, ROLES } from '#domain/tenancy/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { decide, type Standing } from '../../../services/domain/tenancy/access.ts';
import { decideAcceptance } from '../../../services/domain/tenancy/invitation.ts';
import { roleChangeRefusal } from '../../../services/domain/tenancy/member.ts';
import { RESERVED_SLUGS, slugProblem } from '../../../services/domain/tenancy/tenant.ts';

const codeOf = (result: unknown) => (result instanceof KlarError ? result.code : 'allowed');
const member: Standing = {
  tenantId: 'ten_1',
  slug: 's',
  name: 'S',
  billingState: 'active',
  blocked: false,
  role: 'owner',
  scopes: null,
};

describe('tenancy: rules', () => {
  it('decides every standing, and never allows where one rule refuses', () => {
    const standing = fc.record({
      tenantId: fc.constant('ten_1'),
      slug: fc.constant('s'),
      name: fc.constant('S'),
      billingState: fc.constantFrom(...BILLING_STATES),
      blocked: fc.boolean(),
      role: fc.option(fc.constantFrom(...ROLES)),
      scopes: fc.option(fc.subarray(['courses.write', 'tenant.read', 'gone.permission'])),
    });
    fc.assert(
      fc.property(standing, fc.constantFrom('read', 'write'), (s, mode) => {
        const result = codeOf(decide(s, 'courses.write', mode));
        const held = s.scopes ?? (s.role === null ? [] : permissionsOf(s.role));
        const expected =
          s.role === null && s.scopes === null
            ? 'not_found'
            : s.blocked
              ? 'tenant_blocked'
              : !held.includes('courses.write')
                ? 'permission_denied'
                : mode === 'write' && ['suspended', 'closed'].includes(s.billingState)
                  ? 'tenant_suspended'
                  : 'allowed';
        assert.equal(result, expected);
      }),
    );
    assert.equal(codeOf(decide(undefined, 'tenant.read', 'read')), 'not_found');
    assert.equal(codeOf(decide({ ...member, scopes: [], role: null }, 'tenant.read', 'read')), 'permission_denied');
  });

  it('keeps an owner, and lets nobody touch a role above their own', () => {
    const code = (
      held: Parameters<typeof permissionsOf>[0],
      from: 'owner' | 'student',
      to: 'admin' | 'owner' | null,
      owners = 2,
    ) => codeOf(roleChangeRefusal({ held: permissionsOf(held), from, to, owners }) ?? 'fine');
    assert.equal(code('owner', 'owner', 'admin', 1), 'last_owner');
    assert.equal(code('owner', 'owner', null, 1), 'last_owner');
    assert.equal(code('owner', 'owner', 'owner', 1), 'allowed');
    assert.equal(code('owner', 'owner', 'admin', 2), 'allowed');
    assert.equal(code('admin', 'owner', null), 'role_not_yours_to_give');
    assert.equal(code('admin', 'student', 'owner'), 'role_not_yours_to_give');
    assert.equal(code('admin', 'student', 'admin'), 'allowed');
  });

  it('tells a foreign address nothing, in every state of the invitation', () => {
    for (const state of ['pending', 'accepted', 'revoked'] as const) {
      for (const expired of [true, false]) {
        const invitation = { email: 'a@b.c', state, expired, acceptedBy: null };
        const person = { personId: 'usr_1', email: 'x@y.z', emailVerified: true };
        assert.equal(codeOf(decideAcceptance({ invitation, person })), 'invitation_for_another_address');
      }
    }
  });

  it('takes DNS labels as slugs, and none of the reserved ones', () => {
    for (const good of ['abc', 'a1-b2', '123', 'a'.repeat(40)]) assert.equal(slugProblem(good), undefined, good);
    for (const bad of ['ab', 'a--b', '-ab', 'ab-', 'Abc', 'ä-schule', 'a_b', '_platform', 'abc\n', 'a'.repeat(41)]) {
      assert.equal(slugProblem(bad), 'invalid_slug', bad);
    }
    for (const word of RESERVED_SLUGS) {
      assert.equal(slugProblem(word), word.length < 3 ? 'invalid_slug' : 'slug_reserved', word);
    }
  });

  it('takes names of all scripts and none that could break a header or mislead a reader', () => {
    for (const good of ['Anna’s Schule', '学校', 'مدرسة', 'École 42', '👩‍🏫 Klar', '1', '?'])
      assert.ok(isPlainName(good), good);
    for (const bad of [
      '',
      ' ',
      '\u200b\u00a0',
      'a\nb',
      'a\u0000',
      'a\u007f',
      'a\u0085b',
      'a\u2028b',
      'a\u202eb',
      'a\u2066b',
      'a\ud800',
      'x'.repeat(121),
    ]) {
      assert.ok(!isPlainName(bad), JSON.stringify(bad));
    }
    assert.ok(isPlainName('😀'.repeat(120)));
  });

  it('has one spelling per address', () => {
    assert.equal(normalizeEmail('  Anna@EXAMPLE.com '), 'anna@example.com');
    assert.equal(normalizeEmail('a\u0308@x.y'), '\u00e4@x.y');
  });
});
