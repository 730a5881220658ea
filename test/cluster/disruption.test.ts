import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import {
  allReady,
  clusterSettings,
  fault,
  type Installation,
  installation,
  isReady,
  killInside,
  kubectl,
  kubectlJson,
  needsFaults,
  type Pod,
  podsOf,
  purchaseJourney,
  readyPod,
} from './support/index.ts';
import { backAfter } from './support/outage.ts';
import { assertKept, assertNoneFailed, assertNoneRefused, underLoad } from './support/under-load.ts';

const { full, seed } = clusterSettings();
/** Pods killed of each component. */
const KILLS = full ? 8 : 1;
const RESTARTS = full ? 8 : 1;
const COMPONENTS = ['api', 'webhook-ingest', 'worker'] as const;
/** What clients wait at most for the endpoints of a dead node to go: the node's grace period and the kubelet's turn. */
const ENDPOINTS_GONE_MS = 60_000;
/** What an ingress and the nodes' own rules take to hear of an endpoint that is gone. */
const INGRESS_KNOWS_MS = 3_000;
const ingressKnows = () => new Promise((resolve) => setTimeout(resolve, INGRESS_KNOWS_MS));

/** A fixed order of choices for a seed. */
function chooser(from: number) {
  let state = from;
  return <T>(list: readonly T[]): T => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return list[state % list.length] as T;
  };
}

describe('disruptions under load', () => {
  let klar: Installation;
  const choose = chooser(seed);
  before(async () => {
    klar = await installation();
  });
  afterEach(async () => {
    for (const node of await nodes()) await kubectl(['-n', 'default', 'uncordon', node]);
    for (const component of ['postgresql', 'sandbox', ...COMPONENTS]) await allReady(component);
  });

  it('each node is drained: nothing fails, nothing is lost', async () => {
    const home = (await readyPod('postgresql')).spec.nodeName as string;
    const names = await nodes();
    const { outcome, spans } = await underLoad(names.length * 60, async (during) => {
      for (const node of names) {
        await during(`drain ${node}${node === home ? ' (PostgreSQL)' : ''}`, async () => {
          await kubectl([
            '-n',
            'default',
            'drain',
            node,
            '--ignore-daemonsets',
            '--delete-emptydir-data',
            '--timeout=180s',
            `--pod-selector=app.kubernetes.io/instance=${klar.release}`,
          ]);
          const left = (await podsOnNode(node)).filter(
            (pod) => pod.metadata.labels['app.kubernetes.io/component'] !== 'task',
          );
          assert.deepEqual(
            left.map((pod) => pod.metadata.name),
            [],
            'the node is empty',
          );
          // PostgreSQL's volume is on its node: it comes back with it.
          await kubectl(['-n', 'default', 'uncordon', node]);
          for (const component of ['postgresql', ...COMPONENTS]) await allReady(component);
        });
      }
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, [`drain ${home} (PostgreSQL)`]);
  });

  it('pods are deleted, one after the other: nothing fails, nothing is lost', async () => {
    const { outcome, spans } = await underLoad(KILLS * 45, async (during) => {
      for (let round = 1; round <= KILLS; round++) {
        for (const component of COMPONENTS) {
          const pod = choose((await podsOf(component)).filter(isReady));
          await during(`delete ${component} ${round}`, async () => {
            await kubectl(['delete', 'pod', pod.metadata.name, '--wait=true']);
            await allReady(component, 2);
          });
        }
      }
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, []);
  });

  it('processes die without a word: errors only until their endpoints are gone, nothing is lost or doubled', async () => {
    const { outcome, spans } = await underLoad(KILLS * 40, async (during) => {
      for (let round = 1; round <= KILLS; round++) {
        for (const component of COMPONENTS) {
          const pod = choose((await podsOf(component)).filter(isReady));
          const before = restarts(pod);
          await during(`kill -9 ${component} ${round}`, async () => {
            await killInside(pod);
            await until(async () => !isReady(await podNamed(pod.metadata.name)), {
              timeoutMs: 30_000,
              everyMs: 100,
              what: `${pod.metadata.name} is known to be dead`,
            });
            await ingressKnows();
          });
          await during(`${component} ${round} comes back`, () =>
            until(
              async () => {
                const now = await podNamed(pod.metadata.name);
                return restarts(now) > before && isReady(now);
              },
              { timeoutMs: 90_000, everyMs: 500, what: `${pod.metadata.name} started again` },
            ),
          );
        }
      }
    });
    assertKept(outcome);
    const died = spans.map((span) => span.name).filter((name) => name.startsWith('kill -9'));
    assertNoneFailed(outcome, spans, died);
  });

  it('PostgreSQL is restarted: nothing fails, and requests are served again within 2 s after it accepts', async () => {
    const accepted: { at: number; name: string }[] = [];
    const { outcome, spans } = await underLoad(RESTARTS * 30, async (during, traffic) => {
      for (let round = 1; round <= RESTARTS; round++) {
        const name = `PostgreSQL restarted ${round}`;
        await during(name, async () => {
          const pod = await readyPod('postgresql');
          await kubectl(['delete', 'pod', pod.metadata.name, '--wait=false']);
          await until(async () => (await readyPod('postgresql')).metadata.uid !== pod.metadata.uid, {
            timeoutMs: 120_000,
            everyMs: 200,
            what: 'the new PostgreSQL',
          });
          accepted.push({ name, at: await backAfter(traffic) });
        });
      }
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(
      outcome,
      spans,
      spans.map((span) => span.name),
    );
    for (const { name, at } of accepted) {
      for (const [who, { samples }] of Object.entries({ api: outcome.api, 'webhook-ingest': outcome.webhooks })) {
        const served = samples.filter((sample) => !sample.failed && sample.status < 400 && sample.at + sample.ms > at);
        const after = Math.min(...served.map((sample) => sample.at + sample.ms)) - at;
        process.stdout.write(`      ${name}: ${who} served again ${after.toFixed(0)} ms after it accepted\n`);
        assert.ok(after <= 2_000, `${name}: ${who} ${after} ms`);
      }
    }
  });

  it('the API server is killed and started again: nobody notices', async function () {
    needsFaults(this);
    const { outcome, spans } = await underLoad(40, async (during) => {
      await during('API server restarted', () => fault('restart', 'apiserver'));
      await during('afterwards', () => new Promise((resolve) => setTimeout(resolve, 10_000)));
    });
    assertKept(outcome);
    assertNoneFailed(outcome);
    assertNoneRefused(outcome, spans, []);
  });

  it('a node without PostgreSQL loses its power: errors only until its endpoints are gone', async function () {
    needsFaults(this);
    const home = (await readyPod('postgresql')).spec.nodeName as string;
    const victim = (await nodes()).find((node) => node !== home) as string;
    const name = `${victim} has no power`;
    const { outcome, spans } = await underLoad(150, async (during) => {
      await during(name, async () => {
        await fault('node-kill', victim);
        await until(async () => (await endpointsOn(victim)).length === 0, {
          timeoutMs: ENDPOINTS_GONE_MS,
          everyMs: 250,
          what: `no endpoint on ${victim}`,
        });
        await ingressKnows();
      });
      await during('one node serves', () => new Promise((resolve) => setTimeout(resolve, 20_000)));
      await during(`${victim} comes back`, async () => {
        await fault('node-start', victim);
        for (const component of COMPONENTS) await allReady(component, 2, 240_000);
      });
    });
    assertKept(outcome);
    assertNoneFailed(outcome, spans, [name]);
  });

  it("PostgreSQL's node loses its power: nothing is lost or doubled", async function () {
    needsFaults(this);
    const home = (await readyPod('postgresql')).spec.nodeName as string;
    const [name, back] = [`${home} has no power`, `${home} comes back`];
    let accepted = Number.NaN;
    const { outcome, spans } = await underLoad(150, async (during, traffic) => {
      await during(name, async () => {
        await fault('node-kill', home);
        await until(async () => (await endpointsOn(home)).length === 0, {
          timeoutMs: ENDPOINTS_GONE_MS,
          everyMs: 250,
          what: `no endpoint on ${home}`,
        });
        await ingressKnows();
      });
      await during(back, async () => {
        await fault('node-start', home);
        await allReady('postgresql', 1, 240_000);
        accepted = await backAfter(traffic);
        for (const component of COMPONENTS) await allReady(component, 2, 240_000);
      });
    });
    process.stdout.write(`      PostgreSQL accepted at ${(accepted / 1_000).toFixed(1)} s\n`);
    assertKept(outcome);
    assertNoneFailed(outcome, spans, [name]);
    assertNoneRefused(outcome, spans, [name, back]);
    await purchaseJourney();
  });

  /** Those that carry pods: without its control plane a cluster would answer no question of a test. */
  const nodes = async () =>
    (
      await kubectlJson<{ items: { metadata: { name: string } }[] }>([
        ...['-n', 'default', 'get', 'nodes', '-l', '!node-role.kubernetes.io/control-plane'],
      ])
    ).items.map((node) => node.metadata.name);
  const podsOnNode = async (node: string) =>
    (
      await kubectlJson<{ items: Pod[] }>([
        'get',
        'pods',
        '--field-selector',
        `spec.nodeName=${node},status.phase=Running`,
        '-l',
        `app.kubernetes.io/instance=${klar.release}`,
      ])
    ).items;
  const podNamed = (name: string) => kubectlJson<Pod>(['get', 'pod', name]);
  const restarts = (pod: Pod) => (pod.status.containerStatuses ?? []).reduce((sum, one) => sum + one.restartCount, 0);
  /** Addresses of api and webhook-ingest on a node that traffic is still sent to. */
  const endpointsOn = async (node: string) => {
    const { items } = await kubectlJson<{
      items: { endpoints: { nodeName?: string; conditions: { ready?: boolean } }[] | null }[];
    }>(['get', 'endpointslices', '-l', 'app.kubernetes.io/component in (api, webhook-ingest)']);
    return items
      .flatMap((slice) => slice.endpoints ?? [])
      .filter((one) => one.nodeName === node && one.conditions.ready);
  };
});
