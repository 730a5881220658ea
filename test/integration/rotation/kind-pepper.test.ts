import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import pg from 'pg';
import type { Step } from '#domain/secrets/index.ts';
import { createTenancy } from '#domain/tenancy/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { fixedSecret } from '#platform/config/index.ts';
import type { Db } from '#platform/db/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { NotYet } from '../../../services/controller/rotation/kind.ts';
import { pepperKind } from '../../../services/controller/rotation/kind-pepper.ts';
import type { SlotValues } from '../../../services/controller/rotation/secret-store.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { createFactory, type Factory, type School, TEST_PEPPER } from '../../support/factory.ts';
import { stepInputFor } from '../../support/rotation/step-input.ts';
import { until } from '../../support/until.ts';

const NAME = 'API_SECRET_SALT';
const FRESH = 'the pepper that comes after, also long enough';

describe('rotation of the pepper', () => {
  let database: TestDatabase;
  let make: Factory;
  let db: Db;
  let old: { value: string; generation: string };
  const fresh = { value: FRESH, generation: 'fresh' };

  beforeEach(async () => {
    database = await createTestDatabase();
    make = createFactory(database);
    db = database.db('klar_controller');
    old = { value: TEST_PEPPER, generation: make.pepper.generation() };
  });
  afterEach(() => database.close());

  const at = (step: Step, values: SlotValues) =>
    stepInputFor({ name: NAME, db, step, values, from: old.generation, to: fresh.generation });
  const switched = () => ({ current: fresh, previous: old });
  const retired = () => ({ current: fresh, retired: old });
  const left = async (generation = fresh.generation) =>
    (
      await database.asSuperuser<{ n: number }>(
        `select count(*)::int as n from app.api_keys where not starts_with(sealed_hash, 'v${generation}$')`,
      )
    )[0]?.n;
  const opens = async (key: string, { value, generation }: { value: string; generation: string }) => {
    const pepper = fixedSecret(NAME, value, 'env', generation);
    const tenancy = createTenancy({ db: make.db, pepper, clock: systemClock, log: silentLogger() });
    return (await tenancy.authenticateApiKey(key)) !== undefined;
  };
  const keysOf = async (school: School, count: number) => {
    const made = [];
    for (let i = 0; i < count; i += 1) made.push(await make.apiKey(school));
    return made;
  };

  it('takes the old value away only when no key is left under it, not one that somebody holds', async () => {
    const [held] = await keysOf(await make.school(), 1);
    const other = new pg.Client({ connectionString: database.superuserUrl });
    await other.connect();
    await other.query('begin');
    await other.query('select from app.api_keys where id = $1 for update', [held?.id]);
    const kind = pepperKind();
    // The role's lock_timeout may end it before the lock is gone: then the step is tried again.
    const retire = async (tries = 10): Promise<void> =>
      kind
        .retire?.(at('retiring', switched()))
        .catch((error) => (tries > 0 ? retire(tries - 1) : Promise.reject(error)));
    const done = retire();
    await until(
      async () => {
        const rows = await database.asSuperuser(
          `select from pg_stat_activity where usename = 'klar_controller_a' and wait_event_type = 'Lock'
              and datname = current_database()`,
        );
        return rows.length > 0;
      },
      { timeoutMs: 30_000, what: 'the step waits for the row' },
    );
    await other.query('rollback');
    await other.end();
    await done;
    equal(await left(), 0);
    ok(await opens(held?.key ?? '', fresh));
  });

  it('finds every key, page by page, also behind those that nobody can open', async () => {
    const schools = [await make.school(), await make.school()];
    const lost = await keysOf(schools[0] as School, 3);
    await database.asSuperuser(`update app.api_keys set sealed_hash = 'vlost$AAAA'`);
    const good = [...(await keysOf(schools[0] as School, 3)), ...(await keysOf(schools[1] as School, 3))];
    await pepperKind({ keys: 2 }).retire?.(at('retiring', switched()));
    equal(await left(), lost.length);
    for (const { key } of good) ok(await opens(key, fresh));
  });

  it('goes on where the visit before ended, and so comes to an end with many schools', async () => {
    const first = await make.school();
    const keys = await keysOf(first, 3);
    for (let i = 0; i < 3; i += 1) keys.push(...(await keysOf(await make.school(), 3)));
    const kind = pepperKind({ visitMs: 0, keys: 2 });
    let visits = 0;
    // A page a visit: two pages a school, the platform's own school, and all of it once more to see that none is left.
    for (; visits < 60; visits += 1) {
      const problem = await kind.drain?.(at('soaking', switched())).catch((error) => error);
      if (problem === undefined) break;
      ok(problem instanceof NotYet, String(problem));
      // Behind the walk, which has left that school.
      if (visits === 7) keys.push(await make.apiKey(first));
    }
    ok(visits < 60, 'it does not come to an end');
    equal(await left(), 0);
    for (const { key } of keys) ok(await opens(key, fresh));
  });

  it('rolled back, takes the new value away only when no key is left under it', async () => {
    const [key] = await keysOf(await make.school(), 1);
    const kind = pepperKind();
    await kind.drain?.(at('soaking', switched()));
    ok(await opens(key?.key ?? '', fresh));
    // Not drained: a pod wrote it after that.
    const back = { current: old, previous: fresh };
    await kind.withdraw?.(at('withdrawing', back));
    equal(await left(old.generation), 0);
    // And a transaction that committed after the value was withdrawn.
    await kind.drain?.(at('soaking', switched()));
    await kind.withdrawn?.(at('withdrawing', { current: old, retired: fresh }));
    equal(await left(old.generation), 0);
    ok(await opens(key?.key ?? '', old));
  });

  it('while proving the old value dead finds what was written late, beyond the first page, and does not lose it', async () => {
    const school = await make.school();
    const early = await keysOf(school, 3);
    const kind = pepperKind({ keys: 2 });
    await kind.retire?.(at('retiring', switched()));
    const [late] = await keysOf(school, 1);
    // Marked as the new value's, and not sealed under it: only opening it tells.
    await database.asSuperuser(
      `update app.api_keys set sealed_hash = 'v${fresh.generation}$' || split_part(sealed_hash, '$', 2) where id = $1`,
      [late?.id],
    );
    ok(!(await opens(late?.key ?? '', fresh)));
    await kind.prove(at('verifying', retired()));
    for (const key of [...early, late]) ok(await opens(key?.key ?? '', fresh));
    await rejects(kind.prove(at('verifying', { current: fresh })), /not there to be tried/);
    deepEqual(await left(), 0);
  });
});
