import assert from 'node:assert/strict';
import { closeTarget, dropIncomplete, inspectTarget, openTarget } from '#platform/db/setup.ts';
import { once, withDatabase } from '../../support/database.ts';
import { databaseName, startOwnPostgres, type TestServer } from '../../support/postgres-server.ts';

const BACKUP = '20260501T023000Z-abcdef';

describe('the database that a restore fills', () => {
  let server: TestServer;
  before(async function () {
    this.timeout(40_000);
    server = await startOwnPostgres({ durable: false });
  });
  after(() => server.close());

  async function closed(): Promise<{ name: string; url: string }> {
    const name = databaseName('t');
    await once(server.superuserUrl, `create database ${name} connection limit 7`);
    const url = withDatabase(server.superuserUrl, name);
    await closeTarget(url, BACKUP);
    return { name, url };
  }

  it('is closed and marked, dropped as such, or opened with the limit that it had', async () => {
    const { url } = await closed();
    assert.equal((await inspectTarget(url)).incomplete?.backup, BACKUP);
    await dropIncomplete(url);
    assert.equal((await inspectTarget(url)).exists, false);
    const { name, url: other } = await closed();
    await openTarget(other);
    const rows = await once(
      server.superuserUrl,
      `select datconnlimit, shobj_description(oid, 'pg_database') as comment from pg_database where datname = '${name}'`,
    );
    assert.deepEqual(rows, [{ datconnlimit: 7, comment: null }]);
  });

  it('is never dropped once somebody opened it by hand, whatever its mark says', async () => {
    const { name, url } = await closed();
    await once(server.superuserUrl, `alter database ${name} connection limit -1`);
    assert.equal((await inspectTarget(url)).incomplete, undefined);
    await assert.rejects(dropIncomplete(url), /bears no mark of an interrupted restore/);
    assert.equal((await inspectTarget(url)).exists, true);
  });

  it('is the one that the driver would take, when the URL names none', async () => {
    await once(server.superuserUrl, `create role boss superuser login password 'x'`);
    const url = new URL(withDatabase(server.superuserUrl, ''));
    [url.username, url.password] = ['boss', 'x'];
    const { database, exists } = await inspectTarget(url.href);
    assert.deepEqual([database, exists], ['boss', false]);
  });
});
