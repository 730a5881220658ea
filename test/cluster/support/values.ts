import { clusterSettings } from './settings.ts';

/** Values of a chart, as JSON. */
export type Values = { [key: string]: unknown };

/** Names by which the ingress tells the installation from others. */
export const HOSTS = { api: 'klar.test', sandbox: 'sandbox.klar.test' } as const;

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
    '10000000',
  ]),
);

/** The demo, with two replicas of what serves, and requests that leave room on a machine of two cores. */
export function testValues(): Values {
  const { image, postgresImage } = clusterSettings();
  const small = { requests: { cpu: '50m', memory: '128Mi' } };
  return {
    mode: 'demo',
    image: imageValues(image),
    config: noRateLimits,
    api: { replicas: 2, resources: small },
    webhookIngest: { replicas: 2, resources: small },
    worker: { replicas: 2, resources: small },
    postgresql: { enabled: true, image: postgresImage },
    sandbox: { enabled: true },
    ingress: { enabled: true, host: HOSTS.api, sandboxHost: HOSTS.sandbox },
  };
}
