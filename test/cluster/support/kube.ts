import { spawn } from 'node:child_process';
import { until } from '../../support/until.ts';
import { type CommandOptions, type Ended, must, run } from './command.ts';
import { clusterSettings } from './settings.ts';

const inNamespace = (args: readonly string[]) => {
  const { namespace } = clusterSettings();
  return args.includes('-n') || args.includes('-A') ? args : ['-n', namespace, ...args];
};

/** kubectl in the run's namespace (another by `-n`); its output, or an error with everything it printed. */
export const kubectl = (args: readonly string[], options?: CommandOptions): Promise<string> =>
  must('kubectl', inNamespace(args), options);

/** As `kubectl`, but the exit code is for the caller to judge. */
export const tryKubectl = (args: readonly string[], options?: CommandOptions): Promise<Ended> =>
  run('kubectl', inNamespace(args), options);

/** `kubectl ... -o json`, parsed. */
export async function kubectlJson<T = unknown>(args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl([...args, '-o', 'json'])) as T;
}

/** Applies objects given as YAML or JSON text. */
export const apply = (manifest: string, args: readonly string[] = []): Promise<string> =>
  kubectl(['apply', '-f', '-', ...args], { input: manifest });

/** helm in the run's namespace; its output, or an error with everything it printed. */
export const helm = (args: readonly string[], options?: CommandOptions): Promise<string> =>
  must('helm', inNamespace(args), { timeoutMs: 600_000, ...options });

/** As `helm`, but the exit code is for the caller to judge. */
export const tryHelm = (args: readonly string[], options?: CommandOptions): Promise<Ended> =>
  run('helm', inNamespace(args), { timeoutMs: 600_000, ...options });

/** The parts of a pod that tests look at. */
export interface Pod {
  metadata: {
    name: string;
    uid: string;
    labels: Record<string, string>;
    creationTimestamp: string;
    deletionTimestamp?: string;
  };
  spec: { nodeName?: string; containers: { name: string; image: string }[] };
  status: {
    phase: string;
    podIP?: string;
    startTime?: string;
    conditions?: { type: string; status: string; lastTransitionTime: string }[];
    containerStatuses?: { name: string; ready: boolean; restartCount: number; state: unknown }[];
  };
}

/** Pods of one component (`api`, `webhook-ingest`, `worker`, `postgresql`, `sandbox`, `task`), being deleted or not. */
export async function podsOf(component: string): Promise<Pod[]> {
  const { release } = clusterSettings();
  const { items } = await kubectlJson<{ items: Pod[] }>([
    'get',
    'pods',
    '-l',
    `app.kubernetes.io/instance=${release},app.kubernetes.io/component=${component}`,
  ]);
  return items;
}

export const isReady = (pod: Pod): boolean =>
  !pod.metadata.deletionTimestamp &&
  (pod.status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True');

/** A ready pod of a component; waits for one. */
export const readyPod = (component: string, timeoutMs = 120_000): Promise<Pod> =>
  until(async () => (await podsOf(component)).find(isReady), {
    timeoutMs,
    everyMs: 500,
    what: `a ready pod of ${component}`,
  });

/** Waits until a component has exactly `count` pods (default: as many as it has), all of them ready. */
export const allReady = (component: string, count?: number, timeoutMs = 180_000): Promise<Pod[]> =>
  until(
    async () => {
      const pods = await podsOf(component);
      return pods.length > 0 && (count === undefined || pods.length === count) && pods.every(isReady)
        ? pods
        : undefined;
    },
    { timeoutMs, everyMs: 500, what: `all pods of ${component} ready` },
  );

/** Runs a command inside a pod. */
export const podExec = (
  pod: string,
  command: readonly string[],
  options: CommandOptions & { container?: string; namespace?: string } = {},
): Promise<Ended> =>
  tryKubectl(
    [
      ...(options.namespace ? ['-n', options.namespace] : []),
      'exec',
      ...(options.input === undefined ? [] : ['-i']),
      pod,
      ...(options.container ? ['-c', options.container] : []),
      '--',
      ...command,
    ],
    options,
  );

/** A local port that leads to a pod's or a service's port (`pod/x`, `service/y`) until `close`. */
export async function portForward(target: string, port: number): Promise<{ port: number; close(): void }> {
  const child = spawn('kubectl', inNamespace(['port-forward', target, `:${port}`]) as string[], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
  }
  const local = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`port-forward to ${target} ended: ${output}`);
      return /Forwarding from 127\.0\.0\.1:(\d+)/.exec(output)?.[1];
    },
    { timeoutMs: 20_000, what: `port-forward to ${target}: ${output}` },
  );
  return { port: Number(local), close: () => child.kill() };
}

/** Starts a Job as the CronJob would, by hand. */
export const createJobFrom = (cronJob: string, name: string): Promise<string> =>
  kubectl(['create', 'job', name, `--from=cronjob/${cronJob}`]);

/** Waits for a Job's end. */
export const jobEnd = (name: string, timeoutMs = 180_000): Promise<'complete' | 'failed'> =>
  until(
    async () => {
      const job = await kubectlJson<{ status: { conditions?: { type: string; status: string }[] } }>([
        'get',
        'job',
        name,
      ]);
      const holds = (type: string) => job.status.conditions?.some((c) => c.type === type && c.status === 'True');
      return holds('Complete') ? ('complete' as const) : holds('Failed') ? ('failed' as const) : undefined;
    },
    { timeoutMs, everyMs: 500, what: `the end of job ${name}` },
  );

/** What a pod's admin port answers, asked inside the pod: nobody else may reach it. */
export async function podAdmin(pod: string, path: '/livez' | '/readyz' | '/versionz' | '/metrics'): Promise<string> {
  const script = `fetch('http://127.0.0.1:9090${path}').then(async (r) => process.stdout.write(await r.text()))`;
  const ended = await podExec(pod, ['node', '-e', script]);
  if (ended.code !== 0) throw new Error(`${pod}${path}: ${ended.stderr}`);
  return ended.stdout;
}

/** Which commit a pod runs, as it says itself. */
export const podVersion = async (pod: string): Promise<{ commit: string | null }> =>
  JSON.parse(await podAdmin(pod, '/versionz')) as { commit: string | null };
