import { clusterSettings } from './settings.ts';

/** Values of a chart, as JSON. */
export type Values = { [key: string]: unknown };

const space = process.env.KLAR_TEST_NAMESPACE || 'klar-test';

/** Names by which the ingress tells this installation from others, of other runs in the same cluster too. */
export const HOSTS = { api: `${space}.test`, sandbox: `sandbox.${space}.test` } as const;

/** `localhost/klar:x` -> what the chart calls `image`. */
export function imageValues(reference: string): Values {
  const [name = '', digest] = reference.split('@');
  const colon = name.lastIndexOf(':');
  const tagged = colon > name.lastIndexOf('/');
  return {
    repository: tagged ? name.slice(0, colon) : name,
    ...(tagged ? { tag: name.slice(colon + 1) } : {}),
    ...(digest ? { digest } : {}),
    pullPolicy: 'IfNotPresent',
  };
}

/** The tests send from one address what a day's visitors would send from thousands. */
const noRateLimits = Object.fromEntries(
  ['AUTH', 'READ', 'WRITE', 'BILLING', 'MEDIA', 'OPS', 'BAD_CREDENTIALS'].map((name) => [
    `RATE_LIMIT_${name}`,
    10_000_000,
  ]),
);

/** The demo, with two replicas of what serves, and requests that leave room on a machine of two cores. */
export function testValues(): Values {
  const { image, postgresImage, ingressNamespace } = clusterSettings();
  return {
    mode: 'demo',
    image: imageValues(image),
    config: noRateLimits,
    api: { replicas: 2 },
    webhookIngest: { replicas: 2 },
    worker: { replicas: 2 },
    postgresql: { enabled: true, image: postgresImage, resources: { requests: { cpu: '500m' } } },
    // The provider must not forget its sessions when its pod moves or gets another image.
    sandbox: { enabled: true, host: HOSTS.sandbox, storage: '256Mi' },
    ingress: { enabled: true, hosts: [HOSTS.api] },
    networkPolicies: {
      ingressController: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ingressNamespace } } }],
    },
  };
}
