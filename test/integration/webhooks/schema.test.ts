import assert from 'node:assert/strict';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('inbox schema', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.close());

  it('gives the status numbers to the api and to nobody who has no business with them', async () => {
    const [row] = await database.asSuperuser<{ queue_depth: string }>('select queue_depth from ops.status_numbers()');
    assert.equal(row?.queue_depth, '0');
  });
});
