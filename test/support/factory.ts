import {
  createApiKey,
  createTenancy,
  heldBy,
  invite,
  type PersonPrincipal,
  type Role,
  type Tenancy,
} from '#domain/tenancy/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { fixedSecret, type Secret } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import type { TestDatabase } from './database.ts';

export const TEST_PEPPER = 'a test-only pepper that is long enough';

/** A school as tests use it. */
export interface School {
  id: string;
  slug: string;
  name: string;
  owner: PersonPrincipal;
}

/** Persons, schools, members and keys, made by the domain's own functions as klar_api. */
export interface Factory {
  db: Db;
  tenancy: Tenancy;
  pepper: Secret;
  /** A principal; no row in schema auth stands behind it. */
  person(overrides?: Partial<PersonPrincipal>): PersonPrincipal;
  school(input?: { name?: string; slug?: string; owner?: PersonPrincipal }): Promise<School>;
  /** Joins, and is then given the role by the superuser. */
  member(school: School, role?: Role, person?: PersonPrincipal): Promise<PersonPrincipal & { memberId: string }>;
  /** A key made by the school's owner. */
  apiKey(school: School, scopes?: string[]): Promise<{ id: string; key: string; prefix: string }>;
  /** An invitation and its token, as the mail would bring it. */
  invitation(school: School, email: string, role?: Role): Promise<{ id: string; token: string }>;
}

let count = 0;

/** @param database the file's own; rows that no function of the domain makes directly are written as its superuser */
export function createFactory(database: TestDatabase, db: Db = database.db('klar_api', { poolSize: 8 })): Factory {
  const pepper = fixedSecret('API_SECRET_SALT', TEST_PEPPER);
  const tenancy = createTenancy({ db, pepper, clock: systemClock, log: silentLogger() });

  function person(overrides: Partial<PersonPrincipal> = {}): PersonPrincipal {
    count += 1;
    return {
      kind: 'person',
      personId: newId('usr'),
      sessionId: newId('ses'),
      email: `person-${count}-${newId('x').slice(-6)}@example.com`,
      emailVerified: true,
      name: `Person ${count}`,
      ...overrides,
    };
  }

  async function school(input: { name?: string; slug?: string; owner?: PersonPrincipal } = {}): Promise<School> {
    const owner = input.owner ?? person();
    const slug = input.slug ?? `school-${newId('s').slice(-12)}`;
    const { tenant } = await tenancy.createTenant(owner, { name: input.name ?? `School ${slug}`, slug });
    return { id: tenant.tenantId, slug, name: tenant.name, owner };
  }

  async function member(school: School, role: Role = 'student', who: PersonPrincipal = person()) {
    await tenancy.join(who, school.slug);
    const [row] = await database.asSuperuser<{ id: string }>(
      'update app.memberships set role = $3 where tenant_id = $1 and person_id = $2 returning id',
      [school.id, who.personId, role],
    );
    return { ...who, memberId: row?.id ?? '' };
  }

  async function apiKey(school: School, scopes?: string[]) {
    const by = { principal: school.owner, held: heldBy(school.owner, 'owner') };
    const made = await db.withTenantTx(school.id, (tx) =>
      createApiKey(tx, by, pepper, { name: 'Test key', ...(scopes === undefined ? {} : { scopes }) }),
    );
    return { id: made.row.id, key: made.key, prefix: made.row.prefix };
  }

  async function invitation(school: School, email: string, role: Role = 'student') {
    const by = { principal: school.owner, held: heldBy(school.owner, 'owner') };
    const { id } = await db.withTenantTx(school.id, (tx) =>
      invite(tx, by, { email, role, publicBaseUrl: 'https://klar.test' }),
    );
    const [row] = await database.asSuperuser<{ url: string }>(
      `select data ->> 'url' as url from app.notification_deliveries where dedupe_key = $1`,
      [`tenancy.invitation:${id}`],
    );
    return { id, token: row?.url.split('#token=').at(-1) ?? '' };
  }

  return { db, tenancy, pepper, person, school, member, apiKey, invitation };
}
