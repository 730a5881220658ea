import type { Actor } from '#domain/audit/index.ts';
import type { Identity } from '#domain/identity/index.ts';
import type { Payments } from '#domain/payments/index.ts';
import type { Permission, Principal, Role } from '#domain/tenancy/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import { routeFor } from '#platform/http/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Metrics } from '#platform/metrics/index.ts';

/** What the api's routes close over; `main.ts` builds it once. */
export interface ApiDeps {
  settings: Settings;
  log: Logger;
  metrics: Metrics;
  clock: Clock;
  /** As klar_api. */
  db: Db;
  /** better-auth, tokens, second factor; holds its own pool as klar_auth. */
  identity: Identity;
  /** Checkout against the configured provider. */
  payments: Payments;
}

type PersonPrincipal = Extract<Principal, { kind: 'person' }>;
type PlatformPrincipal = Extract<Principal, { kind: 'platform' }>;

/** The words of this process that the generic `route()` is bound to. */
export interface ApiTypes {
  permission: Permission;
  platformPermission: string;
  person: PersonPrincipal;
  member: Exclude<Principal, PlatformPrincipal>;
  platform: PlatformPrincipal;
  actor: Actor;
  role: Role;
}

/**
 * Declares a route of the api. Tenant routes get `tx` (or, with `steps: true`, `withTx` and `finish`); every other kind
 * closes over its deps. See `platform/http/route.ts` for each field.
 */
export const route = routeFor<ApiTypes>();
