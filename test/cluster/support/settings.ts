/** What a run was given, by the environment that `run.ts` checked. */
export interface ClusterSettings {
  /** The image under test, as the cluster's nodes know it. */
  readonly image: string;
  /** The same code under another tag and commit, for upgrades; undefined where none was given. */
  readonly imageNext: string | undefined;
  /** An image that cannot start but carries a newer migration, for upgrades that must roll back. */
  readonly imageBroken: string | undefined;
  /** PostgreSQL for the demo values of the chart. */
  readonly postgresImage: string;
  /** busybox with a shell, nc and httpd, for probes from inside. */
  readonly busyboxImage: string;
  /** Where the ingress controller answers, without a path. */
  readonly ingress: string;
  /** The namespace of the ingress controller's pods. */
  readonly ingressNamespace: string;
  /** The command that makes faults Kubernetes itself cannot make. */
  readonly faults: string | undefined;
  readonly namespace: string;
  readonly release: string;
  /** Counts of the full run, or those of CI. */
  readonly full: boolean;
  readonly seed: number;
  /** Share of the load that the tests ask for. */
  readonly load: number;
}

/** @throws when a run's own variables are missing: start a file with `npm run test:cluster -- --only FILE` */
export function clusterSettings(): ClusterSettings {
  const need = (name: string): string => {
    const value = process.env[name];
    if (!value) throw new Error(`${name} is not set; see npm run test:cluster -- --help`);
    return value;
  };
  return {
    image: need('KLAR_TEST_IMAGE'),
    imageNext: process.env.KLAR_TEST_IMAGE_NEXT || undefined,
    imageBroken: process.env.KLAR_TEST_IMAGE_BROKEN || undefined,
    postgresImage: process.env.KLAR_TEST_POSTGRES_IMAGE || 'localhost/postgres:15',
    busyboxImage: process.env.KLAR_TEST_BUSYBOX_IMAGE || 'localhost/busybox:1',
    ingress: (process.env.KLAR_TEST_INGRESS || 'http://127.0.0.1:8080').replace(/\/$/, ''),
    ingressNamespace: process.env.KLAR_TEST_INGRESS_NAMESPACE || 'ingress',
    faults: process.env.KLAR_TEST_FAULTS || undefined,
    namespace: process.env.KLAR_TEST_NAMESPACE || 'klar-test',
    release: 'klar',
    full: process.env.KLAR_TEST_FULL === '1',
    seed: Number(process.env.KLAR_TEST_SEED || 1),
    load: Number(process.env.KLAR_TEST_LOAD || 1),
  };
}
