import { createPayments } from '#domain/payments/index.ts';
import { ALL_PERMISSIONS, type PersonPrincipal, ROLES, type Role } from '#domain/tenancy/index.ts';
import type { Route } from '#platform/http/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { apiRoutes } from '../../../services/api/routes/index.ts';
import { startTestApi } from '../../support/api.ts';
import { type School, TEST_PEPPER } from '../../support/factory.ts';
import { fakeGateway } from '../payments/fake-gateway.ts';
import { createRig, type Rig } from '../payments/rig.ts';
import { ALL_KINDS, journey, type Kind, makeGone, makeObject, unknownId } from './objects.ts';

/** A person who can log in. `token` is that of a session that goes on. */
export interface Person extends PersonPrincipal {
  password: string;
  token: string;
}

/**
 * `own` is the school most calls are about; its members of each role are also members of the suspended, the blocked and
 * the open one, and strangers in `other`.
 */
export const PLACES = ['own', 'other', 'suspended', 'blocked', 'open', 'closed', 'spare'] as const;
export type Place = (typeof PLACES)[number];

export const OTHERS = ['other_owner', 'stranger', 'former', 'operator'] as const;
export type PersonName = Role | (typeof OTHERS)[number];

export interface World {
  rig: Rig;
  url: string;
  /** The routes that the running api uses: what is changed here, it does. */
  routes: Route[];
  adminToken: string;
  schools: Record<Place, School>;
  /** Id and slug of a school that was there, and was found by its slug, before its rows were deleted. */
  goneSchool: School;
  people: Record<PersonName, Person>;
  /** Bearer tokens of keys, by what they are. */
  keys: Record<'other' | 'suspended' | 'blocked' | 'revoked', string>;
  /** A token whose session has ended. */
  endedToken: string;
  /** A stored provider event. */
  eventId: string;
  /** A key of the school `own` with exactly these scopes. */
  keyWith(scopes: readonly string[]): Promise<string>;
  /** An object made once per school and asking role, before anything was suspended or blocked. */
  fixed(place: Place, kind: Kind, role?: Role): string;
  gone(kind: Kind): string;
  unknown(kind: Kind): string;
  fresh(kind: Kind, caller?: PersonPrincipal): Promise<string>;
  /** Another session of a person. */
  login(person: Person): Promise<string>;
  close(): Promise<void>;
}

/** Schools whose objects calls name. */
const FURNISHED = ['own', 'other', 'suspended', 'blocked'] as const;

export async function createWorld(): Promise<World> {
  const gateway = fakeGateway();
  const rig = await createRig(gateway);
  const { database, factory } = rig;
  const routes: Route[] = [];
  const { api, url, adminToken, anybody, admin } = await startTestApi(database, {
    settings: { API_SECRET_SALT: TEST_PEPPER },
    overrides: {
      payments: createPayments({
        db: rig.api,
        gateway,
        log: silentLogger(),
        metrics: createMetrics(),
        publicBaseUrl: 'https://klar.test',
      }),
    },
    routes: (deps) => {
      routes.push(...apiRoutes(deps));
      return routes;
    },
  });

  async function login({ email, password }: { email: string; password: string }): Promise<string> {
    const body = { email, password };
    return (await anybody.expect<{ access_token: string }>(200, 'POST', '/api/auth/login', { body })).access_token;
  }
  async function register(name: string): Promise<Person> {
    const email = `${name}-${newId('x').slice(-8)}@example.com`;
    const password = `a password of ${name}`;
    const body = { email, password, name };
    const made = await anybody.expect<{ user: { id: string } }>(201, 'POST', '/api/auth/register', { body });
    await database.asSuperuser('update auth.people set email_verified = true where id = $1', [made.user.id]);
    const person = factory.person({ personId: made.user.id, email, name });
    return { ...person, password, token: await login({ email, password }) };
  }
  const names: PersonName[] = [...ROLES, ...OTHERS];
  const people = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await register(name)])),
  ) as Record<PersonName, Person>;

  const schools = {} as Record<Place, School>;
  for (const place of PLACES) {
    const owner = place === 'other' ? people.other_owner : people.owner;
    schools[place] = await factory.school({ owner, name: `The ${place} school`, slug: `the-${place}-school` });
    if (place === 'other' || place === 'closed') continue;
    for (const role of ROLES) if (role !== 'owner') await factory.member(schools[place], role, people[role]);
  }
  const { memberId } = await factory.member(schools.own, 'admin', people.former);
  const ownerOf = (place: Place) =>
    anybody.with({
      token: schools[place].owner === people.other_owner ? people.other_owner.token : people.owner.token,
      tenant: schools[place].slug,
    });
  await ownerOf('own').expect(204, 'DELETE', `/api/members/${memberId}`);
  await ownerOf('closed').expect(200, 'PATCH', '/api/tenants/current', { body: { open_registration: false } });

  const objects = new Map<string, string>();
  for (const place of FURNISHED) {
    const school = schools[place];
    await journey(rig, school, gateway);
    await ownerOf(place).expect(201, 'POST', '/api/invitations', {
      body: { email: `of-${place}@example.com`, role: 'student' },
      headers: { 'idempotency-key': `first of ${place}` },
    });
    const roles = place === 'other' ? (['owner'] as const) : ROLES;
    await Promise.all(
      ALL_KINDS.flatMap((kind) =>
        roles.map(async (role) => {
          const caller = place === 'other' ? people.other_owner : people[role];
          objects.set(`${place} ${kind} ${role}`, await makeObject(rig, school, kind, caller));
        }),
      ),
    );
  }
  const gone = new Map<Kind, string>();
  for (const kind of ALL_KINDS) gone.set(kind, await makeGone(rig, schools.own, kind));

  const all = async (place: Place) => (await factory.apiKey(schools[place], [...ALL_PERMISSIONS])).key;
  const revoked = await factory.apiKey(schools.own, [...ALL_PERMISSIONS]);
  // Known to the process before it is revoked: what it remembers of a key must not keep it alive.
  await anybody.with({ token: revoked.key }).expect(200, 'GET', '/api/tenants/current');
  await ownerOf('own').expect(204, 'DELETE', `/api/api-keys/${revoked.id}`);
  const keys = {
    other: await all('other'),
    suspended: await all('suspended'),
    blocked: await all('blocked'),
    revoked: revoked.key,
  };
  const reason = { body: { reason: 'matrix' } };
  await admin.expect(200, 'POST', `/api/admin/tenants/${schools.suspended.id}/suspend`, reason);
  await admin.expect(200, 'POST', `/api/admin/tenants/${schools.blocked.id}/block`, reason);

  const goneSchool = await factory.school({ owner: people.owner, slug: 'the-gone-school' });
  await ownerOf('own').with({ tenant: goneSchool.slug }).expect(200, 'GET', '/api/tenants/current');
  const remove = ['app.audit_pending', 'app.memberships', 'app.tenants', 'routing.person_tenants', 'routing.tenants'];
  await database.asSuperuser(
    `set session_replication_role = replica; ${remove.map((table) => `delete from ${table} where tenant_id = '${goneSchool.id}';`).join(' ')}
     reset session_replication_role`,
  );
  const endedToken = await login(people.stranger);
  await anybody.with({ token: endedToken }).expect(204, 'POST', '/api/auth/logout', { body: {} });
  const eventId = newId('evt');
  await database.asSuperuser(
    `insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state)
     values ($1, 'stripe', 'evt_of_matrix', 'thing', '{}', now(), 'test', 'ignored')`,
    [eventId],
  );

  const keysByScopes = new Map<string, Promise<string>>();
  return {
    rig,
    url,
    routes,
    adminToken,
    schools,
    goneSchool,
    people,
    keys,
    endedToken,
    eventId,
    keyWith(scopes) {
      const name = [...scopes].sort().join();
      const known = keysByScopes.get(name) ?? factory.apiKey(schools.own, [...scopes]).then(({ key }) => key);
      keysByScopes.set(name, known);
      return known;
    },
    fixed: (place, kind, role = 'owner') => objects.get(`${place} ${kind} ${role}`) ?? '',
    gone: (kind) => gone.get(kind) ?? '',
    unknown: unknownId,
    fresh: (kind, caller) => makeObject(rig, schools.own, kind, caller),
    login,
    async close() {
      await api.stop();
      await rig.close();
    },
  };
}
