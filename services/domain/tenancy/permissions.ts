/** What a member can be. The order is the order of power: accepting an invitation never lowers it. */
export const ROLES = ['owner', 'admin', 'teacher', 'support', 'student'] as const;
export type Role = (typeof ROLES)[number];

const EVERYONE = ROLES;
const STAFF = ['owner', 'admin', 'teacher', 'support'] as const;
const AUTHORS = ['owner', 'admin', 'teacher'] as const;
const ADMINS = ['owner', 'admin'] as const;
const OWNERS = ['owner'] as const;

/**
 * Who may do what inside a school: the whole table. A route names one of these; a module that needs another
 * adds its row here. Names are kept for ever: API keys hold them as scopes.
 */
export const PERMISSIONS = {
  'tenant.read': EVERYONE,
  'tenant.manage': ADMINS,
  'members.read': STAFF,
  'members.manage': ADMINS,
  /** Making, changing and removing owners. */
  'members.manage_owners': OWNERS,
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
  'orders.read_all': ['owner', 'admin', 'support'],
  'payments.create_session': EVERYONE,
  'payments.read': ['owner', 'admin', 'support'],
  'enrollments.read': EVERYONE,
  'enrollments.manage': ADMINS,
  'audit.read': ADMINS,
} as const satisfies Record<string, readonly Role[]>;

/** One thing that a role or an API key may do. */
export type Permission = keyof typeof PERMISSIONS;

/** Every permission, in the order of the table. */
export const ALL_PERMISSIONS = Object.keys(PERMISSIONS) as Permission[];

/** Never in a key that did not ask for them: with these a stolen key could make itself a successor. */
const NOT_BY_DEFAULT: ReadonlySet<Permission> = new Set([
  'api_keys.manage',
  'members.manage',
  'members.manage_owners',
  'invitations.manage',
]);

export function isPermission(name: string): name is Permission {
  return Object.hasOwn(PERMISSIONS, name);
}

export function roleHas(role: Role, permission: Permission): boolean {
  return (PERMISSIONS[permission] as readonly Role[]).includes(role);
}

/** What a role may do. */
export function permissionsOf(role: Role): Permission[] {
  return ALL_PERMISSIONS.filter((permission) => roleHas(role, permission));
}

/** Whether who holds `held` may hand out `role`: nobody gives what they do not have. */
export function mayGive(role: Role, held: readonly Permission[]): boolean {
  const has = new Set(held);
  return permissionsOf(role).every((permission) => has.has(permission));
}

/** Scopes of a key whose maker named none: everything they may do, but for handing out access. */
export function defaultScopes(held: readonly Permission[]): Permission[] {
  return held.filter((permission) => !NOT_BY_DEFAULT.has(permission));
}

/** The more powerful of two roles. */
export function strongerRole(a: Role, b: Role): Role {
  return ROLES.indexOf(a) <= ROLES.indexOf(b) ? a : b;
}

/**
 * What platform administrators may do, apart from every tenant role. ADMIN_TOKEN holds all of them.
 */
export const PLATFORM_PERMISSIONS = [
  'platform.tenants.read',
  'platform.tenants.block',
  'platform.tenants.suspend',
  'platform.ops.read',
  'platform.webhooks.read',
  'platform.webhooks.replay',
] as const;
export type PlatformPermission = (typeof PLATFORM_PERMISSIONS)[number];

export function isPlatformPermission(name: string): name is PlatformPermission {
  return (PLATFORM_PERMISSIONS as readonly string[]).includes(name);
}
