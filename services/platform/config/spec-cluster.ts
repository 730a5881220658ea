import { type ProcessName, type SecretSetting, type Setting, text, url } from './setting.ts';

const CONTROLLER: readonly ProcessName[] = ['controller'];
/** `klar flags set` and `klar rotate` write what the controller reads. */
const BOTH: readonly ProcessName[] = ['controller', 'cli'];

/** Where the Kubernetes API is, and what of it is ours. */
export const CLUSTER_SPEC = {
  KLAR_CONTROLLER_NAME: text({
    group: 'Cluster',
    processes: BOTH,
    default: 'klar',
    description:
      'What the names of the ConfigMaps and of the Lease begin with, e.g. <name>-flags-source. The chart sets its full name.',
  }),
  KLAR_SECRET_NAME: text({
    group: 'Cluster',
    processes: CONTROLLER,
    description: 'The Secret whose values the controller rotates. Absent: it rotates none. The chart sets its own.',
  }),
  KLAR_ROTATION_FILE: text({
    group: 'Cluster',
    processes: ['controller', 'all-in-one'],
    example: 'rotation.yaml',
    description: 'Policies of rotation, see services/controller/rotation/README.md; the chart mounts its ConfigMap.',
  }),
  KLAR_ROTATION_API_URL: url({
    group: 'Cluster',
    processes: CONTROLLER,
    protocols: ['http', 'https'],
    description:
      'Where a rotation uses values as clients of the api do. Absent: PUBLIC_BASE_URL. The chart sets its Service.',
  }),
  KLAR_ROTATION_INGEST_URL: url({
    group: 'Cluster',
    processes: CONTROLLER,
    protocols: ['http', 'https'],
    description: 'The same for webhooks. Absent: PUBLIC_BASE_URL. The chart sets its Service.',
  }),
  KLAR_POD_SELECTOR: text({
    group: 'Cluster',
    processes: CONTROLLER,
    default: 'app.kubernetes.io/name=klar',
    description: 'Label selector of the pods whose /versionz is asked. The chart sets its own.',
  }),
  KLAR_NAMESPACE: text({
    group: 'Cluster',
    processes: BOTH,
    description: 'With KUBECONFIG only: another namespace than that of its current context.',
  }),
  KUBECONFIG: text({
    group: 'Cluster',
    processes: BOTH,
    example: '~/.kube/config',
    description: 'Outside a cluster: a kubeconfig file, of which the current context is used.',
  }),
  KUBERNETES_SERVICE_HOST: text({
    group: 'Cluster',
    processes: BOTH,
    description: 'The API server of the cluster that this process runs in; Kubernetes sets it in every pod.',
  }),
  KUBERNETES_SERVICE_PORT: text({ group: 'Cluster', processes: BOTH, default: '443', description: 'Its port.' }),
} as const satisfies Record<string, Setting<unknown> | SecretSetting>;
