import { ALL_PERMISSIONS, ROLES, type Role } from '#domain/tenancy/index.ts';
import { newId } from '#platform/ids/index.ts';
import { type Expect, ROLES_OF, type TenantRow } from './expectations.ts';
import type { Kind } from './objects.ts';
import type { Cell, LateCell, Row } from './run.ts';
import type { Place, World } from './world.ts';

const UNAUTHENTICATED: Expect = { status: 401, code: 'unauthenticated' };
const NOT_FOUND: Expect = { status: 404, code: 'not_found' };
const DENIED: Expect = { status: 403, code: 'permission_denied' };
const SUSPENDED: Expect = { status: 402, code: 'tenant_suspended' };
const BLOCKED: Expect = { status: 403, code: 'tenant_blocked' };

/** The whole row of a route inside a tenant: who x where x about what, with the answer that follows from the tables. */
export async function tenantRow(world: World, row: TenantRow): Promise<Row> {
  const still: Cell[] = [];
  const moving: LateCell[] = [];
  const { people, schools, keys } = world;
  const ok: Expect = { status: row.ok };
  const missing = row.missing ?? NOT_FOUND;
  const unique = () => newId('x').slice(2);
  const call = (id: string | undefined) => ({ id, body: row.body?.(id ?? '', unique()), query: row.query?.(id ?? '') });
  const may = (role: Role) => ROLES_OF[row.permission].includes(role);
  const kind = row.names;
  /** Ids that are not there for who calls about `place`. */
  const absent = (place: Place): [string, string | undefined][] =>
    kind === undefined
      ? []
      : [
          ["another tenant's", world.fixed(place === 'other' ? 'own' : 'other', kind)],
          ['deleted', world.gone(kind)],
          ['unknown', world.unknown(kind)],
        ];
  const all = (place: Place): [string, string | undefined][] => [['their own', own(place)], ...absent(place)];
  const own = (place: Place, of: Kind | undefined = kind, role: Role = 'owner'): string | undefined =>
    of === undefined ? undefined : world.fixed(place, of, role);

  const add = (
    who: string,
    cell: Pick<Cell, 'token' | 'slug' | 'expect' | 'same'> & { sees?: readonly Place[] },
    what: string,
    id: string | undefined,
  ) => still.push({ sees: [], ...cell, ...call(id), name: `${who} about ${what}` });
  /** Refused before anything is looked up: the same bytes for every id. */
  const refuse = (who: string, cell: Pick<Cell, 'token' | 'slug' | 'expect'>, place: Place = 'own') => {
    for (const [what, id] of all(place)) {
      add(who, { ...cell, same: who }, what, id);
    }
  };

  // Nobody, and credentials that are none.
  const slug = schools.own.slug;
  refuse('anonymous', { slug, expect: UNAUTHENTICATED });
  refuse('anonymous elsewhere', { expect: UNAUTHENTICATED });
  refuse('a made-up token', { token: 'made.up.token', slug, expect: { status: 401, code: 'invalid_token' } });
  refuse('an ended session', { token: world.endedToken, slug, expect: { status: 401, code: 'session_ended' } });
  refuse('the admin token', { token: world.adminToken, slug, expect: { status: 403, code: 'member_required' } });
  refuse('a member without a tenant', { token: people.owner.token, expect: { status: 400, code: 'tenant_required' } });

  // Each role in the school.
  for (const role of ROLES) {
    const person = people[role];
    const as = { token: person.token, slug };
    const who = `${role}`;
    if (!may(role)) {
      refuse(who, { ...as, expect: DENIED });
      continue;
    }
    for (const [what, id] of absent('own')) add(who, { ...as, expect: missing, same: who, sees: ['own'] }, what, id);
    const good = async (of: Kind | undefined, what: string): Promise<Cell> => {
      const fresh =
        of === undefined ? undefined : row.mode === 'read' ? own('own', of, role) : await world.fresh(of, person);
      return { ...as, ...call(fresh), expect: ok, sees: ['own'], name: `${who} about ${what}` };
    };
    if (row.mode === 'read') still.push(await good(kind, 'their own'));
    else moving.push({ caller: role, make: () => good(kind, 'their own') });
    if (row.lists !== undefined) {
      const { everybody, only } = row.lists;
      const [shown, special] = [own('own', everybody, role), own('own', only.kind, role)];
      const sees = only.roles.includes(role);
      still.push({
        ...as,
        query: { limit: '200' },
        expect: ok,
        sees: ['own'],
        shows: [shown, sees ? special : ''].map(String),
        hides: sees ? [] : [String(special)],
        name: `${who} about the list`,
      });
    }
    for (const special of row.also ?? []) {
      const what = `a ${special.kind}`;
      if (special.roles.includes(role)) {
        if (row.mode === 'read') still.push(await good(special.kind, what));
        else moving.push({ caller: role, make: () => good(special.kind, what) });
      } else {
        const same = special.otherwise === undefined ? who : undefined;
        add(
          who,
          { ...as, expect: special.otherwise ?? missing, same, sees: ['own'] },
          what,
          own('own', special.kind, role),
        );
      }
    }
  }

  // Strangers to the school learn nothing: not that it exists, not that the thing exists.
  const nowhere = 'no-such-school';
  const states = [slug, schools.suspended.slug, schools.blocked.slug, world.goneSchool.slug, nowhere];
  for (const [name, places] of [
    ['other_owner', states],
    ['stranger', [slug, nowhere]],
    ['former', [slug, nowhere]],
    ['operator', [slug, nowhere]],
    ['owner', [schools.other.slug, nowhere]],
  ] as const) {
    const as = { token: people[name].token, expect: NOT_FOUND, same: `${name} abroad` };
    for (const place of places) {
      for (const [what, id] of all(name === 'owner' ? 'other' : 'own'))
        add(`${name} in ${place}`, { ...as, slug: place }, what, id);
    }
  }
  // In their own school with ids of another.
  for (const [what, id] of absent('other')) {
    const as = { token: people.other_owner.token, slug: schools.other.slug, sees: ['other'] as const };
    add('other_owner at home', { ...as, expect: missing, same: 'other_owner at home' }, what, id);
    add(
      'a key at home',
      { token: keys.other, expect: row.keyMissing ?? missing, sees: ['other'], same: 'a key at home' },
      what,
      id,
    );
  }

  // Keys.
  const only = await world.keyWith([row.permission]);
  const rest = await world.keyWith(ALL_PERMISSIONS.filter((permission) => permission !== row.permission));
  refuse('a key without the scope', { token: rest, expect: DENIED });
  refuse('a revoked key', { token: keys.revoked, expect: { status: 401, code: 'invalid_api_key' } });
  refuse('a revoked key with its tenant', {
    token: keys.revoked,
    slug,
    expect: { status: 401, code: 'invalid_api_key' },
  });
  refuse("another tenant's key", { token: keys.other, slug, expect: NOT_FOUND });
  refuse('a key in another tenant', { token: only, slug: schools.other.slug, expect: NOT_FOUND });
  refuse('a key in no tenant', { token: only, slug: 'no-such-school', expect: NOT_FOUND });
  for (const [what, id] of absent('own')) {
    add(
      'a key with the scope',
      { token: only, expect: row.keyMissing ?? missing, same: 'a key', sees: ['own'] },
      what,
      id,
    );
  }
  const keyCell = (id: string | undefined): Cell => ({
    token: only,
    ...call(id),
    expect: row.key ?? ok,
    sees: ['own'],
    name: 'a key with the scope about its own',
  });
  if (row.mode === 'read' || row.key !== undefined) still.push(keyCell(own('own')));
  else moving.push({ caller: 'key', make: async () => keyCell(kind && (await world.fresh(kind))) });

  // A suspended school reads and does not write; a blocked one does nothing.
  for (const role of ROLES) {
    const { token } = people[role];
    const suspended = { token, slug: schools.suspended.slug };
    const who = `${role} of the suspended school`;
    if (!may(role)) refuse(who, { ...suspended, expect: DENIED }, 'suspended');
    else if (row.mode === 'write') refuse(who, { ...suspended, expect: SUSPENDED }, 'suspended');
    else {
      add(who, { ...suspended, expect: ok, sees: ['suspended'] }, 'their own', own('suspended', kind, role));
      for (const [what, id] of absent('suspended'))
        add(who, { ...suspended, expect: missing, same: who, sees: ['suspended'] }, what, id);
    }
    refuse(`${role} of the blocked school`, { token, slug: schools.blocked.slug, expect: BLOCKED }, 'blocked');
  }
  if (row.mode === 'write')
    refuse('a key of the suspended school', { token: keys.suspended, expect: SUSPENDED }, 'suspended');
  refuse('a key of the blocked school', { token: keys.blocked, expect: BLOCKED }, 'blocked');
  return { still, moving };
}
