export { type Mode, tenantRefusal } from './access.ts';
export { looksLikeApiKey, type Pepper } from './api-key.ts';
export {
  type ApiKey,
  createApiKey,
  listApiKeys,
  resealApiKeys,
  revokeApiKey,
} from './api-key-service.ts';
export { authorize } from './authorize.ts';
export { INVITATION_DAYS, type InvitationState } from './invitation.ts';
export { type Invitation, invite, listInvitations, revokeInvitation } from './invitation-service.ts';
export { type By, changeRole, heldBy, listMembers, type Member, removeMember } from './member-service.ts';
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
  grantPlatformAdmin,
  listPlatformAdmins,
  listTenants,
  type PlatformAdmin,
  platformPrincipalOfToken,
  revokePlatformAdmin,
  setBlocked,
  setSuspended,
  showTenant,
  type TenantDetails,
  type TenantSummary,
} from './platform-service.ts';
export {
  type ApiKeyPrincipal,
  actorOf,
  BILLING_STATES,
  type BillingState,
  type Grant,
  type PersonPrincipal,
  type PlatformPrincipal,
  type Principal,
} from './principal.ts';
export { revokedApiKeys } from './store/api-keys.ts';
export { oldInvitations } from './store/invitations.ts';
export { tenantIdAt, tenantIdsAfter } from './store/tenants.ts';
export { createTenancy, type Tenancy } from './tenancy.ts';
export { isPlainName, NAME_MAX, NAME_PATTERN, normalizeEmail, SLUG_MAX, SLUG_MIN, SLUG_PATTERN } from './tenant.ts';
export {
  currentTenant,
  type Membership,
  type MembershipPage,
  schoolName,
  type Tenant,
  updateTenant,
} from './tenant-service.ts';
