import assert from 'node:assert/strict';
import { fakeClock } from '#platform/clock/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import { createLeaderElection, type LeaderElection, type Term } from '../../../services/controller/kube/leader.ts';
import { systemTiming, type Timing } from '../../../services/controller/kube/timing.ts';
import { until } from '../../support/until.ts';
import { type FakeKube, type Fault, startFakeKube } from './fake-kube.ts';

const LEASE = '/apis/coordination.k8s.io/v1/namespaces/klar/leases/klar-controller';
/** So long that a busy machine loses no term by itself. */
const LIMITS = { durationMs: 4_000, deadlineMs: 3_000, everyMs: 50, requestMs: 1_000 };
/** For a term that is to be lost. */
const SHORT = { durationMs: 1_000, deadlineMs: 750, everyMs: 60, requestMs: 300 };

describe('leader election on a lease', () => {
  let fake: FakeKube;
  let candidates: { election: LeaderElection; client: KubeClient }[];
  let terms: { who: string; term: Term; ended: boolean }[];
  beforeEach(async () => {
    fake = await startFakeKube();
    candidates = [];
    terms = [];
  });
  afterEach(async () => {
    await Promise.all(candidates.map(({ election }) => election.stop()));
    for (const { client } of candidates) client.close();
    await fake.close();
  });

  /** Each has a token of its own, so that faults can be for one of them. */
  function candidate(
    who: string,
    input: { timing?: Timing; lingerMs?: number; limits?: typeof LIMITS } = {},
  ): LeaderElection {
    const client = createKubeClient({
      endpoint: {
        server: fake.url,
        namespace: 'klar',
        credentials: async () => ({ authorization: `Bearer ${who}` }),
      },
    });
    const election = createLeaderElection({
      client,
      namespace: 'klar',
      name: 'klar-controller',
      identity: who,
      clock: fakeClock('2026-06-01T00:00:00Z'),
      timing: input.timing ?? systemTiming,
      log: silentLogger(),
      limits: input.limits ?? LIMITS,
      async lead(term) {
        const entry = { who, term, ended: false };
        terms.push(entry);
        await new Promise((resolve) => term.signal.addEventListener('abort', resolve));
        await new Promise((resolve) => setTimeout(resolve, input.lingerMs ?? 0));
        entry.ended = true;
      },
    });
    candidates.push({ election, client });
    election.start();
    return election;
  }
  const faultOf = (who: string, fault: () => Fault | undefined) => {
    fake.fault = ({ who: asks }) => (asks === `Bearer ${who}` ? fault() : undefined);
  };
  const reign = (who: string) => until(() => terms.find((entry) => entry.who === who && !entry.ended), { what: who });
  const spec = () => fake.get(LEASE)?.spec as { holderIdentity: string; leaseTransitions: number; renewTime: string };

  it('lets one lead of two, and the other follow at once when it stops', async () => {
    const a = candidate('a');
    const first = await reign('a');
    candidate('b');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(terms.length, 1);
    const began = performance.now();
    await a.stop();
    assert.ok(first.ended, 'the work is through before the lease is given back');
    const second = await reign('b');
    assert.ok(performance.now() - began < LIMITS.durationMs / 2, 'a lease given back needs no waiting');
    assert.ok(second.term.token > first.term.token);
  });

  it('is cut off: ends its term before the other begins', async () => {
    candidate('a', { limits: SHORT });
    const first = await reign('a');
    candidate('b', { limits: SHORT });
    faultOf('a', () => ({ kind: 'half-open' }));
    await until(() => first.term.signal.aborted);
    assert.equal(terms.length, 1, 'nobody else before that');
    await reign('b');
  });

  it('survives resets, a 500, half an answer and one that was lost', async () => {
    candidate('a');
    await reign('a');
    let n = 0;
    // A lost answer is followed by a refused renewal, a look and a renewal.
    const lost = [{ kind: 'lost-answer' } as const, undefined, undefined, undefined];
    const faults: (Fault | undefined)[] = [
      { kind: 'reset' },
      undefined,
      { kind: 'answer', status: 500 },
      undefined,
      ...lost,
      { kind: 'truncate' },
    ];
    faultOf('a', () => faults[n++]);
    await until(() => n > faults.length + 4);
    assert.equal(terms.length, 1);
    assert.ok(!terms[0]?.term.signal.aborted);
  });

  it('ends its term at once when somebody else holds the lease, and when it was deleted; tokens only grow', async () => {
    candidate('a', { limits: SHORT });
    const first = await reign('a');
    fake.put(LEASE, {
      metadata: { name: 'klar-controller' },
      spec: { holderIdentity: 'x', leaseDurationSeconds: 1, renewTime: 'x', leaseTransitions: first.term.token + 7 },
    });
    await until(() => first.ended);
    const second = await until(() => terms[1], { what: 'a second term' });
    assert.equal(second.term.token, first.term.token + 8);
    fake.remove(LEASE);
    await until(() => second.ended);
    const third = await until(() => terms[2], { what: 'a third term' });
    assert.ok(third.term.token > second.term.token, `${third.term.token} after ${second.term.token}`);
  });

  it('keeps its term when a person writes an annotation', async () => {
    candidate('a');
    const first = await reign('a');
    fake.put(LEASE, { ...fake.get(LEASE), metadata: { name: 'klar-controller', annotations: { by: 'hand' } } });
    const version = fake.version();
    await until(() => fake.version() > version + 2, { what: 'renewals after it' });
    assert.ok(!first.term.signal.aborted);
  });

  it('keeps its term while other requests of this process hang', async () => {
    candidate('a');
    const first = await reign('a');
    fake.fault = ({ url }) => (url.pathname.endsWith('/leases/klar-controller') ? undefined : { kind: 'half-open' });
    const hanging = Array.from({ length: 40 }, () =>
      candidates[0]?.client
        .request({ method: 'GET', path: '/api/v1/namespaces/klar/configmaps', timeoutMs: 4_500 })
        .catch(() => {}),
    );
    await Promise.all(hanging);
    assert.ok(!first.term.signal.aborted);
  });

  it('knows that its term is over before any timer had a turn', async () => {
    let aheadMs = 0;
    const timing: Timing = { ...systemTiming, monotonic: () => systemTiming.monotonic() + aheadMs };
    candidate('a', { timing });
    const { term } = await reign('a');
    term.check();
    aheadMs = 60_000;
    assert.throws(() => term.check(), /leadership ended/);
    assert.ok(term.signal.aborted);
  });

  it('begins no second term while the first has not ended its work', async () => {
    candidate('a', { lingerMs: 600 });
    const first = await reign('a');
    fake.remove(LEASE);
    await until(() => first.term.signal.aborted);
    await until(() => terms.length > 1, { what: 'the next term' });
    assert.ok(first.ended);
  });

  it('takes the lease of two who ask at once for one of them', async () => {
    fake.put(LEASE, { metadata: { name: 'klar-controller' }, spec: { holderIdentity: '', leaseTransitions: 4 } });
    for (const who of ['a', 'b', 'c', 'd']) candidate(who);
    await until(() => terms.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.deepEqual(
      terms.map((entry) => entry.term.token),
      [spec().leaseTransitions],
    );
  });
});
