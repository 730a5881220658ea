import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { runCli } from '../../../services/cli/main.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('a task that begins before the migrations of its release are through', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());

  async function cleanup() {
    let err = '';
    const stderr = new Writable({
      write(chunk, _encoding, done) {
        err += chunk;
        done();
      },
    });
    const code = await runCli({
      argv: ['cleanup', '--json', '--for', '2026-05-01T03:15Z'],
      env: {
        KLAR_PROFILE: 'test',
        KLAR_SECRETS_DIR: '/nonexistent',
        LOG_LEVEL: 'error',
        DATABASE_URL_OPS: database.url('klar_ops'),
        DATABASE_URL_CLEANUP: database.url('klar_cleanup'),
      },
      stdout: new Writable({ write: (_chunk, _encoding, done) => done() }),
      stderr,
    });
    return { code, err };
  }

  it('does nothing, says what it waits for, and ends so that the CronJob tries again', async () => {
    await database.asSuperuser(`alter table ops.task_runs drop column schedule`);
    await database.asSuperuser(`create table public.later as select * from ops.migrations where name >= '0103'`);
    await database.asSuperuser(`delete from ops.migrations where name >= '0103'`);
    const { code, err } = await cleanup();
    const { error } = JSON.parse(err.split('\n').filter(Boolean).at(-1) ?? '') as {
      error: { code: string; detail: string };
    };
    assert.deepEqual([code, error.code], [75, 'schema_too_old']);
    assert.match(error.detail, /at migration 102, and cleanup needs 103: run klar migrate/);
    assert.deepEqual(await database.asSuperuser('select id from ops.task_runs'), []);
  });

  it('says the same of a database without any migration', async () => {
    await database.asSuperuser('alter function ops.schema_version() rename to schema_version_away');
    const { code, err } = await cleanup();
    assert.equal(code, 75);
    assert.match(err, /at migration 0, and cleanup needs/);
    await database.asSuperuser('alter function ops.schema_version_away() rename to schema_version');
  });

  it('is done by the next try', async () => {
    await database.asSuperuser('alter table ops.task_runs add column schedule text');
    await database.asSuperuser('insert into ops.migrations select * from public.later');
    await database.asSuperuser('drop table public.later');
    const { code, err } = await cleanup();
    assert.equal(code, 0, err);
  });
});
