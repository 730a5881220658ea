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
  const look = async () => {
    const { ok, routed } = await lifecycle.readiness();
    return { ok, routed };
  };

  it('asks for the schema again after an outage as long as a restore, and not after a restart', async () => {
    assert.deepEqual(await look(), { ok: true, routed: true });
    version = MINIMUM_SCHEMA - 1;
    awayMs = 5_000;
    assert.deepEqual(await look(), { ok: true, routed: true });
    awayMs = 31_000;
    await look();
    awayMs = 0;
    assert.deepEqual(await look(), { ok: false, routed: false });
    version = MINIMUM_SCHEMA;
    assert.deepEqual(await look(), { ok: true, routed: true });
  });

  it('says that the database is away for long, and stays where it can tell clients so', async () => {
    awayMs = 31_000;
    assert.deepEqual(await look(), { ok: false, routed: true });
    awayMs = 0;
    assert.deepEqual(await look(), { ok: true, routed: true });
  });

  it('is sent nothing before it has seen the database', async () => {
    const fresh = createLifecycle({ log: silentLogger() });
    databaseReadiness(fresh, {
      available: () => ({ ok: false, awayMs: 31_000 }),
      withTx: () => Promise.reject(),
    } as never);
    assert.equal((await fresh.readiness()).routed, false);
  });
});
