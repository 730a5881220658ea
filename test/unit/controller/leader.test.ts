import assert from 'node:assert/strict';
import { fakeClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import type { KubeClient, KubeRequest } from '../../../services/controller/kube/client.ts';
import { KubeError } from '../../../services/controller/kube/errors.ts';
import { createLeaderElection, type LeaderElection, type Term } from '../../../services/controller/kube/leader.ts';
import {
  decideLease,
  LEASE_LIMITS,
  type Lease,
  lifeSign,
  nextToken,
  renewalMs,
  stillOurs,
} from '../../../services/controller/kube/lease.ts';
import { type FakeTiming, fakeTiming, settle } from './fake-timing.ts';

const lease = (spec: Lease['spec'] = {}, resourceVersion = '7'): Lease => ({
  metadata: { name: 'l', resourceVersion },
  spec: { holderIdentity: 'other', leaseDurationSeconds: 12, renewTime: 'r', leaseTransitions: 4, ...spec },
});
const decide = (found: Lease | undefined, agoMs: number, floor = 2) =>
  decideLease({ lease: found, unchangedSince: 1_000 }, 'me', 1_000 + agoMs, LEASE_LIMITS, floor);

describe('what a candidate decides', () => {
  const take = { do: 'acquire', resourceVersion: '7', token: 5 };
  it('makes a lease that is not there', () => assert.deepEqual(decide(undefined, 0), { do: 'create', token: 2 }));
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
  it('takes no token below the floor, whatever an old lease says', () =>
    assert.deepEqual(decide(lease(), 12_000, 900), { ...take, token: 900 }));
  it('has floors that rise with time and above all that was seen, and fit an int32 whatever the clock says', () => {
    assert.equal(nextToken(new Date('2025-01-01T00:00:10Z'), 0), 10);
    assert.equal(nextToken(new Date('2025-01-01T00:00:10Z'), 10), 11);
    assert.equal(nextToken(new Date(0), 0), 1);
    assert.equal(
      nextToken(new Date('2092-06-01T00:00:00Z'), 0),
      Date.UTC(2092, 5, 1) / 1_000 - Date.UTC(2025, 0, 1) / 1_000,
    );
    assert.ok(nextToken(new Date('2200-01-01T00:00:00Z'), 0) < 2 ** 31 - 1_000_000);
  });
  it('leaves a renewal that hangs time for two further tries', () => {
    let leftMs = LEASE_LIMITS.deadlineMs - LEASE_LIMITS.everyMs;
    let tries = 0;
    for (; leftMs > 300; tries += 1) leftMs -= renewalMs(leftMs, LEASE_LIMITS) + LEASE_LIMITS.everyMs / 4;
    assert.ok(tries >= 3, `${tries} tries`);
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
  /** So many requests from now on get no answer, and end by their own time. */
  let hang: number;
  beforeEach(() => {
    stored = undefined;
    cut = new Set();
    hang = 0;
  });
  const api = (who: string, timing: FakeTiming): KubeClient => ({
    async request<T>({ method, body, signal, timeoutMs }: KubeRequest): Promise<T> {
      if (cut.has(who) || hang > 0) {
        hang -= 1;
        return new Promise<T>((_, reject) => {
          const cancel = timing.after(timeoutMs ?? 15_000, () => reject(new Error('no end')));
          const abort = () => {
            cancel();
            reject(signal?.reason);
          };
          if (signal?.aborted) abort();
          signal?.addEventListener('abort', abort);
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
        client: api(who, timing),
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
    assert.ok((reigns[1]?.term.token ?? 0) > (reigns[0]?.term.token ?? 0));
    const stops = Promise.all(elections.map((election) => election.stop()));
    cut.clear();
    await timing.advance(10_000);
    await stops;
    assert.equal(timing.pending(), 0, 'no timer is left');
  });

  /** One candidate that leads, on timing of its own; what it did in `terms`. */
  function lone(): { timing: FakeTiming; terms: Term[]; election: LeaderElection } {
    const timing = fakeTiming();
    const terms: Term[] = [];
    const election = createLeaderElection({
      client: api('a', timing),
      namespace: 'n',
      name: 'l',
      identity: 'a',
      clock: fakeClock('2025-01-01T00:10:00Z'),
      timing,
      log: silentLogger(),
      async lead(term) {
        terms.push(term);
        await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
      },
    });
    election.start();
    return { timing, terms, election };
  }

  it('keeps its term over two renewals in a row that hang', async () => {
    const { timing, terms, election } = lone();
    await timing.advance(1_000);
    hang = 2;
    await timing.advance(60_000);
    assert.equal(hang, 0, 'they hung');
    assert.deepEqual([terms.length, terms[0]?.signal.aborted], [1, false]);
    const stopped = election.stop();
    await timing.advance(10_000);
    await stopped;
  });

  it('takes over a lease that came back old with a restored etcd, above every token it gave out', async () => {
    const { timing, terms, election } = lone();
    await timing.advance(1_000);
    assert.equal(terms[0]?.token, 600);
    version += 1;
    stored = lease({ holderIdentity: 'long gone', leaseTransitions: 17 }, String(version));
    await timing.advance(30_000);
    assert.equal(terms[1]?.token, 601);
    const stopped = election.stop();
    await timing.advance(10_000);
    await stopped;
  });

  it('steps down when a store refuses its token and comes back above what the store has seen', async () => {
    const { timing, terms, election } = lone();
    await timing.advance(1_000);
    terms[0]?.refused(5_000_000);
    assert.ok(terms[0]?.signal.aborted, 'at once');
    assert.throws(() => terms[0]?.check(), /a store has seen term 5000000/);
    await settle();
    assert.equal(stored?.spec?.leaseTransitions, 5_000_000, 'the lease tells the others');
    await timing.advance(30_000);
    assert.equal(terms[1]?.token, 5_000_001);
    const stopped = election.stop();
    await timing.advance(10_000);
    await stopped;
  });
});
