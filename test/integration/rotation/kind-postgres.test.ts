import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import pg from 'pg';
import type { Step } from '#domain/secrets/index.ts';
import { type Db, type GroupRole, tryLogin } from '#platform/db/index.ts';
import { postgresKind } from '../../../services/controller/rotation/kind-postgres.ts';
import {
  ensureTestRoles,
  openTestDatabase,
  prepareDatabase,
  startOwnPostgres,
  type TestDatabase,
  type TestServer,
  withDatabase,
} from '../../support/database.ts';
import { stepInputFor } from '../../support/rotation/step-input.ts';
import { until } from '../../support/until.ts';

describe('rotation of a login, on a server that others use too', function () {
  this.timeout(120_000);
  let server: TestServer;
  let database: TestDatabase;
  let db: Db;
  const opened: pg.Client[] = [];

  before(async () => {
    // Its own server: logins belong to all databases of one.
    server = await startOwnPostgres({ durable: false });
    await prepareDatabase(server.superuserUrl);
    await ensureTestRoles(server.superuserUrl);
    database = openTestDatabase(server.superuserUrl);
    db = database.db('klar_controller');
    await database.asSuperuser('create database another');
    await database.asSuperuser('grant connect on database another to klar_auth, klar_api');
  });
  afterEach(async () => {
    for (const client of opened.splice(0)) await client.end();
    await until(
      async () => {
        const [row] = await database.asSuperuser<{ n: number }>(
          `select count(*)::int as n from pg_stat_activity where usename ~ '^klar_(api|auth|ingest|ops)_'`,
        );
        return row?.n === 0;
      },
      { timeoutMs: 20_000, what: 'sessions are gone' },
    );
  });
  after(async () => {
    await database?.close();
    await server?.close();
  });

  const login = async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    await client.connect();
    opened.push(client);
    return client;
  };
  function at(role: GroupRole, step: Step = 'provisioning') {
    const from = database.url(role, 'a');
    const to = new URL(database.url(role, 'b'));
    to.password = 'the-password-of-the-rotation';
    const values = { current: { value: from, generation: 'old' }, next: { value: to.href, generation: 'new' } };
    return stepInputFor({ name: 'DATABASE_URL', db, step, values, quietS: 60 });
  }
  const commentOf = async (role: string) =>
    (
      await database.asSuperuser<{ c: string | null }>(`select shobj_description('${role}'::regrole, 'pg_authid') as c`)
    )[0]?.c;

  it('leaves a twin alone that somebody is logged in with, and says who', async () => {
    const kind = postgresKind();
    const used = database.url('klar_api', 'b');
    const client = await login(withDatabase(used, 'another'));
    await rejects(
      async () => kind.provision?.(at('klar_api')),
      /^Error: 1 sessions of klar_api_b in another are not ours/,
    );
    deepEqual(await tryLogin(used), { as: 'in' }, 'its password is as it was');
    // The way back that the operator is told of.
    await kind.withdraw?.(at('klar_api', 'withdrawing'));
    deepEqual(await tryLogin(used), { as: 'in' }, 'what was never ours is not ended');
    deepEqual((await client.query('select 1 as one')).rows, [{ one: 1 }], 'nor is its session');
    opened.splice(opened.indexOf(client), 1);
    await client.end();
    // A session ends a moment after its client.
    await until(
      () =>
        Promise.resolve(kind.provision?.(at('klar_api'))).then(
          () => true,
          () => false,
        ),
      { timeoutMs: 20_000, what: 'its password is set' },
    );
    deepEqual(await tryLogin(at('klar_api').to ?? ''), { as: 'in' });
  });

  it('does not begin to end a login that another installation on the server uses', async () => {
    await login(withDatabase(database.url('klar_auth', 'a'), 'another'));
    await rejects(
      async () => postgresKind().provision?.(at('klar_auth')),
      /sessions of klar_auth_a in another are not ours/,
    );
  });

  it('leaves a login alone that has its password from another installation, also while nobody is logged in', async () => {
    const kind = postgresKind();
    const used = database.url('klar_ingest', 'b');
    await database.asSuperuser(`comment on role klar_ingest_b is 'klar: another'`);
    const refused = /password of klar_ingest_b was set by the installation in another database/;
    await rejects(async () => kind.provision?.(at('klar_ingest')), refused);
    await kind.withdraw?.(at('klar_ingest', 'withdrawing'));
    deepEqual(await tryLogin(used), { as: 'in' });
    await database.asSuperuser(`comment on role klar_ingest_b is 'klar: one that was dropped'`);
    await kind.provision?.(at('klar_ingest'));
    match((await commentOf('klar_ingest_b')) ?? '', /^klar: /);
    await kind.provision?.(at('klar_ingest'));
    deepEqual(await tryLogin(at('klar_ingest').to ?? ''), { as: 'in' });
    await kind.withdraw?.(at('klar_ingest', 'withdrawing'));
    equal(await commentOf('klar_ingest_b'), null);
    deepEqual(await tryLogin(at('klar_ingest').to ?? ''), { as: 'refused' });
  });

  it('waits until a login without pods was silent for as long as pods have to be', async () => {
    let now = 0;
    const kind = postgresKind(() => now);
    const step = at('klar_ops', 'retiring');
    const users = async () => (await kind.usedElsewhere?.(step, step.from)) ?? [];
    const watched = ['klar_ops_a has to be without a session for 60 s'];
    deepEqual(await users(), watched);
    now += 59_000;
    deepEqual(await users(), watched);
    await login(step.from);
    deepEqual(await users(), ['1 sessions of klar_ops_a']);
    await opened.pop()?.end();
    // From its last use on.
    await until(async () => (await users())[0] === watched[0], { timeoutMs: 20_000, what: 'the session is gone' });
    now += 59_000;
    deepEqual(await users(), watched);
    now += 1_000;
    deepEqual(await users(), []);
  });
});
