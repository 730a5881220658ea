import type { Actor } from '#domain/audit/index.ts';
import type { Permission, PlatformPermission, Role } from './permissions.ts';

/** A logged-in person. `emailVerified`: as of the access token (at most five minutes old). */
export interface PersonPrincipal {
  kind: 'person';
  personId: string;
  sessionId: string;
  email: string;
  emailVerified: boolean;
  name: string;
}

/** An API key whose secret was verified. Whether it is still valid is read by `authorize`, in the request's transaction. */
export interface ApiKeyPrincipal {
  kind: 'api_key';
  keyId: string;
  tenantId: string;
  scopes: readonly Permission[];
}

/** A platform administrator; `id` is 'admin-token' or a person's id. Belongs to no tenant. */
export interface PlatformPrincipal {
  kind: 'platform';
  id: string;
  permissions: readonly PlatformPermission[];
}

/** Who calls. */
export type Principal = PersonPrincipal | ApiKeyPrincipal | PlatformPrincipal;

/** The audit's name for a principal. */
export function actorOf(principal: Principal): Actor {
  if (principal.kind === 'person') return { kind: 'person', id: principal.personId };
  if (principal.kind === 'api_key') return { kind: 'api_key', id: principal.keyId };
  return { kind: 'platform', id: principal.id };
}

/** `closed` and `suspended` refuse writes; what the other states limit is billing's to say. */
export const BILLING_STATES = ['trialing', 'active', 'past_due', 'limited', 'suspended', 'closed'] as const;
export type BillingState = (typeof BILLING_STATES)[number];

/** What `authorize` found: the caller's standing in this tenant at this moment. */
export interface Grant {
  tenantId: string;
  slug: string;
  /** The school's display name. */
  name: string;
  billingState: BillingState;
  /** Role of the person; undefined for a key. */
  role: Role | undefined;
  /** Scopes of the key; undefined for a person. */
  scopes: readonly Permission[] | undefined;
  /** All that the caller may do here. */
  held: readonly Permission[];
}
