import { checkTerm } from '#domain/operations/index.ts';
import { SPEC } from '#platform/config/index.ts';
import { createStatusWriter } from '../kube/status.ts';
import type { ControllerDeps, Reconciler } from '../reconciler.ts';
import { createKinds, kindSettings } from './kinds.ts';
import { createKubeStore } from './kube-store.ts';
import { createRotationMetrics } from './metrics.ts';
import { clusterPods } from './pods-view.ts';
import { createRotations } from './rotations.ts';

const MANAGER = 'klar-rotation';

/** The rotation of a cluster: the Secret of the release, and the pods that mount it. None without `KLAR_SECRET_NAME`. */
export function createRotationReconciler(deps: ControllerDeps): Reconciler | undefined {
  const { client, namespace, settings, clock, redact } = deps;
  const secret = settings.KLAR_SECRET_NAME;
  if (secret === undefined) return undefined;
  const status = createStatusWriter({ ...deps, name: `${deps.name}-rotation-status`, fieldManager: MANAGER });
  const rotations = createRotations({
    db: deps.db,
    store: createKubeStore({
      client,
      namespace,
      secret,
      knows: (name) => (SPEC as Record<string, { secret: boolean }>)[name]?.secret === true,
    }),
    pods: clusterPods((signal) => deps.pods.observe(signal), settings.meta.secrets),
    kinds: createKinds({ ...kindSettings(settings), clock }),
    metrics: createRotationMetrics(deps.metrics),
    log: deps.log.child({ reconciler: 'rotation' }),
    fence: (tx, token) => checkTerm(tx, deps.lease, token),
    redact,
    policyFile: settings.KLAR_ROTATION_FILE,
    clock,
    timing: deps.timing,
    registry: deps.metrics,
    async onPolicy({ valid, message }, signal) {
      await status.write({
        conditions: [
          {
            type: 'PoliciesAccepted',
            status: valid ? 'True' : 'False',
            reason: valid ? 'Valid' : 'Invalid',
            message: valid
              ? message
              : `${message} The running secrets stay as they are; nothing starts on schedule that is new.`,
            observedGeneration: 0,
          },
        ],
        signal,
      });
    },
  });
  return { name: 'rotation', run: (term) => rotations.lead(term) };
}
