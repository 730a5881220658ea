import assert from 'node:assert/strict';
import { byName } from './support/by-name.ts';
import {
  clientOf,
  clusterSettings,
  HOSTS,
  helm,
  type Installation,
  ingressTarget,
  installation,
  kubectlJson,
  type Pod,
  podsOf,
  purchaseJourney,
  tryKubectl,
} from './support/index.ts';

describe('installation', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
  });

  it('stands in a namespace that enforces restricted pods, without one pod that is not', async () => {
    const space = await kubectlJson<{ metadata: { labels: Record<string, string> } }>([
      ...['-n', 'default', 'get', 'namespace', klar.namespace],
    ]);
    assert.equal(space.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
    // A pod that is not hardened is refused there: without this the label would prove nothing.
    const refused = await tryKubectl([
      ...['run', 'naked', `--image=${clusterSettings().busyboxImage}`, '--restart=Never', '--', 'true'],
    ]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /violates PodSecurity "restricted/);
    for (const component of ['api', 'webhook-ingest']) assert.equal((await podsOf(component)).length, 2, component);
    const { items } = await kubectlJson<{ items: Pod[] }>(['get', 'pods']);
    const again = items.flatMap((pod) =>
      (pod.status.containerStatuses ?? [])
        .filter((container) => container.restartCount > 0)
        .map((container) => `${pod.metadata.name}/${container.name}: ${container.restartCount}`),
    );
    assert.deepEqual(again, [], 'no container had to be started twice');
  });

  it('spreads the replicas of what serves over the nodes', async () => {
    for (const component of ['api', 'webhook-ingest']) {
      const nodes = (await podsOf(component)).map((pod) => pod.spec.nodeName);
      assert.equal(new Set(nodes).size, 2, `${component} on ${nodes}`);
    }
  });

  it('passes helm test', async () => {
    const printed = await helm(['test', klar.release, '--timeout', '3m', '--logs']);
    assert.match(printed, /Phase:\s+Succeeded/);
    assert.doesNotMatch(printed, /Phase:\s+Failed/);
  });

  it('sells a course through the ingress, by hosts and paths', async () => {
    await purchaseJourney();
  });

  it('sends the webhook paths to webhook-ingest and everything else to the api', async () => {
    const outside = clientOf(ingressTarget(HOSTS.api));
    const webhook = await outside.call<{ code: string }>('POST', '/api/billing/stripe/webhook', {
      body: { id: 'evt_forged' },
      headers: { 'stripe-signature': 't=1,v1=00' },
    });
    assert.equal(webhook.status, 400, JSON.stringify(webhook.body));
    assert.equal((await outside.call('GET', '/api/ready')).status, 200);
    for (const path of ['/metrics', '/livez', '/readyz', '/versionz'])
      assert.equal((await outside.call('GET', path)).status, 404, `${path} is the admin port's alone`);
    const stranger = await byName('other.test')(`${clusterSettings().ingress}/api/ready`, {});
    assert.equal(stranger.status, 404, 'another host name is none of ours');
  });
});
