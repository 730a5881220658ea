import type { Clock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Logger } from '#platform/log/index.ts';
import type { Pepper } from './api-key.ts';
import { createKeyAuthenticator, isLiveKey } from './authenticate.ts';
import { createDirectory } from './directory.ts';
import { acceptInvitation } from './invitation-service.ts';
import type { Role } from './permissions.ts';
import { platformPrincipalOfPerson } from './platform-service.ts';
import type { ApiKeyPrincipal, PersonPrincipal, PlatformPrincipal } from './principal.ts';
import {
  createTenant,
  joinTenant,
  type Membership,
  type MembershipPage,
  membershipsOf,
  type Tenant,
} from './tenant-service.ts';

/** What happens before a transaction in one tenant can be opened: finding the tenant, knowing who calls, entering. */
export interface Tenancy {
  /** The tenant with this slug, if any. Grants nothing: `authorize` follows. */
  tenantIdOfSlug(slug: string): Promise<string | undefined>;
  /** The principal of a bearer token `klar_...`; undefined when it is no key of ours. `authorize` decides if it still works. */
  authenticateApiKey(key: string): Promise<ApiKeyPrincipal | undefined>;
  /** Whether a key that was verified still works. Only for where no tenant is entered: `authorize` reads it itself. */
  isLiveKey(key: ApiKeyPrincipal): Promise<boolean>;
  /** The platform principal of a person with a platform role. */
  platformPrincipalOfPerson(personId: string): Promise<PlatformPrincipal | undefined>;
  /** See {@link createTenant}. */
  createTenant(person: PersonPrincipal, input: { name: string; slug: string }): Promise<Membership>;
  /** See {@link joinTenant}. */
  join(person: PersonPrincipal, slug: string): Promise<{ role: Role; joined: boolean }>;
  /** See {@link acceptInvitation}. */
  acceptInvitation(person: PersonPrincipal, token: string): Promise<{ tenant: Tenant; role: Role }>;
  /** The schools of a person, by tenant id. */
  membershipsOf(personId: string, after: string, limit: number): Promise<MembershipPage>;
}

/** @param input.db as klar_api */
export function createTenancy(input: { db: Db; pepper: Pepper; clock: Clock; log: Logger }): Tenancy {
  const { db } = input;
  const tenantIdOfSlug = createDirectory(db);
  return {
    tenantIdOfSlug,
    authenticateApiKey: createKeyAuthenticator(input),
    isLiveKey: (key) => isLiveKey(db, key),
    platformPrincipalOfPerson: (personId) => platformPrincipalOfPerson(db, personId),
    createTenant: (person, tenant) => createTenant(db, person, tenant),
    async join(person, slug) {
      const tenantId = await tenantIdOfSlug(slug);
      if (tenantId === undefined) throw fail.notFound();
      return joinTenant(db, person, tenantId);
    },
    acceptInvitation: (person, token) => acceptInvitation(db, person, token),
    membershipsOf: (personId, after, limit) => membershipsOf(db, personId, after, limit),
  };
}
