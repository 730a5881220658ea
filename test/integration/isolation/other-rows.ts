import { PLATFORM_PERMISSIONS, ROLES } from '#domain/tenancy/index.ts';
import { newId, SYSTEM_TENANT_ID } from '#platform/ids/index.ts';
import type { Expect, PlatformRow } from './expectations.ts';
import type { Cell, LateCell, Row } from './run.ts';
import { OTHERS, type Person, type PersonName, PLACES, type World } from './world.ts';

const NOT_FOUND: Expect = { status: 404, code: 'not_found' };
const UNAUTHENTICATED: Expect = { status: 401, code: 'unauthenticated' };
const INVALID_TOKEN: Expect = { status: 401, code: 'invalid_token' };
const INVALID_KEY: Expect = { status: 401, code: 'invalid_api_key' };
const SESSION_ENDED: Expect = { status: 401, code: 'session_ended' };

const unique = () => newId('x').slice(2);

/** One thing that a person asks for, and what must come back. */
interface Asked {
  what: string;
  id?: string;
  body?: unknown;
  expect: Expect;
  /** Answers that must not be told apart. */
  same?: boolean;
}

export interface PersonRow {
  /** Called with a session of its own, which it may end. */
  spends?: 'session' | 'all sessions';
  ask(world: World, person: Person, name: PersonName): Promise<Asked[]> | Asked[];
}

const always = (expect: Expect, body?: (person: Person) => unknown): PersonRow => ({
  ask: (_world, person) => [{ what: 'themself', expect, body: body?.(person) }],
});
const OK: Expect = { status: 200 };
const DONE: Expect = { status: 204 };

/** Routes of a person without a tenant: a role somewhere neither helps nor harms. */
export const PERSON_ROUTES: Record<string, PersonRow> = {
  'identity.logout': { ...always(DONE), spends: 'session' },
  'identity.logout_everywhere': { ...always(DONE), spends: 'all sessions' },
  'identity.list_sessions': always(OK),
  'identity.end_session': {
    ask: async (world, person) => {
      const [own, other] = [sessionOf(await world.login(person)), world.people.stranger];
      const foreign = sessionOf((other === person ? world.people.owner : other).token);
      return [
        { what: 'their own', id: own, expect: DONE },
        { what: 'their own that has ended', id: own, expect: NOT_FOUND, same: true },
        { what: "another's", id: foreign, expect: NOT_FOUND, same: true },
        { what: 'an unknown one', id: newId('ses'), expect: NOT_FOUND, same: true },
      ];
    },
  },
  'identity.request_verification': always({ status: 202 }),
  'identity.change_password': always({ code: 'weak_password' }, ({ email, password }) => ({
    current_password: password,
    new_password: email,
  })),
  'identity.enable_second_factor': always(OK, ({ password }) => ({ password })),
  'identity.confirm_second_factor': always({ code: 'wrong_code' }, () => ({ code: '000000' })),
  'identity.disable_second_factor': always(DONE, ({ password }) => ({ password })),
  'identity.renew_backup_codes': always({ code: 'second_factor_off' }, ({ password }) => ({ password })),
  'tenants.create': always({ status: 201 }, () => ({ name: 'One more', slug: `s-${unique().slice(-20)}` })),
  'tenants.list': always(OK),
  'me.show': always(OK),
  'tenants.join': {
    ask: ({ schools, goneSchool }, _person, name) => {
      const isMember = (ROLES as readonly string[]).includes(name);
      return [
        { what: 'an open school', id: schools.open.slug, expect: { status: isMember ? 200 : 201 } },
        {
          what: 'a closed school',
          id: schools.closed.slug,
          expect: name === 'owner' ? OK : { status: 403, code: 'registration_closed' },
        },
        { what: 'a suspended school', id: schools.suspended.slug, expect: { status: 402, code: 'tenant_suspended' } },
        { what: 'a blocked school', id: schools.blocked.slug, expect: { status: 403, code: 'tenant_blocked' } },
        { what: 'a deleted school', id: goneSchool.slug, expect: NOT_FOUND, same: true },
        { what: 'no school', id: 'no-such-school', expect: NOT_FOUND, same: true },
        { what: 'the system', id: '_platform', expect: NOT_FOUND, same: true },
      ].map((asked) => ({ ...asked, body: {} }));
    },
  },
  'invitations.accept': {
    ask: async ({ rig, schools }, person) => {
      /** Sent to somebody else, then changed: a member cannot be invited. */
      const invite = async (place: 'open' | 'suspended' | 'blocked', change: string) => {
        const { id, token } = await rig.factory.invitation(schools[place], rig.factory.person().email);
        await rig.database.asSuperuser(`${change} where id = '${id}'`);
        return token;
      };
      await rig.database.asSuperuser(`delete from app.invitations where email = $1 and state = 'pending'`, [
        person.email,
      ]);
      const mine = `update app.invitations set email = '${person.email}'`;
      const refused = async (
        what: string,
        place: 'open' | 'suspended' | 'blocked',
        change: string,
        expect: Expect,
      ) => ({
        what,
        id: await invite(place, change),
        expect,
      });
      const own = await invite('open', mine);
      return [
        { what: 'their own', id: own, expect: OK },
        await refused('one of a suspended school', 'suspended', mine, { status: 402, code: 'tenant_suspended' }),
        await refused('one of a blocked school', 'blocked', mine, { status: 403, code: 'tenant_blocked' }),
        await refused('a withdrawn one', 'open', `${mine}, state = 'revoked', revoked_at = now()`, {
          status: 410,
          code: 'invitation_revoked',
        }),
        await refused("another's", 'open', `update app.invitations set role = role`, {
          status: 403,
          code: 'invitation_for_another_address',
        }),
        {
          what: 'a deleted one',
          id: await invite('open', 'delete from app.invitations'),
          expect: NOT_FOUND,
          same: true,
        },
        { what: 'an unknown one', id: 'A'.repeat(own.length), expect: NOT_FOUND, same: true },
      ];
    },
  },
};

/** Whose session a token is of. */
const sessionOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { sid: string }).sid;

export async function personRow(world: World, row: PersonRow): Promise<Row> {
  const still: Cell[] = [];
  const moving: LateCell[] = [];
  const { people, keys } = world;
  const asked = new Map<PersonName, Asked[]>();
  for (const name of [...ROLES, ...OTHERS]) asked.set(name, await row.ask(world, people[name], name));
  const sample = asked.get('stranger')?.[0];
  const refuse = (name: string, token: string | undefined, expect: Expect) =>
    still.push({ ...sample, name: `${name} about themself`, token, expect, same: undefined, sees: [] });
  refuse('anonymous', undefined, UNAUTHENTICATED);
  refuse('a made-up token', 'made.up.token', INVALID_TOKEN);
  refuse('an ended session', world.endedToken, SESSION_ENDED);
  refuse('a key', await world.keyWith(['tenant.read']), { status: 403, code: 'person_required' });
  refuse('a revoked key', keys.revoked, INVALID_KEY);
  refuse('a key of the blocked school', keys.blocked, { status: 403, code: 'person_required' });
  refuse('the admin token', world.adminToken, { status: 403, code: 'member_required' });
  for (const [name, all] of asked) {
    const person = people[name];
    for (const { what, same, ...call } of all) {
      const make = async (): Promise<Cell> => {
        const token = row.spends === undefined ? person.token : await world.login(person);
        const after = async () => {
          if (row.spends === 'all sessions') person.token = await world.login(person);
        };
        return {
          ...call,
          token,
          after,
          name: `${name} about ${what}`,
          same: same ? name : undefined,
          // A person sees every school they belong to.
          sees: name === 'other_owner' ? PLACES : PLACES.filter((place) => place !== 'other'),
        };
      };
      moving.push({ caller: name, make });
    }
  }
  return { still, moving };
}

/** Routes for everybody: what is sent decides, never who sends it. */
export const PUBLIC_ROUTES: Record<string, { ask(world: World): { body?: unknown; expect: Expect } }> = {
  'identity.register': {
    ask: () => ({
      body: { email: `p-${unique()}@example.com`, password: 'a fine password', name: 'P' },
      expect: { status: 201 },
    }),
  },
  'identity.login': {
    ask: ({ people: { stranger } }) => ({ body: { email: stranger.email, password: stranger.password }, expect: OK }),
  },
  'identity.login_second_factor': {
    ask: () => ({ body: { challenge: 'none', code: '000000' }, expect: { status: 401 } }),
  },
  'identity.refresh': {
    ask: () => ({ body: { refresh_token: 'none' }, expect: { status: 401, code: 'invalid_refresh_token' } }),
  },
  'identity.verify_email': { ask: () => ({ body: { token: 'none' }, expect: { code: 'link_invalid' } }) },
  'identity.forgot_password': {
    ask: () => ({ body: { email: `nobody-${unique()}@example.com` }, expect: { status: 202 } }),
  },
  'identity.reset_password': {
    ask: () => ({
      body: { token: 'none', password: 'a fine password' },
      expect: { code: 'link_invalid' },
    }),
  },
  'identity.jwks': { ask: () => ({ expect: OK }) },
  'ops.ready': { ask: () => ({ expect: OK }) },
  'ops.openapi': { ask: () => ({ expect: OK }) },
};

export function publicRow(world: World, row: (typeof PUBLIC_ROUTES)[string]): Row {
  const callers: [string, string | undefined][] = [
    ['anonymous', undefined],
    ['a made-up token', 'made.up.token'],
    ['an ended session', world.endedToken],
    ['owner', world.people.owner.token],
    ['a revoked key', world.keys.revoked],
    ['the admin token', world.adminToken],
  ];
  const moving = callers.map(([name, token]) => ({
    caller: name,
    make: async () => ({ ...row.ask(world), name, token, sees: [] }),
  }));
  return { still: [], moving };
}

/** The answer for callers who are known and no administrators is that of a path that does not exist. */
export async function platformRow(world: World, row: PlatformRow): Promise<Row> {
  const { people, keys, schools } = world;
  const setPermissions = (permissions: readonly string[]) =>
    world.rig.database.asSuperuser(
      `insert into ops.platform_admins (person_id, permissions, granted_by) values ($1, $2, 'matrix')
       on conflict (person_id) do update set permissions = excluded.permissions`,
      [people.operator.personId, permissions],
    );
  const known = row.names === 'event' ? world.eventId : schools.spare.id;
  const call = (id: string) => ({ id, body: row.body?.(row.names === undefined ? world.eventId : id) });
  const absent: [string, string][] =
    row.names === 'event'
      ? [['unknown', newId('evt')]]
      : [
          ['unknown', newId('ten')],
          ['deleted', world.goneSchool.id],
          ['the system', SYSTEM_TENANT_ID],
        ];
  const targets: [string, string][] = [['a known one', known], ...(row.names === undefined ? [] : absent)];

  const still: Cell[] = [];
  const refuse = (name: string, token: string | undefined, expect: Expect) => {
    for (const [what, id] of targets) {
      still.push({ ...call(id), name: `${name} about ${what}`, token, expect, same: name, sees: [] });
    }
  };
  refuse('anonymous', undefined, UNAUTHENTICATED);
  refuse('a made-up token', 'made.up.token', INVALID_TOKEN);
  refuse('an ended session', world.endedToken, SESSION_ENDED);
  refuse('a revoked key', keys.revoked, INVALID_KEY);
  for (const name of [...ROLES, 'other_owner', 'stranger', 'former'] as const)
    refuse(name, people[name].token, NOT_FOUND);
  refuse('a key', await world.keyWith(['tenant.read']), NOT_FOUND);
  refuse('a key of the blocked school', keys.blocked, NOT_FOUND);

  await setPermissions(PLATFORM_PERMISSIONS.filter((permission) => permission !== row.permission));
  refuse('operator without the permission', people.operator.token, NOT_FOUND);

  const moving: LateCell[] = [];
  const admit = (name: string, token: string, before?: () => Promise<unknown>) => {
    const cell =
      (what: string, id: string, expect: Expect): LateCell['make'] =>
      async () => {
        await before?.();
        const same = expect === NOT_FOUND ? name : undefined;
        return { ...call(id), name: `${name} about ${what}`, token, expect, same, sees: PLACES };
      };
    moving.push({ caller: name, make: cell('a known one', known, OK) });
    if (row.names !== undefined)
      for (const [what, id] of absent) moving.push({ caller: name, make: cell(what, id, NOT_FOUND) });
  };
  admit('the admin token', world.adminToken);
  admit('operator with the permission', people.operator.token, () => setPermissions([row.permission]));
  return { still, moving };
}
