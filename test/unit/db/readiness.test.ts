import assert from 'node:assert/strict';
import { type Db, databaseReadiness, MINIMUM_SCHEMA } from '#platform/db/index.ts';
import { createLifecycle } from '#platform/lifecycle/index.ts';
import { silentLogger } from '#platform/log/index.ts';

describe('readiness of what needs the database', () => {
  let version = MINIMUM_SCHEMA;
  let awayMs = 0;
  const db = {
    available: () => ({ ok: awayMs === 0, awayMs }),
    withTx: async () => ({ version }),
  } as unknown as Db;
  const lifecycle = createLifecycle({ log: silentLogger() });
  databaseReadiness(lifecycle, db);
  const ready = async () => (await lifecycle.readiness()).ok;

  it('asks for the schema again after an outage as long as a restore, and not after a restart', async () => {
    assert.equal(await ready(), true);
    version = MINIMUM_SCHEMA - 1;
    awayMs = 5_000;
    assert.equal(await ready(), true);
    awayMs = 31_000;
    assert.equal(await ready(), false);
    awayMs = 0;
    assert.equal(await ready(), false);
    version = MINIMUM_SCHEMA;
    assert.equal(await ready(), true);
  });
});
