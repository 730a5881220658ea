import { SPEC } from '#platform/config/index.ts';

/** What a cluster runs of the processes that the settings know. */
const DEPLOYED = ['api', 'webhook-ingest', 'worker', 'controller', 'cli'] as const;
type Deployed = (typeof DEPLOYED)[number];

/** What the templates decide themselves: a value there could only contradict them. */
const BY_TEMPLATES: readonly string[] = [
  'KLAR_PROFILE',
  'NODE_ENV',
  'BILLING_MODE',
  'PORT',
  'INGEST_PORT',
  'ADMIN_PORT',
  'KLAR_SECRETS_DIR',
  'KLAR_WORKER_ENABLED',
  'KLAR_IMAGE_DIGEST',
  'KLAR_COMMIT',
  'KLAR_JOB_NAME',
  'KLAR_TASK_SCHEDULE',
  'KLAR_TASK_TIME_ZONE',
  'KLAR_FLAGS_FILE',
  'KLAR_CONTROLLER_NAME',
  'KLAR_POD_SELECTOR',
  'KLAR_NAMESPACE',
  'KUBECONFIG',
  'KUBERNETES_SERVICE_HOST',
  'KUBERNETES_SERVICE_PORT',
];

/** One login for every process, which a cluster has no use for: each has its own, and may hold no other. */
const NOT_IN_A_CLUSTER: readonly string[] = ['DATABASE_URL'];

export type ChartSetting = { name: string; processes: Deployed[]; row: (typeof SPEC)[keyof typeof SPEC] };

/** The settings that values of the chart may give, in the order of the spec. */
export function chartSettings(kind: 'config' | 'secrets'): ChartSetting[] {
  return Object.entries(SPEC)
    .filter(([, row]) => row.secret === (kind === 'secrets'))
    .filter(([name]) => !BY_TEMPLATES.includes(name) && !NOT_IN_A_CLUSTER.includes(name))
    .map(([name, row]) => ({
      name,
      row,
      processes: DEPLOYED.filter((process) => row.processes === undefined || row.processes.includes(process as never)),
    }))
    .filter(({ processes }) => processes.length > 0);
}

/** charts/klar/settings.generated.json: what the templates must know of the settings. */
export function renderChartSettings(): string {
  const of = (kind: 'config' | 'secrets') =>
    Object.fromEntries(
      chartSettings(kind).map(({ name, row, processes }) => [
        name,
        { processes, ...(row.requiredIn ? { required: row.requiredIn } : {}) },
      ]),
    );
  return `${JSON.stringify({ secrets: of('secrets'), config: of('config') }, null, 2)}\n`;
}
