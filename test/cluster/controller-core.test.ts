/** The loops of the controller against a real API server, through a proxy that misbehaves. Needs no installation. */
import assert from 'node:assert/strict';
import { systemClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { applyObject } from '../../services/controller/kube/apply.ts';
import type { KubeClient } from '../../services/controller/kube/client.ts';
import { isConflict, isNotFound } from '../../services/controller/kube/errors.ts';
import { createEventRecorder } from '../../services/controller/kube/events.ts';
import { createReflector, type Reflector } from '../../services/controller/kube/reflector.ts';
import { type ConfigMap, createStatusWriter } from '../../services/controller/kube/status.ts';
import { systemTiming } from '../../services/controller/kube/timing.ts';
import { until } from '../support/until.ts';
import { type CoreNamespace, coreNamespace } from './support/core-namespace.ts';
import { fault, notRun } from './support/faults.ts';
import type { Asked, HostileProxy, Hostility } from './support/hostile-proxy.ts';

const CONVERGE_MS = 60_000;

/** Where the test may reach etcd: forgets everything but the newest version of each object. */
async function compactEtcd(): Promise<void> {
  const etcd = process.env.KLAR_TEST_ETCD;
  if (!etcd) return;
  const ask = async (what: string, body: object) => {
    const answer = await fetch(`${etcd}/v3/kv/${what}`, { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, 200, await answer.clone().text());
    return (await answer.json()) as { header: { revision: string } };
  };
  const { header } = await ask('range', { key: 'Lw==' });
  await ask('compaction', { revision: header.revision, physical: true });
  process.stdout.write(`      etcd compacted at ${header.revision}\n`);
}

describe('the core of the controller on a real API server', () => {
  let world: CoreNamespace;
  let direct: KubeClient;
  let proxy: HostileProxy;
  let maps: string;
  before(async () => {
    world = await coreNamespace();
    ({ direct, proxy } = world);
    maps = `/api/v1/namespaces/${world.namespace}/configmaps`;
  });
  after(() => world.close());

  const put = (name: string, value: string) =>
    applyObject<ConfigMap>(direct, {
      path: `${maps}/${name}`,
      object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { test: 'core' } }, data: { value } },
      fieldManager: 'test',
    });
  const remove = (name: string) => direct.request({ method: 'DELETE', path: `${maps}/${name}` });

  describe('that is hostile', () => {
    type Follower = { who: string; reflector: Reflector<ConfigMap>; client: KubeClient; fault: Fault };
    /** `times` hostile requests, then none; or as long as the test runs. */
    type Fault = { what: string; times?: number; of(asked: Asked): Hostility | undefined };
    const answer = (status: number, reason: string, retryAfterS?: number): Hostility =>
      retryAfterS === undefined ? { kind: 'answer', status, reason } : { kind: 'answer', status, reason, retryAfterS };
    const FAULTS: Fault[] = [
      { what: 'reset', times: 6, of: () => ({ kind: 'reset' }) },
      { what: 'half-open', times: 1, of: ({ watch }) => (watch ? { kind: 'half-open' } : undefined) },
      { what: 'half-open-list', times: 2, of: ({ watch }) => (watch ? answer(410, 'Expired') : { kind: 'half-open' }) },
      { what: '410-of-the-server', times: 3, of: ({ watch }) => (watch ? { kind: 'outdated' } : undefined) },
      { what: '410-as-status', times: 3, of: ({ watch }) => (watch ? answer(410, 'Expired') : undefined) },
      { what: '410-as-event', times: 3, of: ({ watch }) => (watch ? { kind: 'expired-event' } : undefined) },
      { what: '429', times: 4, of: () => answer(429, 'TooManyRequests', 3) },
      { what: '500', times: 6, of: () => answer(500, 'InternalError') },
      { what: 'truncated', times: 6, of: () => ({ kind: 'truncate', orderly: false }) },
      { what: 'truncated-in-order', times: 6, of: () => ({ kind: 'truncate', orderly: true }) },
      {
        what: 'truncated-list',
        times: 6,
        of: ({ watch }) => (watch ? answer(410, 'Expired') : { kind: 'truncate', orderly: true }),
      },
      { what: 'stalls', of: () => ({ kind: 'stall', ms: 10_000 }) },
      { what: 'replays', of: ({ watch }) => (watch ? { kind: 'replay' } : undefined) },
    ];
    let followers: Follower[];

    const follow = (what: Fault): Follower => {
      const client = world.through(what.what);
      const reflector = createReflector<ConfigMap>({
        client,
        path: maps,
        query: { labelSelector: 'test=core' },
        timing: systemTiming,
        log: silentLogger(),
        onChange() {},
      });
      reflector.start();
      return { who: what.what, reflector, client, fault: what };
    };
    const sees = ({ reflector }: Follower, round: number) =>
      reflector.synced() &&
      reflector.get('kept')?.data?.value === String(round) &&
      reflector.get(`new-${round}`) !== undefined &&
      reflector.get(`new-${round - 1}`) === undefined;
    /** Changes, adds and deletes; answers when each follower saw all of it, in ms. */
    async function change(round: number): Promise<Map<string, number>> {
      await put('kept', String(round));
      await put(`new-${round}`, '1');
      await remove(`new-${round - 1}`).catch((error) => {
        if (!isNotFound(error)) throw error;
      });
      const from = performance.now();
      const took = new Map<string, number>();
      await until(
        () => {
          for (const one of followers) {
            if (!took.has(one.who) && sees(one, round)) took.set(one.who, performance.now() - from);
          }
          return took.size === followers.length;
        },
        { timeoutMs: CONVERGE_MS + 5_000, everyMs: 20, what: `round ${round} seen by all` },
      ).catch(() => {});
      return took;
    }

    beforeEach(async () => {
      followers = [];
      proxy.hostility = () => undefined;
      await put('kept', '0');
      await put('new-0', '1');
    });
    afterEach(async () => {
      proxy.hostility = () => undefined;
      await Promise.all(followers.map(({ reflector }) => reflector.stop()));
      for (const { client } of followers) client.close();
    });

    it('converges within 60 s whatever is done to it, with one socket a watch', async () => {
      followers = FAULTS.map(follow);
      await until(() => followers.every((one) => sees(one, 0)), { timeoutMs: 30_000, what: 'a quiet beginning' });
      const left = new Map(FAULTS.map(({ what, times }) => [what, times ?? Number.POSITIVE_INFINITY]));
      const hit = new Map<string, number>();
      proxy.hostility = (asked) => {
        const one = FAULTS.find(({ what }) => what === asked.who);
        const rest = left.get(asked.who) ?? 0;
        const chosen = rest > 0 ? one?.of(asked) : undefined;
        if (chosen) {
          left.set(asked.who, rest - 1);
          hit.set(asked.who, (hit.get(asked.who) ?? 0) + 1);
        }
        return chosen;
      };
      // A watch that runs would carry the change before anything goes wrong.
      for (const { what } of FAULTS) proxy.cut(what);
      const took = await change(1);
      for (const { what } of FAULTS) {
        const ms = took.get(what);
        process.stdout.write(`      ${what.padEnd(20)} ${ms === undefined ? 'never' : `${Math.round(ms)} ms`}\n`);
      }
      assert.deepEqual(
        FAULTS.map(({ what }) => what).filter((what) => (took.get(what) ?? Number.POSITIVE_INFINITY) > CONVERGE_MS),
        [],
      );
      assert.deepEqual(
        FAULTS.map(({ what }) => what).filter((what) => !hit.has(what)),
        [],
        'each was hit',
      );
      proxy.hostility = () => undefined;
      await until(() => FAULTS.every(({ what }) => proxy.sockets(what) <= 3), {
        timeoutMs: 30_000,
        what: 'few sockets',
      });
    });

    it('converges within 60 s of a restart of the API server, which forgets the version to go on from', async function () {
      if (!process.env.KLAR_TEST_FAULTS) return notRun(this, 'KLAR_TEST_FAULTS is not set');
      followers = ['restarted', 'forgotten'].map((what) => follow({ what, of: () => undefined }));
      await until(() => followers.every((one) => sees(one, 0)), { timeoutMs: 30_000, what: 'a quiet beginning' });
      // This one misses what happens before the restart, as in a partition.
      proxy.freeze('forgotten', true);
      await put('kept', 'before');
      await compactEtcd();
      await fault('restart', 'apiserver');
      proxy.freeze('forgotten', false);
      const took = await change(1);
      for (const [who, ms] of took) process.stdout.write(`      ${who}: ${Math.round(ms)} ms after the restart\n`);
      assert.ok([...took.values()].every((ms) => ms <= CONVERGE_MS) && took.size === 2);
      assert.ok(proxy.gone('forgotten') > 0, "the API server's own 410");
    });
  });

  describe('what is written', () => {
    it('is taken as it is sent: conditions, Events with long notes and odd names, and their count', async () => {
      const status = createStatusWriter({
        client: direct,
        namespace: world.namespace,
        name: 'status',
        fieldManager: 'klar',
        clock: systemClock,
        redact: (text) => text,
      });
      const condition = {
        type: 'SourceValid',
        status: 'False',
        reason: 'Unreadable',
        message: 'é'.repeat(2_000),
        observedGeneration: 1,
      } as const;
      await status.write({ conditions: [condition] });
      const first = await direct.request<ConfigMap>({ method: 'GET', path: `${maps}/status` });
      await status.write({ conditions: [condition] });
      const second = await direct.request<ConfigMap>({ method: 'GET', path: `${maps}/status` });
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion, 'the same is not written again');
      const stale = applyObject<ConfigMap>(direct, {
        path: `${maps}/status`,
        object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'status' }, data: { x: '1' } },
        fieldManager: 'klar',
        resourceVersion: '1',
      });
      await assert.rejects(stale, isConflict);

      let later = () => {};
      const events = createEventRecorder({
        client: direct,
        namespace: world.namespace,
        reportingController: 'klar.io/controller',
        reportingInstance: `${'p'.repeat(200)}é`,
        clock: systemClock,
        timing: {
          ...systemTiming,
          after(_ms, fn) {
            later = fn;
            return () => {};
          },
        },
        log: silentLogger(),
        redact: (text) => text,
      });
      const names = ['flags', `${'x'.repeat(199)}.y`, 'status.'];
      const note = 'é'.repeat(1_000);
      const record = (name: string) =>
        events.record({
          regarding: { apiVersion: 'v1', kind: 'ConfigMap', name, namespace: world.namespace },
          type: 'Warning',
          reason: 'Invalid',
          action: 'Parse',
          note,
        });
      type Stored = { items: { note: string; regarding: { name: string }; series?: { count: number } }[] };
      const stored = async () =>
        (
          await direct.request<Stored>({
            method: 'GET',
            path: `/apis/events.k8s.io/v1/namespaces/${world.namespace}/events`,
          })
        ).items;
      for (const name of names) record(name);
      await until(async () => (await stored()).length === names.length, { what: 'Events', timeoutMs: 10_000 });
      assert.ok((await stored()).every((event) => Buffer.byteLength(event.note) <= 1_024));
      for (let i = 0; i < 4; i++) record('flags');
      later();
      const counted = async () => (await stored()).find(({ regarding }) => regarding.name === 'flags')?.series?.count;
      await until(async () => (await counted()) === 5, { what: 'the count', timeoutMs: 10_000 });
      await events.stop();
    });
  });
});
