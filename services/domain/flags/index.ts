export { readableDocument, type Turn, turnFlag } from './edit.ts';
export { compileLive, LIVE_FILE, type LiveFlags, parseLive, type Reading, renderLive } from './envelope.ts';
export { type FlagStoreOptions, watchFlags } from './flag-file.ts';
export {
  type CompiledFlag,
  canonicalDocument,
  compileFlags,
  describeProblems,
  type FlagSet,
  type FlagSetResult,
  type FlagValue,
  type Resolution,
} from './flag-set.ts';
export type { FlagEvent, FlagSource, FlagState, FlagStore } from './flag-store.ts';
export { type CodeFlag, FLAGS, type FlagKey, type SwitchKey } from './flags.ts';
export { compareWithCode, type Expiry, expiredProblems, expiries, shrinkProblem } from './lint.ts';
export {
  flagsVersion,
  type LiveFlagStore,
  type LiveFlagsInput,
  openFlags,
  type ProcessFlags,
  startFlags,
} from './live.ts';
export { describeProblem, type FlagProblem } from './problem.ts';
export { createFlags, type Flags } from './provider.ts';
export { insertFlagSet, liveFlags, oldFlagSets, type StoredFlags, storedHead } from './store.ts';
export { MAX_BYTES } from './syntax.ts';
export type { FlagContext } from './targeting.ts';
