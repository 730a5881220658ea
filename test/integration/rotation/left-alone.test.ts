import { deepEqual, equal, match } from 'node:assert/strict';
import { checkTerm } from '#domain/operations/index.ts';
import { type Policy, rotationStore } from '#domain/secrets/index.ts';
import type { Db } from '#platform/db/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { createRotationMetrics } from '../../../services/controller/rotation/metrics.ts';
import { type RotationParts, reconcileSecret } from '../../../services/controller/rotation/reconcile.ts';
import { takeRequests } from '../../../services/controller/rotation/requests.ts';
import type { StoredSecret } from '../../../services/controller/rotation/secret-store.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('a secret that is not ours to rotate', () => {
  let database: TestDatabase;
  let db: Db;
  let writes: string[];
  let stored: StoredSecret;
  const { signal } = new AbortController();
  const term = { token: 5, signal, check() {} };
  const due: Policy = {
    secret: 'ADMIN_TOKEN',
    kind: 'admin-token',
    periodS: 3_600,
    soakS: 0,
    quietS: 0,
    jitterS: 0,
    blackout: [],
    enabled: true,
  };
  const parts = (): RotationParts => ({
    db,
    store: {
      names: async () => ['ADMIN_TOKEN'],
      read: async () => stored,
      write: async (name) => void writes.push(name),
    },
    pods: { expects: () => false, look: async () => ({ known: true, reports: [] }) },
    kinds: {
      'admin-token': { create: () => 'new', prove: async () => {} },
    } as unknown as RotationParts['kinds'],
    metrics: createRotationMetrics(createMetrics()),
    log: silentLogger(),
    fence: (tx, token) => checkTerm(tx, 'test', token),
    redact: (text) => text,
  });
  /** Looks once, makes it due, and looks again. */
  const visit = async () => {
    await reconcileSecret(parts(), term, () => due, 'ADMIN_TOKEN', signal);
    await database.asSuperuser(`update ops.secret_states set since = now() - interval '2 hours'`);
    await reconcileSecret(parts(), term, () => due, 'ADMIN_TOKEN', signal);
    const [state] = await db.withTx((tx) => rotationStore.states(tx));
    return state;
  };
  const ask = async () => {
    const row = {
      secret: 'ADMIN_TOKEN',
      action: 'rotate',
      emergency: true,
      reason: null,
      requestedBy: 'test',
    } as const;
    const { id } = await database.db('klar_ops').withTx((tx) => rotationStore.ask(tx, row));
    await takeRequests(parts(), term, () => due, signal);
    return database.db('klar_ops').withTx((tx) => rotationStore.request(tx, id));
  };

  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_controller');
  });
  beforeEach(() => {
    writes = [];
    stored = { values: { current: { value: 'old', generation: 'g1' } }, version: '1' };
  });
  after(() => database.close());

  it('as external-secrets would write it back, is left alone, on schedule and when asked for, and said to be', async () => {
    stored.managedBy = 'external-secrets';
    const state = await visit();
    equal(state?.reason, 'ManagedElsewhere');
    match(state?.message ?? '', /^external-secrets manages it, .*rotate it there/);
    const answer = await ask();
    deepEqual([answer?.accepted, answer?.answer], [false, 'external-secrets manages it: rotate it there']);
    deepEqual(writes, []);
    equal((await database.asSuperuser('select from ops.rotations')).length, 0);
  });

  it('as a person rotates it by hand, is left alone until nothing but its value is accepted', async () => {
    stored.values.previous = { value: 'by hand', generation: 'g0' };
    equal((await visit())?.reason, 'PreviousInUse');
    match((await ask())?.answer ?? '', /remove ADMIN_TOKEN.previous once nobody uses it/);
    deepEqual(writes, []);
    equal((await database.asSuperuser('select from ops.rotations')).length, 0);
  });

  it('is one that is: due, it starts', async () => {
    await reconcileSecret(parts(), term, () => due, 'ADMIN_TOKEN', signal);
    equal((await db.withTx((tx) => rotationStore.states(tx)))[0]?.reason, 'Rotating');
    equal((await database.asSuperuser('select from ops.rotations')).length, 1);
  });
});
