/**
 * The controller's core against the real API server through a proxy that misbehaves, and two candidates as processes with
 * a real database between them. Needs no installation: only KUBECONFIG, and a PostgreSQL of the test's own.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { applyObject } from '../../services/controller/kube/apply.ts';
import { createKubeClient, type KubeClient } from '../../services/controller/kube/client.ts';
import { type KubeEndpoint, kubeconfigEndpoint } from '../../services/controller/kube/endpoint.ts';
import { isConflict, isNotFound } from '../../services/controller/kube/errors.ts';
import { createEventRecorder } from '../../services/controller/kube/events.ts';
import { createReflector, type Reflector } from '../../services/controller/kube/reflector.ts';
import { type ConfigMap, createStatusWriter } from '../../services/controller/kube/status.ts';
import { systemTiming } from '../../services/controller/kube/timing.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type KlarProcess, startProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { fault, notRun } from './support/faults.ts';
import { type Asked, type HostileProxy, type Hostility, startHostileProxy } from './support/hostile-proxy.ts';

const CANDIDATE = path.resolve(import.meta.dirname, 'support/controller-candidate.ts');
const NAMESPACE = `klar-core-${randomBytes(3).toString('hex')}`;
const MAPS = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const EVENTS = `/apis/events.k8s.io/v1/namespaces/${NAMESPACE}/events`;
const CONVERGE_MS = 60_000;
const TAKEOVER_MS = 20_000;

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
  let endpoint: KubeEndpoint;
  let direct: KubeClient;
  let proxy: HostileProxy;
  before(async () => {
    endpoint = await kubeconfigEndpoint(process.env.KUBECONFIG ?? '', NAMESPACE);
    direct = createKubeClient({ endpoint });
    await direct.request({
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    });
    proxy = await startHostileProxy(endpoint);
  });
  after(async () => {
    await proxy.close();
    await direct.request({ method: 'DELETE', path: `/api/v1/namespaces/${NAMESPACE}` });
    direct.close();
  });

  const through = (who: string) =>
    createKubeClient({ endpoint: { server: proxy.url(who), namespace: NAMESPACE, credentials: async () => ({}) } });
  const put = (name: string, value: string) =>
    applyObject<ConfigMap>(direct, {
      path: `${MAPS}/${name}`,
      object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { test: 'core' } }, data: { value } },
      fieldManager: 'test',
    });
  const remove = (name: string) => direct.request({ method: 'DELETE', path: `${MAPS}/${name}` });

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
      const client = through(what.what);
      const reflector = createReflector<ConfigMap>({
        client,
        path: MAPS,
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
        namespace: NAMESPACE,
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
      const first = await direct.request<ConfigMap>({ method: 'GET', path: `${MAPS}/status` });
      await status.write({ conditions: [condition] });
      const second = await direct.request<ConfigMap>({ method: 'GET', path: `${MAPS}/status` });
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion, 'the same is not written again');
      const stale = applyObject<ConfigMap>(direct, {
        path: `${MAPS}/status`,
        object: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'status' }, data: { x: '1' } },
        fieldManager: 'klar',
        resourceVersion: '1',
      });
      await assert.rejects(stale, isConflict);

      let later = () => {};
      const events = createEventRecorder({
        client: direct,
        namespace: NAMESPACE,
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
          regarding: { apiVersion: 'v1', kind: 'ConfigMap', name, namespace: NAMESPACE },
          type: 'Warning',
          reason: 'Invalid',
          action: 'Parse',
          note,
        });
      type Stored = { items: { note: string; regarding: { name: string }; series?: { count: number } }[] };
      const stored = async () => (await direct.request<Stored>({ method: 'GET', path: EVENTS })).items;
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

  describe('two candidates', () => {
    type Line = { event: string; token?: number; greatest?: number };
    type Candidate = { who: string; process: KlarProcess; lines(): Line[] };
    let database: TestDatabase;
    let candidates: Candidate[];
    before(async () => {
      database = await createTestDatabase();
      await database.asSuperuser(
        `create table public.writes (seq bigint generated always as identity, who text, token bigint, at timestamptz default clock_timestamp());
         grant usage on schema public to klar_controller; grant insert on public.writes to klar_controller`,
      );
    });
    after(() => database.close());
    beforeEach(() => {
      candidates = [];
    });
    afterEach(async () => {
      await Promise.all(candidates.map((one) => one.process.kill()));
      await database.asSuperuser('truncate public.writes');
    });

    function candidate(who: string, lease: string, more: Record<string, string> = {}): Candidate {
      const running = startProcess(CANDIDATE, {
        KUBE: proxy.url(who),
        NAMESPACE,
        LEASE: lease,
        IDENTITY: who,
        DATABASE: database.url('klar_controller'),
        ...more,
      });
      const lines = () =>
        running
          .output()
          .split('\n')
          .filter((line) => line.startsWith('{"event"'))
          .map((line) => JSON.parse(line) as Line);
      const one = { who, process: running, lines };
      candidates.push(one);
      return one;
    }
    const writes = () =>
      database.asSuperuser<{ who: string; token: string; at: Date }>(
        'select who, token, at from public.writes order by seq',
      );
    const wrote = (who: string, timeoutMs = 20_000) =>
      until(async () => (await writes()).filter((row) => row.who === who).length > 3, {
        timeoutMs,
        what: `writes of ${who}`,
      }).catch((error) => {
        throw new Error(`${error.message}\n${candidates.map((one) => one.process.output()).join('\n---\n')}`);
      });
    const firstOf = async (who: string) => (await writes()).find((row) => row.who === who)?.at.getTime() ?? Number.NaN;
    /** In the order of the fence: no token after a greater one, and each of one candidate alone. */
    async function neverTwoWriters(): Promise<void> {
      const rows = await writes();
      const holders = new Map<string, string>();
      let greatest = 0n;
      for (const { who, token } of rows) {
        assert.ok(BigInt(token) >= greatest, `${who} wrote with ${token} after ${greatest}`);
        greatest = BigInt(token);
        assert.equal(holders.get(token) ?? who, who, `two wrote with ${token}`);
        holders.set(token, who);
      }
      assert.ok(holders.size > 1, 'more than one term wrote');
    }

    it('the leader stopped between its look and its write: the other takes over within 20 s, and the late write is refused', async () => {
      const a = candidate('a', 'stopped');
      await wrote('a');
      candidate('b', 'stopped');
      await pause(1_000);
      a.process.child.kill('SIGUSR2');
      const last = await until(
        async () => {
          const before = (await writes()).length;
          await pause(300);
          const rows = await writes();
          return rows.length === before ? rows.at(-1)?.at.getTime() : undefined;
        },
        { timeoutMs: 5_000, what: 'a stopped leader' },
      );
      await wrote('b', TAKEOVER_MS + 5_000);
      const tookMs = (await firstOf('b')) - last;
      process.stdout.write(`      takeover from a stopped leader: ${Math.round(tookMs)} ms\n`);
      assert.ok(tookMs <= TAKEOVER_MS);
      a.process.child.kill('SIGCONT');
      const refused = await until(() => a.lines().find(({ event }) => event === 'refused'), {
        timeoutMs: 10_000,
        what: 'a refusal of the write that was under way',
      });
      assert.ok((refused.greatest ?? 0) > (refused.token ?? 0));
      await until(() => a.lines().some(({ event }) => event === 'over'), { what: 'the end of its term' });
      await neverTwoWriters();
    });

    for (const reckless of [false, true]) {
      const how = reckless ? 'and never looks at its term: the database alone keeps it out' : 'ends its term by itself';
      it(`the leader cut off from the API server, but not from the database, ${how}`, async () => {
        const [first, second, lease] = [`cut-${reckless}`, `next-${reckless}`, `cut-${reckless}`];
        const a = candidate(first, lease, reckless ? { RECKLESS: '1' } : {});
        await wrote(first);
        candidate(second, lease);
        await pause(1_000);
        const cutAt = Date.now();
        proxy.freeze(first, true);
        await wrote(second, TAKEOVER_MS + 5_000);
        const tookMs = (await firstOf(second)) - cutAt;
        process.stdout.write(`      takeover from a leader that is cut off: ${Math.round(tookMs)} ms\n`);
        assert.ok(tookMs <= TAKEOVER_MS);
        const met = reckless ? 'refused' : 'over';
        await until(() => a.lines().some(({ event }) => event === met), { what: `"${met}" of the one cut off` });
        proxy.freeze(first, false);
        await neverTwoWriters();
        // A gap says that the old one had stopped by itself before the new one began.
        const rows = await writes();
        const lastOfFirst =
          rows
            .filter(({ who }) => who === first)
            .at(-1)
            ?.at.getTime() ?? Number.NaN;
        if (!reckless) assert.ok((await firstOf(second)) - lastOfFirst > 1_000);
      });
    }

    it('a lease that was deleted or came back old, with a database that has seen more: above it after one refusal', async () => {
      await database.asSuperuser(`insert into ops.controller_terms (lease, token) values ('old', 2000000000)`);
      const a = candidate('old-a', 'old');
      await wrote('old-a', 30_000);
      assert.deepEqual(
        a
          .lines()
          .filter(({ event }) => event === 'refused')
          .map(({ greatest }) => greatest),
        [2_000_000_000],
      );
      assert.ok((await writes()).every(({ token }) => Number(token) > 2_000_000_000));
    });
  });
});
