import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setCondition } from '../../../services/controller/kube/conditions.ts';
import { inClusterEndpoint } from '../../../services/controller/kube/endpoint.ts';
import { isExpired, KubeError } from '../../../services/controller/kube/errors.ts';
import { createLineSplitter } from '../../../services/controller/kube/lines.ts';
import { isNewer } from '../../../services/controller/kube/objects.ts';
import { awakeTime, backoffMs, sleep, systemTiming, type Timing } from '../../../services/controller/kube/timing.ts';
import { fakeTiming, settle } from './fake-timing.ts';

describe('lines of a watch', () => {
  it('are whole, wherever the chunks end', () => {
    const text = 'one\ntwo\n\nthree\nhalf';
    for (let size = 1; size <= text.length; size++) {
      const lines: string[] = [];
      const take = createLineSplitter((line) => void lines.push(line));
      for (let at = 0; at < text.length; at += size) take(text.slice(at, at + size));
      assert.deepEqual(lines, ['one', 'two', 'three']);
    }
  });
  it('have a longest length, so that a stream without an end of line ends', () => {
    const take = createLineSplitter(() => {}, 10);
    take('12345678\n12345');
    assert.throws(() => take('678901'), /longer than 10/);
  });
});

describe('versions', () => {
  it('are compared as numbers of any length', () => {
    assert.ok(isNewer('10', '9'));
    assert.ok(!isNewer('9', '10'));
    assert.ok(!isNewer('10', '10'));
    assert.ok(isNewer('90071992547409931', '90071992547409930'));
  });
  it('that are no numbers are news when they differ', () => {
    assert.ok(isNewer('a', 'b'));
    assert.ok(!isNewer('a', 'a'));
  });
});

describe('pauses', () => {
  it('double up to a limit, half of each random', () => {
    const at = (failures: number, random: number) => backoffMs(failures, { baseMs: 100, maxMs: 1_000 }, () => random);
    assert.deepEqual([at(1, 0), at(1, 1), at(2, 0), at(4, 1), at(9, 0), at(5_000, 1)], [50, 100, 100, 800, 500, 1_000]);
  });
  it('end with their signal and leave no timer', async () => {
    const timing = fakeTiming();
    const ending = new AbortController();
    let over = 0;
    void sleep(timing, 1_000, ending.signal).then(() => over++);
    ending.abort();
    await settle();
    assert.deepEqual([over, timing.pending()], [1, 0]);
    await sleep(timing, 1_000, ending.signal);
  });
  it('leave no listener', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
      listeners += 1;
      addEventListener.apply(signal, given);
    };
    signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
      listeners -= 1;
      removeEventListener.apply(signal, given);
    };
    for (let i = 0; i < 20; i++) await sleep(systemTiming, 0, signal);
    assert.equal(listeners, 0);
  });
});

describe('monotonic time', () => {
  it('goes on while the machine is suspended, and never back', () => {
    let [running, uptime] = [5_000, 90_000];
    const now = awakeTime(
      () => running,
      () => uptime,
    );
    const seen = [now()];
    const pass = (awakeMs: number, suspendedMs: number) => {
      running += awakeMs;
      uptime += awakeMs + suspendedMs;
      seen.push(now());
    };
    pass(1_000, 10);
    pass(1_000, 60_000);
    pass(1_000, -10);
    pass(1_000, 3_600_000);
    assert.deepEqual(
      seen.map((at) => Math.round(at / 100) * 100),
      [5_000, 6_000, 67_000, 68_000, 3_669_000],
    );
  });
  it('of the system goes on too: the process sees by the uptime that it slept', async () => {
    const real = os.uptime;
    try {
      // Another instance, as the one that other tests use would keep the jump.
      const again = '../../../services/controller/kube/timing.ts?again';
      const fresh = (await import(again)) as { systemTiming: Timing };
      const before = fresh.systemTiming.monotonic();
      os.uptime = () => real() + 3_600;
      syncBuiltinESMExports();
      const slept = fresh.systemTiming.monotonic() - before;
      assert.ok(slept > 3_590_000, `${slept} ms`);
    } finally {
      os.uptime = real;
      syncBuiltinESMExports();
    }
  });
  it("is the process's own while nothing sleeps", () => {
    assert.ok(Math.abs(systemTiming.monotonic() - performance.now()) < 5);
  });
});

describe('refusals of the API server', () => {
  it('keep what Retry-After asks, up to a minute', () => {
    assert.equal(new KubeError(429, undefined, '7').retryAfterMs, 7_000);
    assert.equal(new KubeError(429, { details: { retryAfterSeconds: 3 } }).retryAfterMs, 3_000);
    assert.equal(new KubeError(429, undefined, '99999').retryAfterMs, 60_000);
    for (const bad of ['-1', 'soon', '', undefined])
      assert.equal(new KubeError(429, undefined, bad).retryAfterMs, undefined);
  });
  it('expire a version that is gone, and one from before etcd was restored', () => {
    assert.ok(isExpired(new KubeError(410, { reason: 'Expired' })));
    assert.ok(isExpired(new KubeError(504, { details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } })));
    assert.ok(!isExpired(new KubeError(504, { reason: 'Timeout' })));
  });
});

describe('conditions', () => {
  const input = {
    type: 'SourceValid',
    status: 'True',
    reason: 'Parsed',
    message: 'ok',
    observedGeneration: 1,
  } as const;
  const at = (text: string) => new Date(`2026-01-01T${text}:00.000Z`);

  it('are the very same when nothing changed', () => {
    const first = setCondition([], input, at('00:00'));
    assert.equal(setCondition(first, input, at('01:00')), first);
  });
  it('move their time with the status only', () => {
    const first = setCondition([], input, at('00:00'));
    const second = setCondition(first, { ...input, message: 'still', observedGeneration: 2 }, at('01:00'));
    assert.deepEqual(second, [
      { ...input, message: 'still', observedGeneration: 2, lastTransitionTime: '2026-01-01T00:00:00.000Z' },
    ]);
    const third = setCondition(second, { ...input, status: 'False' }, at('02:00'));
    assert.equal(third[0]?.lastTransitionTime, '2026-01-01T02:00:00.000Z');
  });
  it('are sorted, one of a type, with a reason that is one word and a message of bounded length', () => {
    let all = setCondition([], input, at('00:00'));
    all = setCondition(all, { ...input, type: 'AllReady', message: 'x'.repeat(5_000) }, at('00:00'));
    all = setCondition(all, { ...input, status: 'Unknown' }, at('00:00'));
    assert.deepEqual(
      all.map(({ type, message }) => [type, message.length]),
      [
        ['AllReady', 1_024],
        ['SourceValid', 2],
      ],
    );
    assert.throws(() => setCondition([], { ...input, reason: 'two words' }, at('00:00')), /one CamelCase word/);
  });
});

describe('the service account of a pod', () => {
  it('is read anew each time, as the kubelet replaces it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'klar-sa-'));
    try {
      await Promise.all([
        writeFile(join(dir, 'namespace'), 'klar\n'),
        writeFile(join(dir, 'ca.crt'), 'CA'),
        writeFile(join(dir, 'token'), 'one\n'),
      ]);
      const endpoint = await inClusterEndpoint({ host: 'fd00::1', port: '443', dir });
      assert.deepEqual([endpoint.server, endpoint.namespace], ['https://[fd00::1]:443', 'klar']);
      assert.equal((await endpoint.credentials()).authorization, 'Bearer one');
      await writeFile(join(dir, 'token'), 'two');
      assert.equal((await endpoint.credentials()).authorization, 'Bearer two');
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
