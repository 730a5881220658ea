import { until } from '../../support/until.ts';
import type { Ended } from './command.ts';
import { apply, kubectl, kubectlJson, type Pod, podExec, tryKubectl } from './kube.ts';
import { clusterSettings } from './settings.ts';

/** The parts of a pod's template that a test changes. */
export interface TaskPod {
  restartPolicy: string;
  containers: {
    args: string[];
    env: { name: string; value?: string; valueFrom?: unknown }[];
    volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
    resources: { limits?: Record<string, string> };
  }[];
  volumes: { name: string; [kind: string]: unknown }[];
}

interface Job {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  spec: { backoffLimit: number; template: { spec: TaskPod } };
}

const LABEL = 'klar.dev/test=backup';

/** A Job as the CronJob makes it, by hand (of no tick), tried once; `change` may alter its pod. */
export async function taskJob(cronJob: string, name: string, change: (pod: TaskPod) => void = () => {}): Promise<void> {
  const job = await kubectlJson<Job>(['create', 'job', name, `--from=cronjob/${cronJob}`, '--dry-run=client']);
  job.metadata.labels = { ...job.metadata.labels, [LABEL.split('=')[0] ?? '']: 'backup' };
  job.spec.backoffLimit = 0;
  change(job.spec.template.spec);
  await apply(JSON.stringify(job));
}

/** The pod of a Job, as soon as its container has begun. */
export const startedPod = (job: string): Promise<Pod> =>
  until(
    async () => {
      const { items } = await kubectlJson<{ items: Pod[] }>([
        'get',
        'pods',
        '-l',
        `batch.kubernetes.io/job-name=${job}`,
      ]);
      return items.find(({ status }) => status.phase !== 'Pending');
    },
    { timeoutMs: 90_000, everyMs: 200, what: `the pod of ${job}` },
  );

/** A pod with the task's secrets and volumes (the store writable), in which `klar` is called by hand. */
export async function workbench(cronJob: string, name: string, change: (pod: TaskPod) => void = () => {}) {
  await taskJob(cronJob, name, (pod) => {
    for (const container of pod.containers) {
      container.args = ['-e', 'process.on("SIGTERM", () => process.exit()); setInterval(() => {}, 1e9)'];
      container.env = container.env.filter((each) => each.name !== 'KLAR_JOB_NAME');
      for (const mount of container.volumeMounts) if (mount.name === 'backups') delete mount.readOnly;
    }
    change(pod);
  });
  const pod = (await startedPod(name)).metadata.name;
  const exec = (words: string[], input?: string): Promise<Ended> =>
    podExec(pod, words, input === undefined ? {} : { input });
  return {
    pod,
    exec,
    /** `klar <words>` in the pod. */
    klar: (...words: string[]) => exec(['klar', ...words]),
    /** A script, stopping at its first error. */
    sh: async (script: string): Promise<string> => {
      const { code, stdout, stderr } = await exec(['sh', '-euc', script]);
      if (code !== 0) throw new Error(`sh in ${pod}: exit ${code}\n${stderr}`);
      return stdout.trim();
    },
    /** A module of JavaScript, beside Klar's code. */
    node: async (script: string): Promise<string> => {
      const { code, stdout, stderr } = await exec(['node', '--input-type=module', '-'], script);
      if (code !== 0) throw new Error(`node in ${pod}: exit ${code}\n${stderr}`);
      return stdout.trim();
    },
  };
}

export type Workbench = Awaited<ReturnType<typeof workbench>>;

/** What a finished Job printed. */
export const jobLog = (job: string): Promise<string> => kubectl(['logs', `job/${job}`]);

/** With which code a finished Job's container ended. */
export async function exitCode(job: string): Promise<number | undefined> {
  const { items } = await kubectlJson<{
    items: { status: { containerStatuses?: { state: { terminated?: { exitCode: number } } }[] } }[];
  }>(['get', 'pods', '-l', `batch.kubernetes.io/job-name=${job}`]);
  return items[0]?.status.containerStatuses?.[0]?.state.terminated?.exitCode;
}

/** As by a power cut: no SIGTERM, no time to say anything. */
export const killPod = (pod: string): Promise<Ended> =>
  tryKubectl(['delete', 'pod', pod, '--force', '--grace-period=0', '--wait=true']);

/** Removes what the file made. */
export const removeTaskJobs = (): Promise<Ended> =>
  tryKubectl(['delete', 'jobs,networkpolicies,services,pods', '-l', LABEL, '--wait=true', '--timeout=90s']);

export const cronJobName = (task: string): string => `${clusterSettings().release}-${task}`;
