import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the API server is and how we show who we are. Asked again for each connection: certificates and tokens rotate. */
export type KubeEndpoint = {
  /** `https://host:port`; `http:` only in tests and behind a local proxy. */
  server: string;
  namespace: string;
  credentials(): Promise<KubeCredentials>;
};

export type KubeCredentials = {
  ca?: string | Buffer | undefined;
  cert?: string | Buffer | undefined;
  key?: string | Buffer | undefined;
  authorization?: string | undefined;
};

/** Where the kubelet mounts a pod's service account. */
export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The service account of the pod we run in. The kubelet replaces the token about hourly, so it is read each time. */
export async function inClusterEndpoint(input: {
  host: string;
  port: string;
  dir?: string | undefined;
}): Promise<KubeEndpoint> {
  const dir = input.dir ?? SERVICE_ACCOUNT_DIR;
  const host = input.host.includes(':') ? `[${input.host}]` : input.host;
  return {
    server: `https://${host}:${input.port}`,
    namespace: (await readFile(join(dir, 'namespace'), 'utf8')).trim(),
    async credentials() {
      const [ca, token] = await Promise.all([readFile(join(dir, 'ca.crt')), readFile(join(dir, 'token'), 'utf8')]);
      return { ca, authorization: `Bearer ${token.trim()}` };
    },
  };
}

/**
 * The current context of a kubeconfig file, exec plugins included. `@kubernetes/client-node` costs 83 MiB and seconds
 * to load, of the 100 MiB a controller may have: only who is outside a cluster pays them, and the image leaves it out.
 */
export async function kubeconfigEndpoint(file: string, namespace?: string): Promise<KubeEndpoint> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new Error(`${file}: the current context names no cluster`);
  return {
    server: cluster.server,
    namespace: namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async credentials() {
      const options: Record<string, unknown> = {};
      await config.applyToHTTPSOptions(options);
      const headers = (options.headers ?? {}) as Record<string, string>;
      return { ...pick(options), authorization: headers.Authorization };
    },
  };
}

const pick = ({ ca, cert, key }: KubeCredentials): KubeCredentials => ({ ca, cert, key });
