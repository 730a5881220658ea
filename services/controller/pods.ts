import type { KubeClient } from './kube/client.ts';
import type { KubeList, KubeObject } from './kube/objects.ts';

/** One pod of ours, and what it says of itself. */
export type PodAnswer = {
  pod: string;
  /** `api`, `webhook-ingest`, `worker`. */
  component: string;
  /** Takes requests, and is not on its way out. */
  ready: boolean;
  /** The JSON of its `/versionz`; absent with a `problem`. */
  versionz?: unknown;
  problem?: string;
};

export type PodReader = {
  /** Every pod that is not gone, those that start and end too. @throws when the API server does not say who there is */
  observe(signal: AbortSignal): Promise<PodAnswer[]>;
};

type ContainerStatus = { state?: { running?: unknown; waiting?: { reason?: string } } };
type Pod = KubeObject & {
  metadata: { deletionTimestamp?: string };
  status?: {
    phase?: string;
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: ContainerStatus[];
  };
};

const COMPONENT = 'app.kubernetes.io/component';
const ADMIN_PORT = 9090;
/** An event loop that is busy answers late; a pod whose node is gone never does. */
const ANSWER_MS = 3_000;
/** Of all pods together: hundreds of sockets at once would be a storm of our own making. */
const AT_ONCE = 16;

/** Asks pods directly, as only they know what they have loaded. */
export function createPodReader(input: {
  client: KubeClient;
  namespace: string;
  /** Label selector of the pods of this release. */
  selector: string;
  /** For tests: where a pod's admin port is. */
  adminUrl?: (pod: { name: string; ip: string }) => string;
}): PodReader {
  const { client, namespace, selector } = input;
  const urlOf = input.adminUrl ?? (({ ip }) => `http://${ip.includes(':') ? `[${ip}]` : ip}:${ADMIN_PORT}`);

  async function list(signal: AbortSignal): Promise<Pod[]> {
    const labelSelector = `${selector},${COMPONENT} in (api,webhook-ingest,worker)`;
    const pods: Pod[] = [];
    let page: KubeList<Pod> | undefined;
    do {
      page = await client.request<KubeList<Pod>>({
        method: 'GET',
        path: `/api/v1/namespaces/${namespace}/pods`,
        query: { labelSelector, limit: 500, continue: page?.metadata.continue },
        signal,
      });
      pods.push(...page.items);
    } while (page.metadata.continue);
    // Of these every container has ended for good.
    return pods.filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
  }

  async function ask({ metadata, status }: Pod, signal: AbortSignal): Promise<PodAnswer> {
    const leaving = metadata.deletionTimestamp !== undefined;
    const takes = status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
    const base = {
      pod: metadata.name,
      component: metadata.labels?.[COMPONENT] ?? '',
      ready: takes && !leaving,
    };
    const nobody = silence(status);
    if (nobody !== undefined) return { ...base, problem: nobody };
    const as = (problem: string) => ({ ...base, problem: leaving ? `terminating, ${problem}` : problem });
    try {
      const response = await fetch(`${urlOf({ name: metadata.name, ip: status?.podIP ?? '' })}/versionz`, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
        // A pod that is replaced must not leave a connection that is found dead at the next question.
        headers: { connection: 'close' },
      });
      if (response.status !== 200) return as(`answered ${response.status}`);
      return { ...base, versionz: await response.json() };
    } catch (error) {
      signal.throwIfAborted();
      const { name, cause } = error as Error & { cause?: { code?: string } };
      return as(cause?.code ?? name);
    }
  }

  return {
    async observe(signal) {
      const waiting = await list(signal);
      const answers: PodAnswer[] = [];
      const turn = async () => {
        for (let pod = waiting.pop(); pod; pod = waiting.pop()) answers.push(await ask(pod, signal));
      };
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, turn));
      return answers.sort((a, b) => (a.pod < b.pod ? -1 : 1));
    },
  };
}

/** Why nobody is there to be asked: no process runs in the pod, or it has no address. */
function silence({ phase, podIP, containerStatuses = [] }: NonNullable<Pod['status']> = {}): string | undefined {
  const states = containerStatuses.map(({ state }) => state);
  const waiting = states.find((state) => state?.waiting)?.waiting?.reason;
  if (states.length > 0 && !states.some((state) => state?.running)) return waiting ?? 'no container runs';
  return podIP === undefined ? (waiting ?? phase ?? 'no address') : undefined;
}
