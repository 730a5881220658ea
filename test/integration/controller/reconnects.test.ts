import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLogger } from '#platform/log/index.ts';
import { createKubeClient } from '../../../services/controller/kube/client.ts';
import { createReflector } from '../../../services/controller/kube/reflector.ts';
import { systemTiming } from '../../../services/controller/kube/timing.ts';
import { until } from '../../support/until.ts';
import { type FakeObject, type Fault, startFakeKube } from './fake-kube.ts';

const MAPS = '/api/v1/namespaces/klar/configmaps';
/** More by KLAR_RECONNECTS; 10,000 take under a minute. */
const RECONNECTS = Number(process.env.KLAR_RECONNECTS ?? 1_000);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const activeTimers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('a thousand broken connections', () => {
  it('leave no socket, no listener, no timer and no memory, and lose nothing', async function () {
    this.timeout(60_000 + RECONNECTS * 20);
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const fake = await startFakeKube();
    const client = createKubeClient({
      endpoint: { server: fake.url, namespace: 'klar', credentials: async () => ({}) },
    });
    const listeners = new Set<unknown>();
    const signal = AbortSignal.prototype;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = function (...given: Parameters<typeof addEventListener>) {
      listeners.add(given[1]);
      addEventListener.apply(this, given);
    };
    signal.removeEventListener = function (...given: Parameters<typeof removeEventListener>) {
      listeners.delete(given[1]);
      removeEventListener.apply(this, given);
    };
    const reflector = createReflector<FakeObject>({
      client,
      path: MAPS,
      timing: systemTiming,
      log: silentLogger(),
      onChange() {},
      limits: { baseMs: 0, maxMs: 0, watchMs: 5_000, graceMs: 1_000 },
    });
    try {
      for (let i = 0; i < 20; i++) fake.put(`${MAPS}/m${i}`, { metadata: { name: `m${i}` }, data: { n: '0' } });
      const gone = '{"type":"ERROR","object":{"code":410,"reason":"Expired"}}\n';
      const faults: (Fault | undefined)[] = [
        { kind: 'reset' },
        { kind: 'answer', status: 500 },
        { kind: 'lines', text: '{"type":"MODI', end: 'reset' },
        { kind: 'lines', text: gone, end: 'orderly' },
        { kind: 'lines', text: '', end: 'orderly' },
        { kind: 'lines', text: 'null\n' },
      ];
      let broken = 0;
      let breakUntil = RECONNECTS / 5;
      fake.fault = ({ url }) => {
        if (!url.searchParams.has('watch') || broken >= breakUntil) return undefined;
        if (broken % 50 === 0) fake.put(`${MAPS}/m1`, { metadata: { name: 'm1' }, data: { n: String(broken) } });
        fake.requests.length = 0;
        return faults[broken++ % faults.length];
      };
      const measure = async () => {
        const newest = () => reflector.get('m1')?.data?.n === fake.get(`${MAPS}/m1`)?.data?.n;
        await until(() => broken === breakUntil && fake.watches() === 1 && newest(), {
          timeoutMs: 60_000 + RECONNECTS * 20,
          what: 'a watch that works, with what is newest',
        });
        await until(() => fake.sockets() <= 3, { what: 'closed sockets' });
        collect();
        return { heap: process.memoryUsage().heapUsed, listeners: listeners.size, timers: activeTimers() };
      };
      reflector.start();
      const before = await measure();
      breakUntil = RECONNECTS;
      fake.cut();
      const after = await measure();
      assert.equal(broken, RECONNECTS);
      assert.equal(after.listeners, before.listeners);
      assert.ok(after.timers <= before.timers + 1, `${after.timers} timers after ${before.timers}`);
      const growth = after.heap - before.heap;
      assert.ok(growth < 2_000_000, `${growth} bytes more after ${RECONNECTS} reconnects`);
      assert.deepEqual(warnings, []);
      if (process.env.KLAR_RECONNECTS) {
        const figures = `heap ${growth} bytes, listeners ${after.listeners - before.listeners}, timers ${after.timers - before.timers}`;
        process.stdout.write(`      ${RECONNECTS} reconnects: ${figures}, ${fake.sockets()} sockets open\n`);
      }
    } finally {
      await reflector.stop();
      signal.addEventListener = addEventListener;
      signal.removeEventListener = removeEventListener;
      process.off('warning', warn);
      client.close();
      await fake.close();
    }
    assert.equal(listeners.size, 0);
  });
});
