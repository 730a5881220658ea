import { randomBytes } from 'node:crypto';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import { kubeconfigEndpoint } from '../../../services/controller/kube/endpoint.ts';
import { type HostileProxy, startHostileProxy } from './hostile-proxy.ts';

/** What a test of the controller's core stands on; needs KUBECONFIG and no installation. */
export interface CoreNamespace {
  readonly namespace: string;
  /** Past the proxy. */
  readonly direct: KubeClient;
  readonly proxy: HostileProxy;
  /** A client that meets what the proxy does to `who`. */
  through(who: string): KubeClient;
  close(): Promise<void>;
}

/** A namespace of its own, deleted by `close`, and a proxy in front of its API server. */
export async function coreNamespace(): Promise<CoreNamespace> {
  const namespace = `klar-core-${randomBytes(3).toString('hex')}`;
  const endpoint = await kubeconfigEndpoint(process.env.KUBECONFIG ?? '', namespace);
  const direct = createKubeClient({ endpoint });
  await direct.request({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  });
  const proxy = await startHostileProxy(endpoint);
  return {
    namespace,
    direct,
    proxy,
    through: (who) =>
      createKubeClient({ endpoint: { server: proxy.url(who), namespace, credentials: async () => ({}) } }),
    async close() {
      await proxy.close();
      await direct.request({ method: 'DELETE', path: `/api/v1/namespaces/${namespace}` });
      direct.close();
    },
  };
}
