export type { Mode } from './access.ts';
export { authorize } from './authorize.ts';
export {
  ALL_PERMISSIONS,
  isPermission,
  isPlatformPermission,
  PERMISSIONS,
  type Permission,
  PLATFORM_PERMISSIONS,
  type PlatformPermission,
  permissionsOf,
  ROLES,
  type Role,
  roleHas,
} from './permissions.ts';
export {
  type ApiKeyPrincipal,
  actorOf,
  type BillingState,
  type Grant,
  type PersonPrincipal,
  type PlatformPrincipal,
  type Principal,
} from './principal.ts';
