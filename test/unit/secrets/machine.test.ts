import { deepEqual, equal, match } from 'node:assert/strict';
import {
  BACK,
  canGoBack,
  type Decision,
  decide,
  type HeldSecret,
  nextStep,
  type Pods,
  type Rotation,
  type Slots,
  STEPS,
  type Step,
} from '#domain/secrets/index.ts';

const NOW = new Date('2026-05-01T12:00:00Z');
const rotation = (step: Step, changes: Partial<Rotation> = {}): Rotation => ({
  id: 'rot_1',
  secret: 'ADMIN_TOKEN',
  kind: 'admin-token',
  step,
  acted: false,
  stepSince: new Date(NOW.getTime() - 3_600_000),
  from: 'old',
  to: 'new',
  emergency: false,
  soakS: 60,
  quietS: 60,
  wasActive: false,
  back: false,
  ...changes,
});
const SLOTS: Record<Step, Slots> = {
  creating: { current: 'old' },
  provisioning: { current: 'old', next: 'new' },
  distributing: { current: 'old', previous: 'new' },
  testing: { current: 'old', previous: 'new' },
  activating: { current: 'new', previous: 'old' },
  soaking: { current: 'new', previous: 'old' },
  retiring: { current: 'new', retired: 'old' },
  verifying: { current: 'new', retired: 'old' },
  reverting: { current: 'old', previous: 'new' },
  draining: { current: 'old', previous: 'new' },
  withdrawing: { current: 'old' },
};
const held = (current: string, other?: string, idle = 3_600): HeldSecret => ({
  current,
  accepted: other === undefined ? [current] : [current, other],
  idleS: { [current]: 0, ...(other === undefined ? {} : { [other]: idle }) },
});
const pods = (...all: (HeldSecret | undefined)[]): Pods => ({
  known: true,
  reports: all.map((one, i) => ({ pod: `pod-${i}`, ready: true, ...(one ? { held: one } : {}) })),
});
const ask = (r: Rotation, slots: Slots, at: Pods, usedElsewhere: string[] = []): Decision =>
  decide({ rotation: r, slots, pods: at, expectPods: true, usedElsewhere }, NOW);

/** What pods look like when they have followed the slots. */
const following = ({ current, previous }: Slots): Pods => pods(held(current, previous), held(current, previous));

describe('the machine of a rotation', () => {
  it('goes through every step in order, each acted before it is left', () => {
    for (const [order, last] of [
      [STEPS, 'done'],
      [BACK, 'rolled_back'],
    ] as const) {
      for (const [index, step] of order.entries()) {
        const before = order === STEPS ? SLOTS[STEPS[Math.max(0, index - 1)] as Step] : SLOTS[step];
        const slots = step === 'retiring' ? SLOTS.soaking : before;
        deepEqual(ask(rotation(step), slots, following(slots)), { do: 'act', step }, step);
        const decision = ask(rotation(step, { acted: true }), SLOTS[step], following(SLOTS[step]));
        const next = order[index + 1];
        if (next !== undefined) deepEqual(decision, { do: 'advance', to: next });
        else equal(decision.do === 'end' && decision.outcome, last);
        equal(nextStep(step), next);
      }
    }
  });

  it('waits at both barriers for every pod, and names who is behind', () => {
    const early = pods(held('old', 'new'), held('old'));
    const first = ask(rotation('distributing', { acted: true }), SLOTS.distributing, early);
    deepEqual(first, { do: 'wait', reason: 'PodsBehind', why: 'pod-1 does not accept the new value yet' });
    const second = ask(
      rotation('activating', { acted: true }),
      SLOTS.activating,
      pods(held('new', 'old'), held('old', 'new')),
    );
    deepEqual(second, { do: 'wait', reason: 'PodsBehind', why: 'pod-1 does not use that value yet' });
  });

  it('does not activate when a pod that began meanwhile does not accept the new value', () => {
    const decision = ask(rotation('activating'), SLOTS.testing, pods(held('old', 'new'), held('old')));
    equal(decision.do, 'wait');
  });

  it('takes silence, unknown pods and no pods for no consent', () => {
    const acted = rotation('distributing', { acted: true });
    equal(ask(acted, SLOTS.distributing, pods(held('old', 'new'), undefined)).do, 'wait');
    equal(ask(acted, SLOTS.distributing, { known: false, problem: 'timeout' }).do, 'wait');
    equal(ask(acted, SLOTS.distributing, pods()).do, 'wait');
    const nobody = decide(
      { rotation: acted, slots: SLOTS.distributing, pods: pods(), expectPods: false, usedElsewhere: [] },
      NOW,
    );
    equal(nobody.do, 'advance');
  });

  it('waits for a pod that starts or ends and says nothing, names it, and at each barrier not for ever', () => {
    const going = { pod: 'a', ready: true, held: held('old', 'new') };
    const silent = (silentS?: number): Pods => ({
      known: true,
      reports: [going, { pod: 'b', ready: false, problem: 'CrashLoopBackOff', ...(silentS ? { silentS } : {}) }],
    });
    const acted = (ms: number) => rotation('distributing', { acted: true, stepSince: new Date(NOW.getTime() - ms) });
    const long = acted(3_600_000);
    const waits = {
      do: 'wait',
      reason: 'PodsBehind',
      why: 'b does not say what it has loaded (CrashLoopBackOff)',
    };
    deepEqual(ask(long, SLOTS.distributing, silent()), waits);
    deepEqual(ask(long, SLOTS.distributing, silent(179)), waits);
    deepEqual(ask(acted(179_000), SLOTS.distributing, silent(3_600)), waits, 'silent before the value was handed out');
    deepEqual(ask(long, SLOTS.distributing, silent(180)), {
      do: 'advance',
      to: 'testing',
      note: 'not waited for: b (CrashLoopBackOff) has been silent for 180 s or more and takes no requests',
    });
    const quiet = (silentS: number) =>
      ask(rotation('retiring'), SLOTS.soaking, {
        known: true,
        reports: [
          { pod: 'a', ready: true, held: held('new', 'old') },
          { pod: 'b', ready: false, silentS },
        ],
      });
    equal(quiet(179).do, 'wait');
    equal(quiet(180).do, 'act');
    const nobody = ask(long, SLOTS.distributing, { known: true, reports: [{ pod: 'b', ready: false, silentS: 999 }] });
    equal(nobody.do, 'wait', 'nobody left is no consent');
    const deaf: Pods = { known: true, reports: [going, { pod: 'b', ready: true, silentS: 99_999 }] };
    equal(ask(long, SLOTS.distributing, deaf).do, 'wait', 'one that takes requests, for as long as it does');
  });

  it('waits for a pod that answers while it starts or ends', () => {
    const about: Pods = {
      known: true,
      reports: [
        { pod: 'a', ready: true, held: held('old', 'new') },
        { pod: 'b', ready: false, held: held('old') },
      ],
    };
    equal(ask(rotation('distributing', { acted: true }), SLOTS.distributing, about).do, 'wait');
  });

  it('soaks by the time of the database, and an emergency does not', () => {
    const fresh = { acted: true, stepSince: new Date(NOW.getTime() - 59_000) };
    equal(ask(rotation('soaking', fresh), SLOTS.soaking, following(SLOTS.soaking)).do, 'wait');
    equal(
      ask(rotation('soaking', { ...fresh, emergency: true }), SLOTS.soaking, following(SLOTS.soaking)).do,
      'advance',
    );
  });

  it('does not retire what was used within the window, by any pod or elsewhere; an emergency does', () => {
    const used = pods(held('new', 'old', 3_600), held('new', 'old', 59));
    const decision = ask(rotation('retiring'), SLOTS.soaking, used);
    equal(decision.do === 'wait' && decision.reason, 'OldValueInUse');
    match((decision as { why: string }).why, /pod-1 saw it used within the last 60 s/);
    equal(ask(rotation('retiring'), SLOTS.soaking, following(SLOTS.soaking), ['2 sessions of klar_api_a']).do, 'wait');
    equal(ask(rotation('retiring', { emergency: true }), SLOTS.soaking, used).do, 'act');
  });

  it('is over only when no pod accepts the old value', () => {
    const acted = rotation('retiring', { acted: true });
    equal(ask(acted, SLOTS.retiring, pods(held('new'), held('new', 'old'))).do, 'wait');
    deepEqual(ask(acted, SLOTS.retiring, pods(held('new'), held('new'))), { do: 'advance', to: 'verifying' });
  });

  it('goes back before the point of no return, and not after it', () => {
    for (const step of STEPS) {
      const decision = ask(rotation(step, { back: true }), SLOTS[step], following(SLOTS[step]));
      const turns = decision.do === 'advance' && decision.to === 'reverting';
      equal(turns, STEPS.indexOf(step) < STEPS.indexOf('retiring'), step);
      equal(canGoBack(step), turns);
    }
    equal(canGoBack('reverting'), false);
  });

  it('going back, lets what was handed out under the new value end first', () => {
    const busy = pods(held('old', 'new', 10));
    equal(ask(rotation('withdrawing', { wasActive: true }), SLOTS.reverting, busy).do, 'wait');
    equal(ask(rotation('withdrawing'), SLOTS.reverting, busy).do, 'act');
  });

  it('leaves a secret alone that somebody else changed', () => {
    const decision = ask(rotation('soaking', { acted: true }), { current: 'third' }, pods(held('third')));
    equal(decision.do === 'end' && decision.outcome, 'abandoned');
    equal(ask(rotation('verifying'), { current: 'new' }, pods(held('new'))).do, 'end');
  });
});
