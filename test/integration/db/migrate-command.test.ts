import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { runCli } from '../../../services/cli/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('klar migrate', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
    // As after the migration that makes them, on a database whose roles were made before.
    await database.asSuperuser('alter function ops.set_login_verifier(text, text) owner to klar_owner');
  });
  after(() => database.close());

  const owner = async () =>
    (
      await database.asSuperuser<{ owner: string }>(
        `select pg_get_userbyid(proowner) as owner from pg_proc where oid = 'ops.set_login_verifier(text, text)'::regprocedure`,
      )
    )[0]?.owner;
  const migrate = (env: Record<string, string>) => {
    const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() });
    return runCli({
      argv: ['migrate'],
      env: {
        KLAR_PROFILE: 'test',
        KLAR_SECRETS_DIR: '/nonexistent',
        LOG_LEVEL: 'error',
        DATABASE_URL_MIGRATOR: database.url('klar_migrator'),
        ...env,
      },
      stdout: nowhere(),
      stderr: nowhere(),
    });
  };

  it('leaves to others what only a superuser can do, where it is given none', async () => {
    assert.equal(await migrate({}), 0);
    assert.equal(await owner(), 'klar_owner');
  });

  it('hands functions over to the role that may change logins, where it is given a superuser', async () => {
    assert.equal(await migrate({ DATABASE_URL_SUPERUSER: database.superuserUrl }), 0);
    assert.equal(await owner(), 'klar_rotator');
  });
});
