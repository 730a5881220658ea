import assert from 'node:assert/strict';
import { until } from '../support/until.ts';
import { clusterSettings, type Installation, installation, isReady, kubectlJson, podsOf } from './support/index.ts';
import { assertKept, assertNoneFailed, assertNoneRefused, underLoad } from './support/under-load.ts';

const { full } = clusterSettings();
const TURNS = full ? 3 : 1;

describe('autoscaling of webhook-ingest', () => {
  let klar: Installation;
  before(async () => {
    klar = await installation();
    await klar.upgrade({
      webhookIngest: {
        autoscaling: {
          enabled: true,
          minReplicas: 2,
          maxReplicas: 4,
          targetCPUUtilizationPercentage: 60,
          scaleDownSeconds: 15,
        },
        // So small that the load of a test is much for it.
        resources: { requests: { cpu: '40m', memory: '128Mi' } },
      },
    });
  });
  after(() => klar.upgrade());

  const serving = async () => (await podsOf('webhook-ingest')).filter(isReady).length;
  const said = async () => {
    const hpa = await kubectlJson<{ status: unknown }>(['get', 'hpa', `${klar.release}-webhook-ingest`]);
    return JSON.stringify(hpa.status);
  };

  it('goes up under load and down after it, without a failed request', async () => {
    await until(async () => /"status":"True","type":"ScalingActive"/.test(await said()), {
      timeoutMs: 120_000,
      everyMs: 2_000,
      what: 'numbers for the HPA',
    });
    for (let turn = 1; turn <= TURNS; turn++) {
      const { outcome, spans } = await underLoad(
        240,
        async (during, traffic) => {
          await during('up', () =>
            until(async () => ((await serving()) > 2 ? true : Promise.reject(new Error(await said()))), {
              timeoutMs: 180_000,
              everyMs: 1_000,
              what: 'more than 2 replicas',
            }),
          );
          traffic.webhooks.pace(5);
          await during('down', () =>
            until(
              async () =>
                (await podsOf('webhook-ingest')).length === 2 ? true : Promise.reject(new Error(await said())),
              {
                timeoutMs: 300_000,
                everyMs: 1_000,
                what: '2 replicas again',
              },
            ),
          );
        },
        // The api rests: its work would be the machine's limit, not ingest's.
        { requestsPerSecond: 20, webhooksPerSecond: 150 },
      );
      assertKept(outcome);
      assertNoneFailed(outcome);
      assertNoneRefused(outcome, spans, []);
      assert.ok(outcome.events > 500);
    }
  });
});
