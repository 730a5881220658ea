import type { Permission, PlatformPermission, Role } from '#domain/tenancy/index.ts';
import type { Kind } from './objects.ts';

/** What must come back: a status, and the problem's code for a refusal. What only a module decides has no status here. */
export interface Expect {
  status?: number;
  code?: string;
}

const EVERYONE: readonly Role[] = ['owner', 'admin', 'teacher', 'support', 'student'];
const STAFF: readonly Role[] = ['owner', 'admin', 'teacher', 'support'];
const AUTHORS: readonly Role[] = ['owner', 'admin', 'teacher'];
const ADMINS: readonly Role[] = ['owner', 'admin'];
const CASHIERS: readonly Role[] = ['owner', 'admin', 'support'];

/**
 * Who may do what, written a second time and on purpose: the matrix computes from this table what every answer must be,
 * and never from the one it examines. Widening a role over there is red until somebody widens it here, too.
 */
export const ROLES_OF: Record<Permission, readonly Role[]> = {
  'tenant.read': EVERYONE,
  'tenant.manage': ADMINS,
  'members.read': STAFF,
  'members.manage': ADMINS,
  'members.manage_owners': ['owner'],
  'invitations.manage': ADMINS,
  'api_keys.manage': ADMINS,
  'courses.read': EVERYONE,
  'courses.write': AUTHORS,
  'lessons.read': EVERYONE,
  'lessons.write': AUTHORS,
  'services.read': EVERYONE,
  'services.write': AUTHORS,
  'orders.place': EVERYONE,
  'orders.read_own': EVERYONE,
  'orders.read_all': CASHIERS,
  'payments.create_session': EVERYONE,
  'payments.read': CASHIERS,
  'enrollments.read': EVERYONE,
  'enrollments.manage': ADMINS,
  'audit.read': ADMINS,
};

/** An object of the same school that only some roles may touch; for the others it is as unknown unless said otherwise. */
export interface Special {
  kind: Kind;
  roles: readonly Role[];
  otherwise?: Expect;
}

export interface TenantRow {
  permission: Permission;
  mode: 'read' | 'write';
  ok: number;
  /** What the route's id is of: in the path, or where `body` and `query` put it. */
  names?: Kind;
  body?(id: string, unique: string): unknown;
  query?(id: string): Record<string, string> | undefined;
  /** Answer about an id that is not there, or not for the caller. */
  missing?: Expect;
  /** Answer to a key with exactly this permission about the school's own thing, where it is another than a person's. */
  key?: Expect;
  /** And about what is not there. */
  keyMissing?: Expect;
  also?: readonly Special[];
  /** Of a list: what everybody who may read it finds in it, and what only these roles find. */
  lists?: { everybody: Kind; only: Special };
}

const NOT_FOUND: Expect = { status: 404, code: 'not_found' };
const PERSONS_ONLY: Expect = { status: 403, code: 'person_required' };
const NOT_FOR_SALE: Expect = { status: 422, code: 'item_not_available' };
const NOT_YOURS: Expect = { status: 403, code: 'role_not_yours_to_give' };
const OTHERS_ORDER: Special = { kind: 'others_order', roles: CASHIERS };
const title = () => ({ title: 'Changed' });

/** Every route inside a tenant. A route that is missing here, or here and nowhere else, fails the test. */
export const TENANT_ROUTES: Record<string, TenantRow> = {
  'tenants.show': { permission: 'tenant.read', mode: 'read', ok: 200 },
  'tenants.update': { permission: 'tenant.manage', mode: 'write', ok: 200, body: () => ({ name: 'Renamed' }) },

  'members.list': { permission: 'members.read', mode: 'read', ok: 200 },
  'members.change_role': {
    permission: 'members.manage',
    mode: 'write',
    ok: 200,
    names: 'member',
    body: () => ({ role: 'teacher' }),
    key: NOT_YOURS,
    also: [{ kind: 'owner_member', roles: ['owner'], otherwise: NOT_YOURS }],
  },
  'members.remove': {
    permission: 'members.manage',
    mode: 'write',
    ok: 204,
    names: 'member',
    key: NOT_YOURS,
    also: [{ kind: 'owner_member', roles: ['owner'], otherwise: NOT_YOURS }],
  },
  'invitations.create': {
    permission: 'invitations.manage',
    mode: 'write',
    ok: 201,
    body: (_id, unique) => ({ email: `${unique}@example.com`, role: 'student' }),
    // Nobody hands out what they do not have: a key with this scope alone has nothing to give.
    key: NOT_YOURS,
  },
  'invitations.list': { permission: 'invitations.manage', mode: 'read', ok: 200 },
  'invitations.revoke': { permission: 'invitations.manage', mode: 'write', ok: 204, names: 'invitation' },
  'api_keys.create': {
    permission: 'api_keys.manage',
    mode: 'write',
    ok: 201,
    body: () => ({ name: 'Another', scopes: ['api_keys.manage'] }),
  },
  'api_keys.list': { permission: 'api_keys.manage', mode: 'read', ok: 200 },
  'api_keys.revoke': { permission: 'api_keys.manage', mode: 'write', ok: 204, names: 'api_key' },

  'courses.list': {
    permission: 'courses.read',
    mode: 'read',
    ok: 200,
    lists: { everybody: 'course', only: { kind: 'draft_course', roles: AUTHORS } },
  },
  'courses.create': { permission: 'courses.write', mode: 'write', ok: 201, body: title },
  'courses.show': {
    permission: 'courses.read',
    mode: 'read',
    ok: 200,
    names: 'course',
    also: [{ kind: 'draft_course', roles: AUTHORS }],
  },
  'courses.update': { permission: 'courses.write', mode: 'write', ok: 200, names: 'course', body: title },
  'lessons.list': {
    permission: 'lessons.read',
    mode: 'read',
    ok: 200,
    names: 'course',
    also: [{ kind: 'closed_course', roles: AUTHORS }],
  },
  'lessons.create': { permission: 'lessons.write', mode: 'write', ok: 201, names: 'course', body: title },
  'lessons.update': { permission: 'lessons.write', mode: 'write', ok: 200, names: 'lesson', body: title },
  'lessons.done': {
    permission: 'lessons.read',
    mode: 'write',
    ok: 200,
    names: 'lesson',
    key: PERSONS_ONLY,
    keyMissing: PERSONS_ONLY,
    also: [{ kind: 'closed_lesson', roles: AUTHORS }],
  },
  'enrollments.list': {
    permission: 'enrollments.read',
    mode: 'read',
    ok: 200,
    query: (id) => (id === '' ? undefined : { person_id: id }),
    lists: { everybody: 'course', only: { kind: 'closed_course', roles: [] } },
    also: [{ kind: 'person', roles: ADMINS, otherwise: { status: 403, code: 'forbidden' } }],
  },
  'enrollments.create': {
    permission: 'enrollments.manage',
    mode: 'write',
    ok: 201,
    names: 'closed_course',
    body: (id, unique) => ({ course_id: id, person_id: `usr_${unique}` }),
  },

  'services.list': {
    permission: 'services.read',
    mode: 'read',
    ok: 200,
    lists: { everybody: 'service', only: { kind: 'draft_service', roles: AUTHORS } },
  },
  'services.create': {
    permission: 'services.write',
    mode: 'write',
    ok: 201,
    body: () => ({ title: 'New', duration_minutes: 30 }),
  },
  'services.show': {
    permission: 'services.read',
    mode: 'read',
    ok: 200,
    names: 'service',
    also: [{ kind: 'draft_service', roles: AUTHORS }],
  },
  'services.update': { permission: 'services.write', mode: 'write', ok: 200, names: 'service', body: title },

  'orders.place': {
    permission: 'orders.place',
    mode: 'write',
    ok: 201,
    names: 'closed_course',
    body: (id) => ({ lines: [{ kind: id.startsWith('svc_') ? 'service' : 'course', id, quantity: 1 }] }),
    missing: NOT_FOR_SALE,
    key: PERSONS_ONLY,
    keyMissing: PERSONS_ONLY,
    also: [
      { kind: 'draft_course', roles: [] },
      { kind: 'draft_service', roles: [] },
      { kind: 'service', roles: EVERYONE },
    ],
  },
  'orders.list': {
    permission: 'orders.read_own',
    mode: 'read',
    ok: 200,
    lists: { everybody: 'order', only: OTHERS_ORDER },
  },
  // A key has no orders of its own.
  'orders.show': {
    permission: 'orders.read_own',
    mode: 'read',
    ok: 200,
    names: 'order',
    key: NOT_FOUND,
    also: [OTHERS_ORDER],
  },
  'orders.cancel': {
    permission: 'orders.place',
    mode: 'write',
    ok: 200,
    names: 'order',
    key: NOT_FOUND,
    also: [OTHERS_ORDER],
  },
  'payments.create_session': {
    permission: 'payments.create_session',
    mode: 'write',
    ok: 201,
    names: 'order',
    body: (id) => ({ order_id: id }),
    key: NOT_FOUND,
    also: [OTHERS_ORDER],
  },
  'payments.list': {
    permission: 'payments.read',
    mode: 'read',
    ok: 200,
    names: 'order',
    query: (id) => ({ order_id: id }),
    missing: { status: 200 },
  },
  'payments.incidents': { permission: 'payments.read', mode: 'read', ok: 200 },
};

/** Routes of the platform's administrators. */
export const PLATFORM_ROUTES: Record<string, PlatformRow> = {
  'admin.tenants.list': { permission: 'platform.tenants.read' },
  'admin.tenants.show': { permission: 'platform.tenants.read', names: 'tenant' },
  'admin.tenants.block': { permission: 'platform.tenants.block', names: 'tenant', body: () => REASON },
  'admin.tenants.unblock': { permission: 'platform.tenants.block', names: 'tenant', body: () => REASON },
  'admin.tenants.suspend': { permission: 'platform.tenants.suspend', names: 'tenant', body: () => REASON },
  'admin.tenants.unsuspend': { permission: 'platform.tenants.suspend', names: 'tenant', body: () => REASON },
  'admin.webhooks.list': { permission: 'platform.webhooks.read' },
  'admin.webhooks.show': { permission: 'platform.webhooks.read', names: 'event' },
  'admin.webhooks.replay': { permission: 'platform.webhooks.replay', body: (id) => ({ ids: [id], ...REASON }) },
  'admin.webhooks.redrive': { permission: 'platform.webhooks.replay', body: (id) => ({ ids: [id], ...REASON }) },
  'ops.metrics': { permission: 'platform.ops.read' },
};
export interface PlatformRow {
  permission: PlatformPermission;
  names?: 'tenant' | 'event';
  body?(id: string): unknown;
}
const REASON = { reason: 'matrix' };
