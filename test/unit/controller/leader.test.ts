import assert from 'node:assert/strict';
import { fakeClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import type { KubeClient, KubeRequest } from '../../../services/controller/kube/client.ts';
import { KubeError } from '../../../services/controller/kube/errors.ts';
import { createLeaderElection, type Term } from '../../../services/controller/kube/leader.ts';
import {
  decideLease,
  firstToken,
  LEASE_LIMITS,
  type Lease,
  lifeSign,
  stillOurs,
} from '../../../services/controller/kube/lease.ts';
import { fakeTiming, settle } from './fake-timing.ts';

const lease = (spec: Lease['spec'] = {}, resourceVersion = '7'): Lease => ({
  metadata: { name: 'l', resourceVersion },
  spec: { holderIdentity: 'other', leaseDurationSeconds: 12, renewTime: 'r', leaseTransitions: 4, ...spec },
});
const decide = (found: Lease | undefined, agoMs: number) =>
  decideLease({ lease: found, unchangedSince: 1_000 }, 'me', 1_000 + agoMs, LEASE_LIMITS);

describe('what a candidate decides', () => {
  const take = { do: 'acquire', resourceVersion: '7', token: 5 };
  it('makes a lease that is not there', () => assert.deepEqual(decide(undefined, 0), { do: 'create' }));
  it('waits for a lease that was renewed', () => assert.deepEqual(decide(lease(), 11_999), { do: 'wait', ms: 1 }));
  it('looks again soon', () => assert.deepEqual(decide(lease(), 0), { do: 'wait', ms: LEASE_LIMITS.everyMs }));
  it('takes one that stayed the same for its duration, with the version it read and the next token', () =>
    assert.deepEqual(decide(lease(), 12_000), take));
  it('takes one that was given back', () => assert.deepEqual(decide(lease({ holderIdentity: '' }), 0), take));
  it('takes its own', () => assert.deepEqual(decide(lease({ holderIdentity: 'me' }), 0), take));
  it('waits longer for a holder that says so, but not for a day', () => {
    assert.equal(decide(lease({ leaseDurationSeconds: 30 }), 29_000).do, 'wait');
    assert.equal(decide(lease({ leaseDurationSeconds: 86_400 }), 60_000).do, 'acquire');
  });
  it('never waits less than its own duration', () =>
    assert.equal(decide(lease({ leaseDurationSeconds: 1 }), 11_000).do, 'wait'));
  it('looks at no time within the lease: clocks of nodes differ', () => {
    for (const renewTime of ['1970-01-01T00:00:00.000000Z', '2100-01-01T00:00:00.000000Z', null]) {
      assert.equal(decide(lease({ renewTime }), 0).do, 'wait');
      assert.equal(decide(lease({ renewTime }), 12_000).do, 'acquire');
    }
  });
  it('sees no sign of life in another version alone', () => {
    assert.equal(lifeSign(lease()), lifeSign(lease({}, '8')));
    assert.notEqual(lifeSign(lease()), lifeSign(lease({ renewTime: 's' })));
  });
  it('is the holder only with its name and its token', () => {
    assert.ok(stillOurs(lease({ holderIdentity: 'me' }), 'me', 4));
    assert.ok(!stillOurs(lease({ holderIdentity: 'me' }), 'me', 3));
    assert.ok(!stillOurs(lease(), 'me', 4));
  });
  it('gives first tokens that rise with time and fit an int32 until 2093', () => {
    assert.equal(firstToken(new Date('2025-01-01T00:00:10Z')), 10);
    assert.equal(firstToken(new Date(0)), 1);
    assert.ok(firstToken(new Date('2093-01-01T00:00:00Z')) < 2 ** 31);
  });
  it('gives up before others begin, and they begin within 20 s', () => {
    const { durationMs, deadlineMs, everyMs, requestMs } = LEASE_LIMITS;
    assert.ok(deadlineMs + everyMs <= durationMs);
    assert.ok(durationMs + 2 * everyMs + requestMs <= 20_000);
  });
});

describe('leaders on a clock of their own', () => {
  let stored: Lease | undefined;
  let version = 0;
  let cut: Set<string>;
  beforeEach(() => {
    stored = undefined;
    cut = new Set();
  });
  const api = (who: string): KubeClient => ({
    async request<T>({ method, body, signal }: KubeRequest): Promise<T> {
      if (cut.has(who)) {
        return new Promise<T>((_, reject) => {
          if (signal?.aborted) reject(signal.reason);
          signal?.addEventListener('abort', () => reject(signal.reason));
        });
      }
      const asked = body as Lease | undefined;
      if (method === 'GET' && !stored) throw new KubeError(404, undefined);
      if (asked) {
        if (method === 'POST' ? stored : stored?.metadata.resourceVersion !== asked.metadata.resourceVersion) {
          throw new KubeError(409, undefined);
        }
        version += 1;
        stored = { ...asked, metadata: { ...asked.metadata, resourceVersion: String(version) } };
      }
      return structuredClone(stored) as T;
    },
    async watch() {},
    close() {},
  });

  it('follows a dead leader within 20 s, never with two at once, whatever the wall clock does', async () => {
    const timing = fakeTiming();
    const clock = fakeClock('2026-03-29T00:59:00Z');
    const reigns: { who: string; term: Term }[] = [];
    const elections = ['a', 'b'].map((who) =>
      createLeaderElection({
        client: api(who),
        namespace: 'n',
        name: 'l',
        identity: who,
        clock,
        timing,
        log: silentLogger(),
        async lead(term) {
          reigns.push({ who, term });
          await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
        },
      }),
    );
    elections[0]?.start();
    await settle();
    elections[1]?.start();
    for (const stepMs of [3_600_000, -7_200_000, 86_400_000, -500]) {
      clock.advance(stepMs);
      for (let i = 0; i < 300; i++) {
        clock.advance(100);
        await timing.advance(100);
      }
    }
    assert.equal(reigns.length, 1, 'a clock that steps starts nothing');

    cut.add('a');
    let endedMs: number | undefined;
    let followedMs: number | undefined;
    for (let ms = 0; ms <= 25_000 && followedMs === undefined; ms += 100) {
      await timing.advance(100);
      if (reigns[0]?.term.signal.aborted) endedMs ??= ms;
      if (reigns.length > 1) followedMs = ms;
    }
    assert.ok(endedMs !== undefined && followedMs !== undefined, `ended ${endedMs}, followed ${followedMs}`);
    assert.ok(endedMs < followedMs && followedMs <= 20_000, `ended ${endedMs}, followed ${followedMs}`);
    assert.equal(reigns[1]?.term.token, (reigns[0]?.term.token ?? 0) + 1);
    const stops = Promise.all(elections.map((election) => election.stop()));
    cut.clear();
    await timing.advance(10_000);
    await stops;
    assert.equal(timing.pending(), 0, 'no timer is left');
  });
});
