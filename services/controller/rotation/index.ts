import { checkTerm } from '#domain/operations/index.ts';
import { SPEC } from '#platform/config/index.ts';
import { createStatusWriter } from '../kube/status.ts';
import type { ControllerDeps, Reconciler } from '../reconciler.ts';
import { createKinds, kindSettings } from './kinds.ts';
import { createKubeStore } from './kube-store.ts';
import { createRotationMetrics } from './metrics.ts';
import { clusterPods } from './pods-view.ts';
import { createRotations } from './rotations.ts';
import { conditionsOf } from './status.ts';

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
    onStatus: async (told, signal) => {
      await status.write({ conditions: conditionsOf(told), whole: true, signal });
    },
    notice: ({ secret: _, ...event }) =>
      deps.events.record({ regarding: { apiVersion: 'v1', kind: 'Secret', name: secret, namespace }, ...event }),
  });
  return { name: 'rotation', run: (term) => rotations.lead(term) };
}
