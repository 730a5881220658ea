/**
 * The controller as it is deployed, and one reconciler more: it keeps `out-x` as `x` is, for each ConfigMap with the label
 * bench=in. KUBE is the API server and how to show who we are, as JSON: loading a kubeconfig costs 83 MiB, which no pod pays.
 */
import { loadSettings } from '#platform/config/index.ts';
import { runMain } from '#platform/lifecycle/index.ts';
import { applyObject } from '../../services/controller/kube/apply.ts';
import { createController } from '../../services/controller/kube/controller.ts';
import { createReflector } from '../../services/controller/kube/reflector.ts';
import type { ConfigMap } from '../../services/controller/kube/status.ts';
import { startController } from '../../services/controller/main.ts';
import type { ControllerDeps, Reconciler } from '../../services/controller/reconciler.ts';
import { reconcilers } from '../../services/controller/reconcilers.ts';

const { KUBE = '{}' } = process.env;
const { server, namespace, ...credentials } = JSON.parse(KUBE) as { server: string; namespace: string };

/** Above what the bench asks for: what is measured is the way, not the limit of 20 a second. */
const LIMITS = { burst: 500, perSecond: 500 };

function echo({ client, clock, timing, log, metrics }: ControllerDeps): Reconciler {
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  return {
    name: 'echo',
    async run(term) {
      const seen = createReflector<ConfigMap>({
        client,
        path,
        query: { labelSelector: 'bench=in' },
        timing,
        log,
        onChange: (name) => controller.add(name),
      });
      const controller = createController({
        name: 'echo',
        clock,
        timing,
        log,
        metrics,
        concurrency: 4,
        limits: LIMITS,
        async reconcile(name, signal) {
          const data = seen.get(name)?.data;
          if (!data) return undefined;
          term.check();
          const metadata = { name: `out-${name}`, labels: { bench: 'out' } };
          await applyObject<ConfigMap>(client, {
            path: `${path}/out-${name}`,
            object: { apiVersion: 'v1', kind: 'ConfigMap', metadata, data },
            fieldManager: 'bench',
            signal,
          });
          return undefined;
        },
      });
      seen.start();
      try {
        await controller.run(term.signal);
      } finally {
        await seen.stop();
      }
    },
  };
}

await runMain(() =>
  startController({
    settings: loadSettings('controller'),
    endpoint: { server, namespace, credentials: async () => credentials },
    reconcilers: (deps) => [...reconcilers(deps), echo(deps)],
  }),
);
