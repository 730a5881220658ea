import { createFlagsReconciler } from './flags/index.ts';
import type { ControllerDeps, Reconciler } from './reconciler.ts';
import { createRotationReconciler } from './rotation/index.ts';

/** Everything that the controller keeps as it should be. */
export function reconcilers(deps: ControllerDeps): Reconciler[] {
  const rotation = createRotationReconciler(deps);
  return [createFlagsReconciler(deps), ...(rotation ? [rotation] : [])];
}
