import assert from 'node:assert/strict';
import {
  ALL_PERMISSIONS,
  PERMISSIONS,
  type Permission,
  PLATFORM_PERMISSIONS,
  ROLES,
  type Role,
} from '#domain/tenancy/index.ts';
import { fail } from '#platform/errors/index.ts';
import type { Access, Route } from '#platform/http/index.ts';
import { noDeps } from '../../../services/api/openapi.ts';
import { apiRoutes } from '../../../services/api/routes/index.ts';
import { misreadings, rowsPerTenant, tenantTables } from '../../support/isolation.ts';
import { ROLES_OF, TENANT_ROUTES } from './expectations.ts';
import { differences, rowOf } from './matrix.ts';
import { textOf } from './objects.ts';
import { runRow } from './run.ts';
import { createWorld, type World } from './world.ts';

const described = apiRoutes(noDeps());
type Changeable = { -readonly [K in keyof Route]: Route[K] };

describe('the matrix of every route, every caller and every kind of id', () => {
  let world: World;
  before(async function () {
    this.timeout(60_000);
    world = await createWorld();
  });
  after(() => world.close());

  const routeOf = (id: string): Changeable => {
    const route = world.routes.find((one) => one.id === id);
    assert.ok(route, id);
    return route;
  };

  it('has a row for every route, with the permission and the roles that the route has', () => {
    assert.deepEqual(differences(described), []);
  });

  it('asks about schools of which no table is empty, and whose rows no run-time role mixes up', async () => {
    const { database } = world.rig;
    const tables = await tenantTables(database);
    const ids = [world.schools.own.id, world.schools.other.id];
    const rows = await rowsPerTenant(database, tables);
    const empty = tables.filter(({ name }) =>
      ids.some((id) => !rows.some(({ table, tenant_id }) => table === name && tenant_id === id)),
    );
    assert.deepEqual(
      empty.map(({ name }) => name),
      [],
    );
    assert.deepEqual(await misreadings(database, tables, ids), []);
  });

  for (const { id } of described) {
    it(`holds for ${id}`, async () => {
      const route = routeOf(id);
      assert.deepEqual(await runRow(world, route, await rowOf(world, route)), []);
    });
  }

  /**
   * What the matrix says while the running api's route is a changed one, about the callers that it could let in: all of
   * them when none are named. Whoever was refused may now do damage.
   */
  async function breachesWith(id: string, change: Partial<Changeable>, callers?: readonly string[]): Promise<string[]> {
    const route = routeOf(id);
    const sound = { ...route };
    const row = await rowOf(world, route);
    const concerns = (name: string) => callers?.some((caller) => name.startsWith(`${caller} about`)) ?? true;
    const still = row.still.filter(({ name }) => concerns(name));
    const moving = row.moving.filter(({ caller }) => callers === undefined || callers.includes(caller));
    Object.assign(route, change);
    try {
      return await runRow(world, route, { still, moving }, { watch: callers === undefined });
    } finally {
      Object.assign(route, sound);
    }
  }
  const assertAbout = (breaches: readonly string[], caller: string) =>
    assert.ok(
      breaches.some((breach) => breach.startsWith(`${caller} about`)),
      `nothing about ${caller}: ${breaches.join('\n')}`,
    );

  describe('turns red', () => {
    it('when a route is new, gone, or asks for something else', () => {
      const [first, ...rest] = described;
      assert.ok(first);
      assert.equal(differences(rest).length, 1);
      assert.equal(differences([...described, { ...first, id: 'new.route' }]).length, 1);
      for (const route of described) {
        const accesses: Access[] = [
          { kind: 'public' },
          { kind: 'person' },
          ...ALL_PERMISSIONS.map((permission) => ({ kind: 'tenant', permission }) as const),
          ...PLATFORM_PERMISSIONS.map((permission) => ({ kind: 'platform', permission }) as const),
        ];
        for (const access of accesses) {
          const same = JSON.stringify(access) === JSON.stringify(route.access);
          const changed = described.map((one) => (one === route ? { ...route, access } : one));
          assert.equal(differences(changed).length, same ? 0 : 1, `${route.id} ${JSON.stringify(access)}`);
        }
      }
    });

    for (const { id, access, mode } of described) {
      if (access.kind === 'public') continue;
      it(`without the permission of ${id}`, async () => {
        const red = async (changed: Access, callers: readonly string[]) => {
          const found = await breachesWith(id, { access: changed }, callers);
          for (const caller of callers) assertAbout(found, caller);
        };
        if (access.kind === 'person') {
          await red({ kind: 'public' }, ['anonymous']);
        } else if (access.kind === 'platform') {
          const permission = PLATFORM_PERMISSIONS.find((one) => one !== access.permission) ?? '';
          await red({ kind: 'platform', permission }, ['operator without the permission']);
          await red({ kind: 'person' }, ['student']);
        } else {
          const permission = access.permission === 'tenant.read' ? 'courses.read' : 'tenant.read';
          const denied = ROLES.filter((role) => !ROLES_OF[access.permission as Permission].includes(role));
          await red({ kind: 'tenant', permission }, ['a key without the scope', ...denied]);
        }
      });
      if (access.kind === 'tenant' && mode === 'write') {
        it(`when a suspended school may do ${id}`, async () => {
          const caller = 'owner of the suspended school';
          assertAbout(await breachesWith(id, { mode: 'read' }, [caller]), caller);
        });
      }
    }

    /** Where a permission shows that no route names. */
    const shownBy: Partial<Record<Permission, string | undefined>> = {
      'orders.read_all': 'orders.show',
      // Guarded twice: who changes an owner must be one, whatever this permission says.
      'members.manage_owners': undefined,
      // No route yet: only the comparison of the tables sees it.
      'audit.read': undefined,
    };
    for (const permission of ALL_PERMISSIONS) {
      it(`when a role is given or loses ${permission}`, async () => {
        const table = PERMISSIONS as Record<Permission, readonly Role[]>;
        const roles = table[permission];
        const [routeId] = Object.entries(TENANT_ROUTES).find(([, row]) => row.permission === permission) ?? [];
        const id = permission in shownBy ? shownBy[permission] : routeId;
        for (const role of ROLES) {
          table[permission] = roles.includes(role) ? roles.filter((one) => one !== role) : [...roles, role];
          try {
            assert.equal(differences(described).length, 1);
            if (id !== undefined) assertAbout(await breachesWith(id, {}, [role]), role);
          } finally {
            table[permission] = roles;
          }
        }
      });
    }

    it("when an answer tells another tenant's thing from none", async () => {
      const { handle } = routeOf('courses.show');
      const found = await breachesWith('courses.show', {
        handle: async (input) => {
          const { id } = input.params as { id: string };
          const rows = await world.rig.database.asSuperuser('select from app.courses where id = $1', [id]);
          if (rows.length === 0) return handle(input);
          throw fail.notFound('not_found', 'This is not yours.');
        },
      });
      assert.ok(
        found.some((breach) => / and .* differ: /.test(breach)),
        found.join('\n'),
      );
    });

    it("when an answer shows another tenant's words or ids", async () => {
      const { handle } = routeOf('courses.list');
      for (const leak of [textOf(world.schools.other), world.fixed('other', 'order')]) {
        const found = await breachesWith('courses.list', {
          handle: async (input) => {
            const answer = await handle(input);
            const { data } = answer.body as { data: object[] };
            return { ...answer, body: { data: data.map((row) => ({ ...row, title: leak })), next_cursor: null } };
          },
        });
        assert.ok(
          found.some((breach) => breach.includes(`shows "${leak}" of the other school`)),
          `nothing about ${leak}`,
        );
      }
    });

    it("when a refused call changes something, or an allowed one another tenant's", async () => {
      const { handle } = routeOf('courses.update');
      const touch = (place: 'own' | 'other') =>
        world.rig.database.asSuperuser(`update app.courses set updated_at = clock_timestamp() where tenant_id = $1`, [
          world.schools[place].id,
        ]);
      const refused = await breachesWith('courses.update', {
        handle: async (input) => {
          await touch('own');
          return handle(input);
        },
      });
      assert.deepEqual(refused, ['a refused or reading call of courses.update changed the own school']);
      const allowed = await breachesWith('courses.update', {
        handle: async (input) => {
          const answer = await handle(input);
          await touch('other');
          return answer;
        },
      });
      assert.deepEqual(allowed, ['a call of courses.update changed the other school']);
    });
  });
});
