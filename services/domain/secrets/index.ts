export { type Blackout, inBlackout } from './blackout.ts';
export { sayDuration } from './duration.ts';
export { isKind, KINDS, type Kind, kindFor, notPossible } from './kinds.ts';
export { type LivekitPair, livekitPair } from './livekit-pair.ts';
export {
  BACK,
  canGoBack,
  changedOutside,
  type Decision,
  decide,
  expectedS,
  isStuck,
  newValueInUse,
  nextStep,
  type Outcome,
  type Rotation,
  type Slots,
  STEPS,
  type Step,
} from './machine.ts';
export { behind, type HeldSecret, type PodReport, type Pods, SILENT_S } from './pods.ts';
export { describePolicyProblem, type Policy, type PolicyProblem, type PolicyResult, parsePolicies } from './policy.ts';
export { dueAt, type Scheduled, scheduled } from './schedule.ts';
export * as rotationStore from './store.ts';
export {
  type HistoryRow,
  oldRotationRequests,
  oldRotations,
  type RequestAction,
  type RotationRequest,
  type RotationRow,
  type SecretState,
} from './store.ts';
