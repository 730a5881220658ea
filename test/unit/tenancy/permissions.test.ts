import assert from 'node:assert/strict';
import { ALL_PERMISSIONS, isPermission, permissionsOf, ROLES, roleHas } from '#domain/tenancy/index.ts';
import { defaultScopes, mayGive, strongerRole } from '../../../services/domain/tenancy/permissions.ts';

describe('tenancy: permissions', () => {
  it('gives every permission to the owner', () => {
    assert.deepEqual(permissionsOf('owner'), ALL_PERMISSIONS);
  });

  it('lets an admin give every role but the owner’s, and a teacher none with more than it has', () => {
    const admin = permissionsOf('admin');
    assert.deepEqual(
      ROLES.filter((role) => mayGive(role, admin)),
      ['admin', 'teacher', 'support', 'student'],
    );
    assert.ok(!mayGive('admin', permissionsOf('teacher')));
    assert.ok(!mayGive('support', permissionsOf('teacher')));
    assert.ok(!mayGive('student', []));
  });

  it('keeps students away from everything that manages', () => {
    for (const permission of ALL_PERMISSIONS) {
      if (/manage|write|_all$/.test(permission)) assert.ok(!roleHas('student', permission), permission);
    }
  });

  it('knows its own names and none of Object’s', () => {
    for (const name of ['toString', 'constructor', '__proto__', '', 'courses']) assert.ok(!isPermission(name), name);
    for (const name of ALL_PERMISSIONS) assert.match(name, /^[a-z_]+\.[a-z_]+$/);
  });

  it('leaves out of a key’s default scopes what hands out access', () => {
    const left = ALL_PERMISSIONS.filter((p) => !defaultScopes(ALL_PERMISSIONS).includes(p));
    assert.deepEqual(left.sort(), ['api_keys.manage', 'invitations.manage', 'members.manage', 'members.manage_owners']);
  });

  it('orders roles by power', () => {
    for (const [i, a] of ROLES.entries()) {
      for (const [j, b] of ROLES.entries()) assert.equal(strongerRole(a, b), ROLES[Math.min(i, j)]);
    }
  });
});
