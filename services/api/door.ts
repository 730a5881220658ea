import type { IncomingMessage } from 'node:http';
import type { Identity } from '#domain/identity/index.ts';
import {
  actorOf,
  authorize,
  looksLikeApiKey,
  type Permission,
  type PlatformPermission,
  type Principal,
  platformPrincipalOfToken,
  type Tenancy,
} from '#domain/tenancy/index.ts';
import type { Secret } from '#platform/config/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Door } from '#platform/http/index.ts';

export interface DoorInput {
  identity: Pick<Identity, 'verifyAccessToken'>;
  tenancy: Pick<Tenancy, 'authenticateApiKey' | 'isLiveKey' | 'tenantIdOfSlug' | 'platformPrincipalOfPerson'>;
  adminToken: Secret | undefined;
}

// RFC 6750. An upper limit, so that nobody has us hash or parse a header full of noise.
const BEARER = /^Bearer ([A-Za-z0-9._~+/-]{1,8192}=*)$/i;

const invalidKey = () => fail.unauthenticated('invalid_api_key', 'This API key is not valid.');

/** How the api knows its callers: API keys and administrators by tenancy, people by identity. */
export function createDoor({ identity, tenancy, adminToken }: DoorInput): Door {
  async function authenticate(req: IncomingMessage): Promise<Principal | undefined> {
    const header = req.headers.authorization;
    if (header === undefined) return undefined;
    const token = BEARER.exec(header)?.[1];
    if (token === undefined) throw fail.unauthenticated('invalid_token', 'Send `Authorization: Bearer <token>`.');
    if (looksLikeApiKey(token)) {
      const key = await tenancy.authenticateApiKey(token);
      if (key === undefined) throw invalidKey();
      return key;
    }
    return platformPrincipalOfToken(adminToken, token) ?? (await identity.verifyAccessToken(token));
  }

  async function platformOf(principal: Principal): Promise<Principal> {
    if (principal.kind === 'platform') return principal;
    const admin = principal.kind === 'person' ? await tenancy.platformPrincipalOfPerson(principal.personId) : undefined;
    if (admin === undefined) throw fail.notFound();
    return admin;
  }

  return {
    authenticate,
    async admit(given, access) {
      const principal = given as Principal;
      // A key is of no use on these routes, alive or not; but only a valid credential is told so.
      if (principal.kind === 'api_key' && access.kind !== 'tenant' && !(await tenancy.isLiveKey(principal))) {
        throw invalidKey();
      }
      if (access.kind === 'platform') {
        const admin = await platformOf(principal);
        if (admin.kind !== 'platform' || !admin.permissions.includes(access.permission as PlatformPermission)) {
          throw fail.notFound();
        }
        return admin;
      }
      // An administrator's credential works on the admin routes only; so does nothing by accident inside a school.
      if (principal.kind === 'platform') throw fail.forbidden('member_required', 'This is not an admin route.');
      if (access.kind === 'person' && principal.kind !== 'person') {
        throw fail.forbidden('person_required', 'This needs a logged-in person; an API key cannot do it.');
      }
      return principal;
    },
    async tenantOf(given, slug) {
      const principal = given as Principal;
      if (principal.kind === 'api_key') {
        // A key shown to another school than its own learns as little as a stranger.
        if (slug !== undefined && (await tenancy.tenantIdOfSlug(slug)) !== principal.tenantId) throw fail.notFound();
        return principal.tenantId;
      }
      if (slug === undefined) throw fail.invalid('tenant_required', 'Send the school in the header Klar-Tenant.');
      const tenantId = await tenancy.tenantIdOfSlug(slug);
      if (tenantId === undefined) throw fail.notFound();
      return tenantId;
    },
    async authorize(tx, principal, permission, mode) {
      const grant = await authorize(tx, principal as Principal, permission as Permission, mode);
      return { ...grant, role: grant.role };
    },
    nameOf(principal) {
      const { kind, id } = actorOf(principal as Principal);
      return `${kind}:${id}`;
    },
    actorOf: (principal) => actorOf(principal as Principal),
  };
}
