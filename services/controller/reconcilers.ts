import { createFlagsReconciler } from './flags/index.ts';
import type { ControllerDeps, Reconciler } from './reconciler.ts';

/** Everything that the controller keeps as it should be. */
export const reconcilers = (deps: ControllerDeps): Reconciler[] => [createFlagsReconciler(deps)];
