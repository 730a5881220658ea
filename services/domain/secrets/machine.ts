import { behind, overlooked, type Pods, stillUsing } from './pods.ts';

/** The steps of a rotation, in order. The design names them (section 9). */
export const STEPS = [
  'creating',
  'provisioning',
  'distributing',
  'testing',
  'activating',
  'soaking',
  'retiring',
  'verifying',
] as const;
/** The way back, in order. */
export const BACK = ['reverting', 'draining', 'withdrawing'] as const;
export type Step = (typeof STEPS)[number] | (typeof BACK)[number];
export type Outcome = 'done' | 'rolled_back' | 'abandoned';

/** One rotation as stored. Generations name values; no value is in it. */
export type Rotation = {
  id: string;
  secret: string;
  kind: string;
  step: Step;
  /** The effect of the step is there and recorded. */
  acted: boolean;
  stepSince: Date;
  from: string;
  /** Known once the new value exists. */
  to: string | null;
  emergency: boolean;
  soakS: number;
  quietS: number;
  /** The new value was in use: going back has to drain it first. */
  wasActive: boolean;
  /** Somebody asked to go back. */
  back: boolean;
};

/** Which generation is in which place of the secret's store. */
export type Slots = { current: string; previous?: string; next?: string; retired?: string };

export type Observed = {
  rotation: Rotation;
  slots: Slots;
  pods: Pods;
  /** Whether a running system has pods that hold this secret. */
  expectPods: boolean;
  /** Other users of the old value that the kind itself can see, e.g. sessions of a login; in words. */
  usedElsewhere: readonly string[];
};

export type Decision =
  | { do: 'act'; step: Step }
  /** `note`: for the history, where something was not waited for. */
  | { do: 'advance'; to: Step; note?: string }
  | { do: 'wait'; reason: WaitReason; why: string }
  | { do: 'end'; outcome: Outcome; why: string };
export type WaitReason = 'PodsBehind' | 'Soaking' | 'OldValueInUse';

type Check = (o: Observed, now: Date) => Decision | undefined;

const inStepS = ({ stepSince }: Rotation, now: Date) => (now.getTime() - stepSince.getTime()) / 1_000;

const list = (words: readonly string[]) =>
  words.length <= 5 ? words.join('; ') : `${words.slice(0, 5).join('; ')}; and ${words.length - 5} more`;

const barrier =
  (kind: 'accepts' | 'uses' | 'forgot', which: 'from' | 'to'): Check =>
  ({ pods, rotation, expectPods }, now) => {
    const generation = rotation[which];
    if (generation === null) return undefined;
    const late = behind(pods, kind, generation, expectPods, inStepS(rotation, now));
    return late.length > 0 ? { do: 'wait', reason: 'PodsBehind', why: list(late) } : undefined;
  };

const quiet =
  (which: 'from' | 'to'): Check =>
  ({ pods, rotation, usedElsewhere }, now) => {
    const generation = rotation[which];
    if (rotation.emergency || generation === null) return undefined;
    const users = [...stillUsing(pods, generation, rotation.quietS, inStepS(rotation, now)), ...usedElsewhere];
    return users.length > 0 ? { do: 'wait', reason: 'OldValueInUse', why: list(users) } : undefined;
  };

const soaked: Check = ({ rotation }, now) => {
  const endsAt = rotation.stepSince.getTime() + rotation.soakS * 1_000;
  if (rotation.emergency || now.getTime() >= endsAt) return undefined;
  return { do: 'wait', reason: 'Soaking', why: `both values are accepted until ${new Date(endsAt).toISOString()}` };
};

type Rule = {
  /** What must hold before the effect of the step. */
  before?: Check;
  /** What must hold after it, before the next step. */
  after?: Check;
  /** What the slots must look like for the step to make sense; else somebody changed the secret by hand. */
  slots(slots: Slots, rotation: Rotation): boolean;
};

const untouched = ({ current }: Slots, { from }: Rotation) => current === from;
const offered = (slots: Slots, rotation: Rotation) =>
  untouched(slots, rotation) && [slots.previous, slots.next].includes(rotation.to ?? undefined);
const active = ({ current, previous }: Slots, { from, to }: Rotation) => current === to && previous === from;

/** The table of the machine: a step acts once `before` holds, and is over once `after` holds. */
export const RULES: Readonly<Record<Step, Rule>> = {
  creating: { slots: untouched },
  provisioning: { slots: untouched },
  distributing: { slots: offered, after: barrier('accepts', 'to') },
  testing: { slots: offered },
  // Before the effect as well: a pod that began meanwhile, or lost the value again, would refuse what others send.
  activating: {
    slots: (slots, rotation) => offered(slots, rotation) || active(slots, rotation),
    before: (observed, now) =>
      active(observed.slots, observed.rotation) ? undefined : barrier('accepts', 'to')(observed, now),
    after: barrier('uses', 'to'),
  },
  soaking: { slots: active, after: soaked },
  retiring: {
    slots: (slots, rotation) =>
      active(slots, rotation) || (slots.current === rotation.to && slots.retired === rotation.from),
    before: quiet('from'),
    after: barrier('forgot', 'from'),
  },
  verifying: { slots: ({ current, retired }, { from, to }) => current === to && retired === from },
  reverting: {
    // With the old value gone from its place there is nothing to go back to.
    slots: (slots, rotation) => untouched(slots, rotation) || active(slots, rotation),
    after: barrier('uses', 'from'),
  },
  draining: { slots: untouched },
  withdrawing: {
    slots: untouched,
    before: (observed, now) => (observed.rotation.wasActive ? quiet('to')(observed, now) : undefined),
    after: barrier('forgot', 'to'),
  },
};

/** From here on the old value may be dead somewhere: there is no way back. */
export const POINT_OF_NO_RETURN: Step = 'retiring';
export const canGoBack = (step: Step): boolean => {
  const index = (STEPS as readonly string[]).indexOf(step);
  return index >= 0 && index < STEPS.indexOf(POINT_OF_NO_RETURN);
};

/** Whether pods may use the new value already, in a step from which there still is a way back. */
export const newValueInUse = (step: Step): boolean => step === 'activating' || step === 'soaking';

/**
 * The one next thing to do. Pure: the same picture gives the same answer, so that whoever takes over after a kill goes on
 * exactly there. Steps follow one another without a gap (`nextStep`); none is skipped in an emergency either, it only
 * waits for less.
 */
export function decide(observed: Observed, now: Date): Decision {
  const { rotation, slots } = observed;
  const { step } = rotation;
  if (rotation.back && canGoBack(step)) return { do: 'advance', to: 'reverting' };
  const rule = RULES[step];
  if (changedOutside(rotation, slots)) {
    return {
      do: 'end',
      outcome: 'abandoned',
      why: 'the secret was changed by somebody else meanwhile; it is left as it is now',
    };
  }
  if (!rotation.acted) return rule.before?.(observed, now) ?? { do: 'act', step };
  const late = rule.after?.(observed, now);
  if (late !== undefined) return late;
  const next = nextStep(step);
  if (next !== undefined) {
    const without = list(rule.after === undefined ? [] : overlooked(observed.pods, inStepS(rotation, now)));
    return { do: 'advance', to: next, ...(without ? { note: `not waited for: ${without}` } : {}) };
  }
  return step === 'withdrawing'
    ? { do: 'end', outcome: 'rolled_back', why: 'the value of before is in use, the new one is gone' }
    : { do: 'end', outcome: 'done', why: 'the old value was proven dead' };
}

/** Whether somebody else changed the secret: its places do not look as this rotation leaves them. */
export function changedOutside(rotation: Rotation, slots: Slots): boolean {
  // Where the effect is recorded the slots may already look as the next thing to do leaves them.
  return !RULES[rotation.step].slots(slots, rotation) && !(rotation.step === 'verifying' && rotation.acted);
}

/** More than this beyond what a step takes by itself is a rotation that is stuck. */
export const STUCK_S = 3_600;

/** How long a step takes when nothing is in its way: what the policy says of it. */
export function expectedS({ step, emergency, soakS, quietS }: Rotation): number {
  if (emergency) return 0;
  return step === 'soaking' ? soakS : step === 'retiring' || step === 'withdrawing' ? quietS : 0;
}

export const isStuck = (rotation: Rotation, now: Date): boolean =>
  inStepS(rotation, now) - expectedS(rotation) > STUCK_S;

export function nextStep(step: Step): Step | undefined {
  const order: readonly Step[] = (STEPS as readonly Step[]).includes(step) ? STEPS : BACK;
  return order[order.indexOf(step) + 1];
}
