import type { Actor } from '#domain/audit/index.ts';
import type { Flags } from '#domain/flags/index.ts';
import type { Identity } from '#domain/identity/index.ts';
import type { Payments } from '#domain/payments/index.ts';
import type {
  ApiKeyPrincipal,
  Grant,
  Permission,
  PersonPrincipal,
  PlatformPermission,
  PlatformPrincipal,
  Tenancy,
} from '#domain/tenancy/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import { routeFor } from '#platform/http/index.ts';
import type { Readiness } from '#platform/lifecycle/index.ts';
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
  /** People, sessions, tokens; holds its own pool as klar_auth. */
  identity: Identity;
  /** Finding the tenant, knowing API keys and platform administrators, entering a school. */
  tenancy: Tenancy;
  /** Checkout against the configured provider. */
  payments: Payments;
  /** What is turned on, for whom; answered from memory. */
  flags: Pick<Flags, 'isOn'>;
  /** What `/readyz` says, for `GET /api/ready`. */
  readiness: () => Promise<Readiness>;
}

/** The words of this process that the generic `route()` is bound to. */
export interface ApiTypes {
  permission: Permission;
  platformPermission: PlatformPermission;
  person: PersonPrincipal;
  member: PersonPrincipal | ApiKeyPrincipal;
  platform: PlatformPrincipal;
  actor: Actor;
  grant: Grant;
}

/**
 * Declares a route of the api. Tenant routes get `tx` (or, with `steps: true`, `withTx` and `finish`); every other kind
 * closes over its deps. See `platform/http/route.ts` for each field.
 */
export const route = routeFor<ApiTypes>();
