import assert from 'node:assert/strict';
import { silentLogger } from '#platform/log/index.ts';
import { createKubeClient, type KubeClient, type KubeRequest } from '../../../services/controller/kube/client.ts';
import { createReflector, type Reflector, type ReflectorLimits } from '../../../services/controller/kube/reflector.ts';
import { systemTiming, type Timing } from '../../../services/controller/kube/timing.ts';
import { until } from '../../support/until.ts';
import { fakeTiming } from '../../unit/controller/fake-timing.ts';
import { type FakeKube, type FakeObject, type Fault, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
const FAST: Partial<ReflectorLimits> = { baseMs: 2, maxMs: 20, watchMs: 1_000, graceMs: 200 };
const isWatch = ({ url }: { url: URL }) => url.searchParams.has('watch');

describe('reflector against a hostile API server', () => {
  let fake: FakeKube;
  let client: KubeClient;
  let reflector: Reflector<FakeObject> | undefined;
  let changes: string[];
  beforeEach(async () => {
    fake = await startFakeKube();
    client = kube(fake);
    changes = [];
  });
  afterEach(async () => {
    await reflector?.stop();
    client.close();
    await fake.close();
  });

  const put = (name: string, value: string) => fake.put(`${MAPS}/${name}`, { metadata: { name }, data: { value } });
  const value = (name: string) => reflector?.get(name)?.data?.value;
  function start(limits: Partial<ReflectorLimits> = {}, timing: Timing = systemTiming): Reflector<FakeObject> {
    reflector = createReflector<FakeObject>({
      client,
      path: MAPS,
      timing,
      log: silentLogger(),
      onChange: (name) => void changes.push(name),
      limits: { ...FAST, ...limits },
    });
    reflector.start();
    return reflector;
  }
  const synced = () => until(() => reflector?.synced() && fake.watches() > 0, { what: 'list and watch' });
  const lists = () => fake.requests.filter((request) => !isWatch(request)).length;

  it('lists page by page and follows what is added, changed and deleted', async () => {
    for (let i = 0; i < 7; i++) put(`m${i}`, 'old');
    start({ pageSize: 3 });
    await synced();
    assert.equal(reflector?.names().length, 7);
    assert.equal(lists(), 3);
    put('m1', 'new');
    put('new', 'here');
    fake.remove(`${MAPS}/m2`);
    await until(() => value('m1') === 'new' && value('new') === 'here' && !reflector?.get('m2'));
    assert.deepEqual(changes.slice(7), ['m1', 'new', 'm2']);
  });

  it('keeps no account of who wrote which field, which may be longer than the object', async () => {
    const metadata = { name: 'm', managedFields: [{ manager: 'kubectl' }] };
    fake.put(`${MAPS}/m`, { metadata, data: { value: 'listed' } });
    start();
    await synced();
    assert.deepEqual(Object.keys(reflector?.get('m')?.metadata ?? {}).sort(), ['name', 'resourceVersion']);
    fake.put(`${MAPS}/m`, { metadata, data: { value: 'watched' } });
    await until(() => value('m') === 'watched');
    assert.deepEqual(Object.keys(reflector?.get('m')?.metadata ?? {}).sort(), ['name', 'resourceVersion']);
  });

  it('resumes after a reset from where it was, by a bookmark too, and lists no second time', async () => {
    put('a', '1');
    start();
    await synced();
    fake.put('/api/v1/namespaces/klar/leases/x', { metadata: { name: 'x' } });
    let turn = 0;
    const resumed = () => {
      if (turn++ % 2 === 0) fake.bookmark();
      else fake.cut();
      return fake.requests.filter(isWatch).at(-1)?.url.searchParams.get('resourceVersion') === String(fake.version());
    };
    await until(resumed, { everyMs: 30, what: 'a watch from the bookmark' });
    put('a', '2');
    await until(() => value('a') === '2');
    assert.equal(lists(), 1);
  });

  for (const form of ['status', 'event'] as const) {
    it(`lists anew after 410 as ${form}, and sees what it missed, deletions too`, async () => {
      put('a', '1');
      put('gone', '1');
      start();
      await synced();
      fake.fault = (request) => (isWatch(request) ? { kind: 'reset' } : undefined);
      await end(fake);
      put('a', '2');
      fake.remove(`${MAPS}/gone`);
      fake.compact(form);
      fake.fault = () => undefined;
      await until(() => value('a') === '2' && !reflector?.get('gone'));
      assert.equal(lists(), 2);
      assert.deepEqual(changes.slice(2).sort(), ['a', 'gone']);
    });
  }

  it('begins a list again when its pages expire, and then asks for all at once', async () => {
    for (let i = 0; i < 5; i++) put(`m${i}`, '1');
    fake.fault = ({ url }) =>
      url.searchParams.has('continue') ? { kind: 'answer', status: 410, reason: 'Expired' } : undefined;
    start({ pageSize: 2 });
    await synced();
    assert.equal(reflector?.names().length, 5);
    assert.equal(lists(), 3);
  });

  it('finds a half-open watch within its time and goes on', async () => {
    put('a', '1');
    let first = true;
    fake.fault = (request) => {
      if (!isWatch(request) || !first) return undefined;
      first = false;
      return { kind: 'half-open' };
    };
    start({ watchMs: 200, graceMs: 100 });
    await until(() => fake.requests.some(isWatch));
    put('a', '2');
    await until(() => value('a') === '2', { timeoutMs: 2_000, what: 'what a dead watch did not say' });
  });

  it('gives a dead watch 50 s by default: with the pause after it that is below 60 s', async () => {
    const timeouts: number[] = [];
    const watched = createReflector({
      client: {
        request: async <T>() => ({ metadata: { resourceVersion: '1' }, items: [] }) as T,
        watch: async ({ timeoutMs }) => {
          timeouts.push(timeoutMs);
          await new Promise((resolve) => setTimeout(resolve, 5));
        },
        close() {},
      },
      path: MAPS,
      timing: systemTiming,
      log: silentLogger(),
      onChange() {},
    });
    watched.start();
    await until(() => timeouts.length > 0);
    await watched.stop();
    assert.ok((timeouts[0] ?? 0) <= 50_000);
  });

  it('keeps the Retry-After of a 429', async () => {
    put('a', '1');
    let first = true;
    const times: number[] = [];
    fake.fault = () => {
      times.push(performance.now());
      if (!first) return undefined;
      first = false;
      return { kind: 'answer', status: 429, reason: 'TooManyRequests', headers: { 'retry-after': '1' } };
    };
    start();
    await synced();
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 990, `came back after ${(times[1] ?? 0) - (times[0] ?? 0)} ms`);
  });

  const list: [string, Fault][] = [
    ['a 500', { kind: 'answer', status: 500 }],
    ['a reset', { kind: 'reset' }],
    ['truncated JSON', { kind: 'truncate' }],
    ['truncated JSON of the right length', { kind: 'truncate', orderly: true }],
    ['a stall', { kind: 'stall', ms: 150 }],
  ];
  for (const [what, fault] of list) {
    it(`survives ${what} of the list`, async () => {
      put('a', '1');
      let times = 3;
      fake.fault = (request) => (isWatch(request) || times-- <= 0 ? undefined : fault);
      start();
      await synced();
      assert.equal(value('a'), '1');
    });
  }

  const event = (type: string, name: string, version: string, text: string) =>
    `${JSON.stringify({ type, object: { metadata: { name, resourceVersion: version }, data: { value: text } } })}\n`;

  it('takes nothing from half an event, and goes on', async () => {
    put('a', '1');
    let times = 2;
    const half = event('MODIFIED', 'a', '5000', 'half').slice(0, 60);
    fake.fault = (request) =>
      isWatch(request) && times-- > 0 ? { kind: 'lines', text: half, end: times ? 'reset' : 'orderly' } : undefined;
    start();
    await synced();
    assert.equal(value('a'), '1');
    put('a', '2');
    await until(() => value('a') === '2');
  });

  it('goes on after a line that is no JSON, and after an event without an object', async () => {
    put('a', '1');
    const texts = ['{"type":"MODI\n', '{"type":"ADDED"}\n', 'null\n', '\u0000\n'];
    fake.fault = (request) => {
      const text = isWatch(request) ? texts.shift() : undefined;
      return text === undefined ? undefined : { kind: 'lines', text };
    };
    start();
    await synced();
    put('a', '2');
    await until(() => value('a') === '2');
    assert.equal(lists(), 1);
  });

  it('ignores events that are replayed: nothing gets older and nothing deleted comes back', async () => {
    const old = put('a', 'old');
    put('a', 'new');
    const gone = put('gone', '1');
    fake.remove(`${MAPS}/gone`);
    const text =
      event('MODIFIED', 'a', old.metadata.resourceVersion, 'old') +
      event('ADDED', 'gone', gone.metadata.resourceVersion, '1') +
      event('DELETED', 'a', old.metadata.resourceVersion, 'old') +
      event('ADDED', 'mark', '999999', 'end');
    fake.fault = (request) => (isWatch(request) ? { kind: 'lines', text } : undefined);
    start();
    await until(() => value('mark') === 'end');
    assert.equal(value('a'), 'new');
    assert.equal(reflector?.get('gone'), undefined);
    assert.deepEqual(changes, ['a', 'mark']);
  });

  it('finds by listing anew what no watch ever said', async () => {
    put('a', '1');
    fake.fault = (request) => (isWatch(request) ? { kind: 'lines', text: '', end: 'orderly' } : undefined);
    start({ relistMs: 50 });
    await until(() => value('a') === '1');
    put('a', '2');
    await until(() => value('a') === '2');
  });

  it('does not run hot when every watch ends at once in order', async () => {
    fake.fault = (request) => (isWatch(request) ? { kind: 'lines', text: '', end: 'orderly' } : undefined);
    start({ baseMs: 50, maxMs: 400 });
    await until(() => reflector?.synced());
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(fake.requests.length < 10, `${fake.requests.length} requests in half a second`);
  });

  it('goes on without a pause when a proxy closes an idle watch in order, however often', async () => {
    const { timing, watched } = idleProxy(1_500, undefined);
    for (let i = 0; i < 20; i++) await timing.advance(1_500);
    assert.ok(watched() >= 20, `${watched()} watches in 20 times 1.5 s`);
    await endIdle();
  });

  it('pauses longer each time when watches break', async () => {
    const { timing, watched } = idleProxy(1_500, new Error('reset'));
    for (let i = 0; i < 20; i++) await timing.advance(1_500);
    assert.ok(watched() < 12, `${watched()} watches`);
    await endIdle();
  });

  it('takes a long list before a refused watch for no success', async () => {
    const { timing, watched } = idleProxy(0, new Error('refused'), 25_000);
    await timing.advance(600_000);
    assert.ok(watched() < 20, `${watched()} watches`);
    await endIdle();
  });

  let endIdle: () => Promise<void>;
  /** A reflector on fake time whose every watch ends after so long, with an error or in order. */
  function idleProxy(lastsMs: number, error: Error | undefined, listMs = 0) {
    const timing = fakeTiming();
    let watches = 0;
    const wait = (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        timing.after(ms, resolve);
        signal?.addEventListener('abort', () => reject(signal.reason));
      });
    const idle = createReflector({
      client: {
        async request<T>({ signal }: KubeRequest) {
          await wait(listMs, signal);
          return { metadata: { resourceVersion: '1' }, items: [] } as T;
        },
        async watch({ signal }) {
          watches += 1;
          await wait(lastsMs, signal);
          if (error) throw error;
        },
        close() {},
      },
      path: MAPS,
      timing,
      log: silentLogger(),
      onChange() {},
      limits: listMs ? { relistMs: 0 } : {},
    });
    idle.start();
    endIdle = () => idle.stop();
    return { timing, watched: () => watches };
  }

  it('stops at once, with its connection closed', async () => {
    start({ watchMs: 60_000 });
    await synced();
    await reflector?.stop();
    await until(() => fake.watches() === 0);
  });
});

const kube = (fake: FakeKube) =>
  createKubeClient({ endpoint: { server: fake.url, namespace: 'klar', credentials: async () => ({}) } });

async function end(fake: FakeKube): Promise<void> {
  fake.cut();
  await until(() => fake.watches() === 0);
}
