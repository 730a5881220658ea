import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { compileFlags, FLAGS, type FlagStore, openFlags, parseLive } from '#domain/flags/index.ts';
import { systemClock } from '#platform/clock/index.ts';
import { loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createMetrics } from '#platform/metrics/index.ts';
import type { Condition } from '../../../services/controller/kube/conditions.ts';
import { type RunningController, startController } from '../../../services/controller/main.ts';
import type { PodAnswer } from '../../../services/controller/pods.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startTcpProxy, throughProxy } from '../../support/tcp-proxy.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';
import { MUTATIONS } from '../../unit/flags/mutations.ts';
import { type FakeKube, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
const SOURCE = `${MAPS}/klar-flags-source`;
const LIVE = `${MAPS}/klar-flags`;
const STATUS = `${MAPS}/klar-flags-status`;

function text(position: 'on' | 'off') {
  const document = sample();
  Object.assign(document.flags['checkout-enabled'] as object, { defaultVariant: position });
  return json(document);
}
const versionOf = (document: string) => {
  const result = compileFlags(document, FLAGS);
  return result.ok ? result.set.version : '';
};

describe('the controller and flags', function () {
  this.timeout(60_000);
  let database: TestDatabase;
  let kube: FakeKube;
  let controller: RunningController | undefined;
  let pod: FlagStore | undefined;
  /** What the pods say; undefined: what the store of this test runs. */
  let pods: PodAnswer[] | undefined;

  beforeEach(async () => {
    database = await createTestDatabase();
    kube = await startFakeKube();
    pods = undefined;
  });
  afterEach(async () => {
    pod?.close();
    await controller?.stop();
    controller = undefined;
    await kube.close();
    await database.close();
  });

  const start = async (url = database.url('klar_controller')) => {
    controller = await startController({
      settings: loadSettings('controller', {
        KLAR_PROFILE: 'test',
        ADMIN_PORT: '0',
        DATABASE_URL_CONTROLLER: url,
        KLAR_SECRETS_DIR: '/nonexistent',
      }),
      log: silentLogger(),
      endpoint: { server: kube.url, namespace: 'klar', credentials: async () => ({}) },
      pods: {
        observe: async () =>
          pods ?? [{ pod: 'api-1', component: 'api', ready: true, versionz: { flags: pod?.state() ?? null } }],
      },
    });
  };
  const openPod = () => {
    pod = openFlags({
      file: undefined,
      db: database.db('klar_api'),
      clock: systemClock,
      log: silentLogger(),
      metrics: createMetrics(),
      pollMs: 50,
    });
    return pod;
  };
  const put = (document: string, more: Record<string, string> = {}, annotations = {}) =>
    kube.put(SOURCE, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'klar-flags-source', annotations },
      data: { 'flags.json': document, ...more },
    });
  const live = () => parseLive(kube.get(LIVE)?.data?.['live.json'] ?? '');
  const conditions = () => JSON.parse(kube.get(STATUS)?.data?.conditions ?? '[]') as Condition[];
  const condition = (type: string) => conditions().find((one) => one.type === type);
  const shows = (type: string, reason: string) =>
    until(() => condition(type)?.reason === reason, { what: `${type} ${reason}`, timeoutMs: 20_000 });
  const stored = async () =>
    (
      await database.asSuperuser<{ version: string; changed_by: string | null }>(
        'select version, changed_by from ops.flag_sets order by sequence desc limit 1',
      )
    )[0];

  it('bring the source to the pods, and say that they have it', async () => {
    put(text('on'));
    openPod();
    await start();
    await shows('Distributed', 'Distributed');
    deepEqual([pod?.state().version, live()?.version, (await stored())?.version], Array(3).fill(versionOf(text('on'))));
    const { version } = { version: versionOf(text('off')) };
    put(text('off'), {}, { 'klar.io/changed-by': `${version} Ada` });
    await until(() => pod?.state().version === version, { what: 'the flip' });
    await until(() => live()?.version === version, { what: 'the live ConfigMap' });
    deepEqual(await stored(), { version, changed_by: 'Ada' });
    await until(() => kube.get(STATUS)?.data?.version === version);
    equal(condition('SourceValid')?.status, 'True');
    const metrics = async () => (await fetch(`http://127.0.0.1:${controller?.adminPort}/metrics`)).text();
    match(await metrics(), /^klar_controller_leader\{[^}]*\} 1$/m);
    // The set is applied before the pods are asked.
    await until(async () => /^klar_flags_pods\{state="current"[^}]*\} 1$/m.test(await metrics()), { what: 'the pod' });
  });

  it('begin with the document of the release where there is no source', async () => {
    await start();
    await until(() => kube.get(SOURCE)?.data?.['flags.yaml'] !== undefined, { what: 'the source' });
    await until(() => live() !== undefined, { what: 'the live ConfigMap' });
    match(kube.get(SOURCE)?.data?.['flags.yaml'] ?? '', /^# The flags of Klar/);
    equal(live()?.version, versionOf(kube.get(SOURCE)?.data?.['flags.yaml'] ?? ''));
    await shows('SourceValid', 'Valid');
  });

  it('heal a source and a live ConfigMap that somebody deleted or edited, and change no flag by it', async () => {
    put(text('off'));
    await start();
    await shows('Applied', 'Applied');
    const before = live();
    kube.remove(SOURCE);
    await until(() => versionOf(kube.get(SOURCE)?.data?.['flags.yaml'] ?? '') === before?.version, { what: 'source' });
    kube.remove(LIVE);
    await until(() => live() !== undefined, { what: 'live after a deletion' });
    deepEqual(live(), before);
    const edited = JSON.stringify({ sequence: 1, version: before?.version, document: {} });
    kube.put(LIVE, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'klar-flags' },
      data: { 'live.json': edited },
    });
    await until(() => live()?.sequence === before?.sequence, { what: 'live after an edit' });
    deepEqual(live(), before);
    equal((await stored())?.version, before?.version);
    const liveText = () => kube.get(LIVE)?.data?.['live.json'];
    const good = liveText();
    for (const edit of [text('on'), `${good}\n`, good?.replace(/"version":"...../, '"version":"00000')]) {
      kube.put(LIVE, { ...kube.get(LIVE), data: { 'live.json': edit } });
      await until(() => liveText() === good, { what: `live after ${edit?.slice(0, 40)}`, timeoutMs: 20_000 });
    }
  }).timeout(60_000);

  it('reach the pods while the API server refuses the live ConfigMap for a minute', async () => {
    put(text('on'));
    openPod();
    await start();
    await shows('Distributed', 'Distributed');
    kube.fault = ({ method, url }) =>
      method === 'PATCH' && url.pathname === LIVE
        ? { kind: 'answer', status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '60' } }
        : undefined;
    for (const position of ['off', 'on', 'off'] as const) {
      put(text(position));
      await until(() => pod?.state().version === versionOf(text(position)), { what: position, timeoutMs: 20_000 });
    }
    await shows('Applied', 'LiveNotWritten');
  }).timeout(90_000);

  it('reach the pods although the watch of the source says nothing any more', async () => {
    put(text('on'));
    openPod();
    let silent = 1;
    kube.fault = ({ url }) => {
      const watches = url.searchParams.get('watch') === 'true' && url.search.includes('flags-source');
      return watches && silent-- > 0 ? { kind: 'half-open' } : undefined;
    };
    await start();
    await until(() => pod?.state().version === versionOf(text('on')), { what: 'the first', timeoutMs: 20_000 });
    put(text('off'));
    await until(() => pod?.state().version === versionOf(text('off')), { what: 'the flip', timeoutMs: 30_000 });
  }).timeout(90_000);

  it('reach the pods although the connection of the controller to the database hangs', async () => {
    put(text('on'));
    openPod();
    const proxy = await startTcpProxy(Number(new URL(database.superuserUrl).port));
    try {
      await start(throughProxy(database.url('klar_controller'), proxy));
      await shows('Distributed', 'Distributed');
      proxy.hang();
      put(text('off'));
      // Measured: 3 s. Without a limit of its own a question takes the pool's 20 s.
      await until(() => pod?.state().version === versionOf(text('off')), { what: 'the flip', timeoutMs: 15_000 });
      await shows('Applied', 'Applied');
    } finally {
      await controller?.stop();
      controller = undefined;
      await proxy.close();
    }
  }).timeout(90_000);

  it('are changed by none of the mutations, and each is told', async () => {
    put(text('off'));
    openPod();
    await start();
    await shows('Distributed', 'Distributed');
    const { version } = pod?.state() ?? {};
    for (const { name, text: document, says } of MUTATIONS) {
      put(document);
      const wanted = Buffer.byteLength(document) > 1024 * 1024 - 512 ? /is too long/ : says;
      await until(
        () => condition('SourceValid')?.status === 'False' && wanted.test(condition('SourceValid')?.message ?? ''),
        { what: name },
      );
      deepEqual([live()?.version, pod?.state().version], [version, version], name);
    }
    ok(kube.requests.some(({ method, url }) => method === 'POST' && url.pathname.endsWith('/events')));
    put(text('on'));
    await until(() => pod?.state().version === versionOf(text('on')), { what: 'the mended document' });
    await shows('SourceValid', 'Valid');
  }).timeout(60_000);

  it('name the pods that lag, and those that say nothing', async () => {
    put(text('on'));
    pods = [
      { pod: 'api-1', component: 'api', ready: true, versionz: { flags: { version: versionOf(text('on')) } } },
      { pod: 'worker-1', component: 'worker', ready: true, versionz: { flags: { version: '0123456789ab' } } },
      { pod: 'worker-2', component: 'worker', ready: true, problem: 'ECONNREFUSED' },
    ];
    await start();
    await until(() => condition('Distributed')?.status === 'False', { what: 'PodsLag', timeoutMs: 15_000 });
    match(
      condition('Distributed')?.message ?? '',
      /^1 of 3 ready pods run .*worker-1 runs 0123456789ab, worker-2 does not/,
    );
    match(kube.get(STATUS)?.data?.lagging ?? '', /"worker-1".*"worker-2"/);
  }).timeout(30_000);

  it('reach the mounted ConfigMap while the database is away, and say so', async () => {
    put(text('on'));
    await start('postgres://klar_controller_a:x@127.0.0.1:1/none');
    await until(() => live()?.version === versionOf(text('on')), { what: 'the live ConfigMap' });
    await shows('Applied', 'DatabaseAway');
  });

  it('are not written by a leader whose term the database knows to be over', async () => {
    put(text('on'));
    await start();
    await shows('Applied', 'Applied');
    const before = controller?.term()?.token ?? 0;
    await database.asSuperuser('update ops.controller_terms set token = token + 1000');
    put(text('off'));
    // The refused one goes, and the next one begins above what the database has seen.
    await until(() => (controller?.term()?.token ?? 0) > before + 1000, { what: 'a later term', timeoutMs: 15_000 });
    await until(() => live()?.version === versionOf(text('off')));
  }).timeout(30_000);
});
