import { deepEqual, doesNotMatch, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkTerm } from '#domain/operations/index.ts';
import { type Policy, type RotationRequest, rotationStore } from '#domain/secrets/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import { systemTiming } from '../../../services/controller/kube/timing.ts';
import type { KindAdapter } from '../../../services/controller/rotation/kind.ts';
import { createRotationMetrics } from '../../../services/controller/rotation/metrics.ts';
import { type RotationParts, reconcileSecret } from '../../../services/controller/rotation/reconcile.ts';
import { takeRequests } from '../../../services/controller/rotation/requests.ts';
import { createRotations } from '../../../services/controller/rotation/rotations.ts';
import type { Notice } from '../../../services/controller/rotation/said.ts';
import { SecretConflict, type SlotValues } from '../../../services/controller/rotation/secret-store.ts';
import type { RotationStatus } from '../../../services/controller/rotation/status.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

type Entry = { values: SlotValues; version: number; managedBy?: string };
const kept = (generation: string) => ({ value: `value of ${generation}`, generation });

describe('rotations that cannot go on, and the others', function () {
  this.timeout(120_000);
  let database: TestDatabase;
  let db: Db;
  let ops: Db;
  let store: Map<string, Entry>;
  let kinds: Record<string, KindAdapter | undefined>;
  let notices: Notice[];
  let elsewhere: () => Promise<string[]>;
  const { signal } = new AbortController();
  const term = { token: 5, signal, check() {} };
  const policyOf = (secret: string): Policy => ({
    secret,
    kind: secret === 'ADMIN_TOKEN' ? 'admin-token' : secret === 'AUTH_JWT_KEY' ? 'jwt-key' : 'livekit-key',
    periodS: 3_600,
    soakS: 3_600,
    quietS: 0,
    jitterS: 0,
    blackout: [],
    enabled: true,
  });
  const parts = (more: Partial<RotationParts> = {}): RotationParts => ({
    db,
    store: {
      names: async () => [...store.keys()],
      async read(name) {
        const entry = store.get(name);
        return entry && structuredClone({ ...entry, version: String(entry.version) });
      },
      async write(name, values, version) {
        const entry = store.get(name);
        if (!entry || String(entry.version) !== version) throw new SecretConflict(name);
        store.set(name, { ...entry, values: structuredClone(values), version: entry.version + 1 });
      },
    },
    pods: { expects: () => false, look: async () => ({ known: true, reports: [] }) },
    kinds: kinds as RotationParts['kinds'],
    metrics: createRotationMetrics(createMetrics()),
    log: silentLogger(),
    fence: (tx, token) => checkTerm(tx, 'test', token),
    redact: (text) => text,
    notice: (notice) => void notices.push(notice),
    ...more,
  });
  const visit = (name: string, more: Partial<RotationParts> = {}) =>
    reconcileSecret(parts(more), term, policyOf, name, signal);
  const states = () => db.withTx((tx) => rotationStore.states(tx));
  const state = async (name: string) => (await states()).find(({ secret }) => secret === name);
  const latest = async (name: string) => (await db.withTx((tx) => rotationStore.latest(tx, name, 1)))[0];
  /** What was first seen becomes two hours old, and so due. */
  const age = () => database.asSuperuser(`update ops.secret_states set since = now() - interval '2 hours'`);
  const ask = (secret: string, action: RotationRequest['action'] = 'rotate', emergency = false) =>
    ops.withTx((tx) => rotationStore.ask(tx, { secret, action, emergency, reason: null, requestedBy: 'test' }));
  const answered = async (id: string) => ops.withTx((tx) => rotationStore.request(tx, id));
  const asked = async (...given: Parameters<typeof ask>) => {
    const { id } = await ask(...given);
    await takeRequests(parts(), term, policyOf, signal);
    const request = await answered(id);
    return { accepted: request?.accepted, answer: request?.answer ?? '' };
  };
  /** Starts one and brings it to soaking, which takes an hour. */
  const soaking = async (name: string) => {
    equal((await asked(name)).accepted, true);
    await visit(name);
    equal((await latest(name))?.step, 'soaking');
  };

  before(async () => {
    database = await createTestDatabase();
    db = database.db('klar_controller');
    ops = database.db('klar_ops');
  });
  beforeEach(async () => {
    let made = 0;
    elsewhere = async () => [];
    const adapter: KindAdapter = {
      create: () => `made ${performance.now()} ${made++}`,
      usedElsewhere: () => elsewhere(),
      prove: async () => {},
    };
    kinds = { 'admin-token': adapter, 'jwt-key': adapter, 'livekit-key': adapter };
    notices = [];
    store = new Map(
      ['ADMIN_TOKEN', 'AUTH_JWT_KEY', 'LIVEKIT_API_SECRET'].map((name) => [
        name,
        { values: { current: kept(`${name}-1`) }, version: 1 },
      ]),
    );
    await database.asSuperuser('truncate ops.rotations, ops.rotation_steps, ops.rotation_requests, ops.secret_states');
  });
  after(() => database.close());

  it('one whose kind nothing here can rotate never starts, on schedule or asked for, and says what mends it', async () => {
    kinds['livekit-key'] = undefined;
    await visit('LIVEKIT_API_SECRET');
    await age();
    await visit('LIVEKIT_API_SECRET');
    equal((await state('LIVEKIT_API_SECRET'))?.reason, 'NotPossible');
    match((await state('LIVEKIT_API_SECRET'))?.message ?? '', /set LIVEKIT_URL and LIVEKIT_KEY_FILE/);
    match((await asked('LIVEKIT_API_SECRET')).answer, /set LIVEKIT_URL and LIVEKIT_KEY_FILE/);
    equal(await latest('LIVEKIT_API_SECRET'), undefined);
    await visit('ADMIN_TOKEN');
    await age();
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.startedBy, 'schedule');
  });

  it('one whose kind is gone midway waits, says so, holds up nobody, and can be cancelled', async () => {
    await visit('ADMIN_TOKEN');
    await age();
    await soaking('LIVEKIT_API_SECRET');
    kinds['livekit-key'] = undefined;
    await visit('LIVEKIT_API_SECRET');
    equal((await latest('LIVEKIT_API_SECRET'))?.step, 'soaking');
    match((await latest('LIVEKIT_API_SECRET'))?.waiting ?? '', /LIVEKIT_KEY_FILE.*--rollback/);
    equal((await state('LIVEKIT_API_SECRET'))?.reason, 'NotPossible');
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.startedBy, 'schedule', 'another one starts');
    equal((await asked('LIVEKIT_API_SECRET', 'rollback')).accepted, true);
    await visit('LIVEKIT_API_SECRET');
    equal((await latest('LIVEKIT_API_SECRET'))?.outcome, 'abandoned');
    deepEqual(store.get('LIVEKIT_API_SECRET')?.values, { current: kept('LIVEKIT_API_SECRET-1') });
  });

  it('past the point of no return one without its kind goes nowhere, back or on', async () => {
    elsewhere = async () => ['a session'];
    await soaking('LIVEKIT_API_SECRET');
    await database.asSuperuser(`update ops.rotations set soak_s = 0`);
    await visit('LIVEKIT_API_SECRET');
    equal((await latest('LIVEKIT_API_SECRET'))?.step, 'retiring');
    kinds['livekit-key'] = undefined;
    match((await asked('LIVEKIT_API_SECRET', 'rollback')).answer, /past the point of no return/);
    await database.asSuperuser(`update ops.rotations set back = true`);
    await visit('LIVEKIT_API_SECRET');
    const rotation = await latest('LIVEKIT_API_SECRET');
    deepEqual([rotation?.step, rotation?.acted, rotation?.outcome], ['retiring', false, null]);
    doesNotMatch(rotation?.waiting ?? '', /klar rotate/, 'no way out is named that would be refused');
  });

  it('a wish to go back is taken and answered at once, whatever comes after it', async () => {
    await soaking('ADMIN_TOKEN');
    const { id } = await ask('ADMIN_TOKEN', 'rollback');
    let writes = 0;
    const killed = async () => {
      writes += 1;
      if (writes > 1) throw new Error('killed');
    };
    await rejects(takeRequests(parts({ fence: killed }), term, policyOf, signal), /killed/);
    const request = await answered(id);
    deepEqual([request?.accepted, (await latest('ADMIN_TOKEN'))?.back], [true, true]);
  });

  it('a wish to go back and the step to the point of no return never both happen', async () => {
    await soaking('ADMIN_TOKEN');
    const before = await latest('ADMIN_TOKEN');
    ok(before);
    const turned = await db.withTx((tx) => rotationStore.turnBack(tx, before, 'test', term.token));
    await db.withTx((tx) => rotationStore.advance(tx, before, 'retiring', null, term.token));
    deepEqual([turned, (await latest('ADMIN_TOKEN'))?.step], [true, 'soaking'], 'who was told yes goes back');
    await database.asSuperuser(`update ops.rotations set back = false, step = 'retiring'`);
    equal(await db.withTx((tx) => rotationStore.turnBack(tx, before, 'test', term.token)), false, 'too late is said');
    equal((await latest('ADMIN_TOKEN'))?.back, false);
  });

  it('one that is stuck holds up no other one on schedule', async () => {
    await visit('ADMIN_TOKEN');
    await age();
    elsewhere = async () => ['a session'];
    await soaking('LIVEKIT_API_SECRET');
    await database.asSuperuser(`update ops.rotations set soak_s = 0`);
    await visit('LIVEKIT_API_SECRET');
    equal((await latest('LIVEKIT_API_SECRET'))?.step, 'retiring');
    await visit('ADMIN_TOKEN');
    equal(await latest('ADMIN_TOKEN'), undefined, 'one at a time');
    await database.asSuperuser(`update ops.rotations set step_since = now() - interval '2 days'`);
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.startedBy, 'schedule');
  });

  it('one whose secret somebody else manages since, or that is gone, waits, holds up nobody, and is given up when cancelled', async () => {
    await visit('ADMIN_TOKEN');
    await age();
    await soaking('LIVEKIT_API_SECRET');
    await soaking('AUTH_JWT_KEY');
    const before = structuredClone(store.get('AUTH_JWT_KEY'));
    store.set('AUTH_JWT_KEY', { ...(before as Entry), managedBy: 'external-secrets' });
    const values = store.get('AUTH_JWT_KEY')?.values;
    store.delete('LIVEKIT_API_SECRET');
    await visit('AUTH_JWT_KEY');
    await visit('LIVEKIT_API_SECRET');
    match((await latest('AUTH_JWT_KEY'))?.waiting ?? '', /external-secrets manages it since.*--cancel/);
    match((await latest('LIVEKIT_API_SECRET'))?.waiting ?? '', /gone while it is rotated: put LIVEKIT_API_SECRET back/);
    deepEqual((await states()).map(({ reason }) => reason).sort(), ['Gone', 'Idle', 'ManagedElsewhere']);
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.startedBy, 'schedule');
    for (const name of ['AUTH_JWT_KEY', 'LIVEKIT_API_SECRET']) {
      equal((await asked(name, 'cancel')).accepted, true);
      await visit(name);
      equal((await latest(name))?.outcome, 'abandoned');
    }
    deepEqual(store.get('AUTH_JWT_KEY')?.values, values, 'left as it is');
  });

  it('waits while nobody can say who else uses the old value, and going back is taken meanwhile', async () => {
    elsewhere = () => Promise.reject(new Error('connection refused'));
    await soaking('ADMIN_TOKEN');
    await database.asSuperuser(`update ops.rotations set soak_s = 0`);
    await visit('ADMIN_TOKEN');
    match((await latest('ADMIN_TOKEN'))?.waiting ?? '', /not known: connection refused/);
    await database.asSuperuser(`update ops.rotations set emergency = true`);
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.outcome, 'done');
  });

  it('a request that cannot be taken is refused in the end, and those behind it are taken at once', async () => {
    const broken = await ask('AUTH_JWT_KEY');
    const behind = await ask('ADMIN_TOKEN');
    const huge = (secret: string) => ({ ...policyOf(secret), soakS: secret === 'AUTH_JWT_KEY' ? 3e9 : 0 });
    const tries = new Map<string, number>();
    await takeRequests(parts(), term, huge, signal, tries);
    equal((await answered(behind.id))?.accepted, true);
    equal((await answered(broken.id))?.takenAt, null);
    for (let i = 0; i < 9; i += 1) await takeRequests(parts(), term, huge, signal, tries);
    const refused = await answered(broken.id);
    equal(refused?.accepted, false);
    match(refused?.answer ?? '', /cannot be done: .*integer/);
    ok(notices.some(({ reason, note }) => reason === 'RotationRefused' && note.includes('AUTH_JWT_KEY')));
  });

  it('an emergency asked for while it soaks ends the old value at once, and says so', async () => {
    await soaking('ADMIN_TOKEN');
    const { accepted, answer } = await asked('ADMIN_TOKEN', 'rotate', true);
    equal(accepted, true);
    match(answer, /the value of before it ends without soak and silence/);
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.outcome, 'done');
    await soaking('AUTH_JWT_KEY');
    await asked('AUTH_JWT_KEY', 'rollback');
    match((await asked('AUTH_JWT_KEY', 'rotate', true)).answer, /goes back to the old value/);
  });

  it('a start under a term that is over changes nothing in the store', async () => {
    const entry = store.get('ADMIN_TOKEN') as Entry;
    entry.values = { ...entry.values, next: kept('made by the heir') };
    await database.asSuperuser(`select ops.check_term('test', 9)`);
    await ask('ADMIN_TOKEN');
    const late = await takeRequests(parts(), term, policyOf, signal).catch((error: Error) => error.message);
    match(String(late), /a later one has written/);
    equal(store.get('ADMIN_TOKEN')?.values.next?.generation, 'made by the heir');
    await database.asSuperuser(`delete from ops.controller_terms`);
  });

  it('a value that a rotation ended, written back, is said to be, and no rotation fights it', async () => {
    await soaking('ADMIN_TOKEN');
    const old = kept('ADMIN_TOKEN-1');
    await database.asSuperuser(`update ops.rotations set emergency = true`);
    await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.outcome, 'done');
    const id = (await latest('ADMIN_TOKEN'))?.id;
    await visit('ADMIN_TOKEN');
    equal((await state('ADMIN_TOKEN'))?.reason, 'Idle');
    store.set('ADMIN_TOKEN', { values: { current: old }, version: 99, managedBy: 'argocd (server-side apply)' });
    const registry = createMetrics();
    await visit('ADMIN_TOKEN', { metrics: createRotationMetrics(registry) });
    const seen = await state('ADMIN_TOKEN');
    equal(seen?.reason, 'OldValueRevived');
    match(
      seen?.message ?? '',
      new RegExp(`${id} ended is back: argocd .* wrote it.*klar rotate ADMIN_TOKEN --emergency`),
    );
    match(await registry.registry.metrics(), /klar_rotation_revived\{[^}]*secret="ADMIN_TOKEN"[^}]*\} 1/);
    for (let i = 0; i < 3; i += 1) await visit('ADMIN_TOKEN');
    equal((await latest('ADMIN_TOKEN'))?.id, id, 'none is started');
    equal(store.get('ADMIN_TOKEN')?.version, 99);
  });

  it('an empty store forgets no age; each secret and rotation is told of, anew in each term', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'klar-policies-'));
    const policyFile = path.join(folder, 'rotation.yaml');
    const policies = [...store.keys()].map((secret) => ({ secret, kind: policyOf(secret).kind, period: '365d' }));
    await writeFile(policyFile, JSON.stringify({ version: 1, policies }));
    const told: RotationStatus[] = [];
    // A status that is not written holds up no rotation, and is written when that is possible.
    let failures = 2;
    const rotations = createRotations({
      ...parts(),
      policyFile,
      clock: systemClock,
      timing: systemTiming,
      registry: createMetrics(),
      async onStatus(status) {
        if (failures-- > 0) throw new Error('the status cannot be written');
        told.push(status);
      },
    });
    const reign = async (token: number, work: () => Promise<unknown>) => {
      const ending = new AbortController();
      const led = rotations.lead({ token, signal: ending.signal, check() {} });
      await work().finally(() => ending.abort());
      await led;
    };
    const reasons = () =>
      told
        .at(-1)
        ?.secrets.map(({ reason, healthy }) => `${reason} ${healthy}`)
        .join();
    try {
      await reign(5, () => until(() => reasons() === 'Idle true,Idle true,Idle true', { timeoutMs: 20_000 }));
      await age();
      const since = (await states()).map((one) => one.since.getTime());
      const all = new Map(store);
      told.length = 0;
      await reign(6, async () => {
        await until(() => reasons() === 'Idle true,Idle true,Idle true', { timeoutMs: 20_000, what: 'told anew' });
        store.clear();
        await until(() => reasons() === 'Gone false,Gone false,Gone false', { timeoutMs: 20_000 });
        for (const [name, entry] of all) store.set(name, entry);
        await until(() => reasons() === 'Idle true,Idle true,Idle true', { timeoutMs: 60_000 });
        deepEqual(
          (await states()).map((one) => one.since.getTime()),
          since,
        );
        kinds['admin-token'] = undefined;
        await database.asSuperuser(
          `insert into ops.rotations (id, secret, kind, step, acted, step_since, from_generation, to_generation, soak_s, quiet_s, started_by, term)
           values ('rot_stuck', 'ADMIN_TOKEN', 'admin-token', 'soaking', true, now() - interval '7201 s', 'ADMIN_TOKEN-1', 'x', 3600, 0, 'test', 6)`,
        );
        const entry = store.get('ADMIN_TOKEN') as Entry;
        store.set('ADMIN_TOKEN', {
          values: { current: { value: 'x', generation: 'x' }, previous: entry.values.current },
          version: 9,
        });
        await until(() => notices.some(({ reason }) => reason === 'RotationStuck'), { timeoutMs: 20_000 });
      });
      deepEqual([...new Set(notices.map(({ reason }) => reason))].includes('Gone'), true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
