import { deepEqual, equal } from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createKubeClient, type KubeClient } from '../../../services/controller/kube/client.ts';
import { createPodReader } from '../../../services/controller/pods.ts';
import { clusterPods } from '../../../services/controller/rotation/pods-view.ts';
import { type FakeKube, startFakeKube } from './fake-kube.ts';

const PODS = '/api/v1/namespaces/klar/pods';
const { signal } = new AbortController();

describe('who is asked what it has loaded', () => {
  let fake: FakeKube;
  let client: KubeClient;
  let admin: Server;
  let adminUrl: string;
  before(async () => {
    fake = await startFakeKube();
    client = createKubeClient({ endpoint: { server: fake.url, namespace: 'klar', credentials: async () => ({}) } });
    admin = createServer((_request, response) => {
      response.end(JSON.stringify({ accepted: { ADMIN_TOKEN: [{ generation: 'old', idleS: 0 }] } }));
    });
    await new Promise<void>((resolve) => admin.listen(0, '127.0.0.1', resolve));
    adminUrl = `http://127.0.0.1:${(admin.address() as AddressInfo).port}`;
  });
  after(async () => {
    client.close();
    admin.close();
    await fake.close();
  });

  const ready = [{ type: 'Ready', status: 'True' }];
  const put = (name: string, status: object, deletionTimestamp?: string) =>
    fake.put(`${PODS}/${name}`, {
      metadata: { name, labels: { app: 'klar', 'app.kubernetes.io/component': 'api' }, deletionTimestamp },
      status,
    });

  it('is every pod that is not gone: one that ends still serves, one that starts may have the old value', async () => {
    const running = { phase: 'Running', podIP: '10.0.0.1', containerStatuses: [{ state: { running: {} } }] };
    put('serves', { ...running, conditions: ready });
    put('ends', { ...running, conditions: ready }, '2026-01-01T00:00:00Z');
    put('starts', running);
    put('is-made', { phase: 'Pending' });
    const waiting = [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }];
    put('crashes', { phase: 'Running', podIP: '10.0.0.2', containerStatuses: waiting });
    put('is-done', { phase: 'Succeeded' });
    put('was-evicted', { phase: 'Failed' });
    const reader = createPodReader({ client, namespace: 'klar', selector: 'app=klar', adminUrl: () => adminUrl });
    const seen = await reader.observe(signal);
    deepEqual(
      seen.map(({ pod, ready, versionz, problem }) => [pod, ready, problem ?? (versionz !== undefined && 'answers')]),
      [
        ['crashes', false, 'CrashLoopBackOff'],
        ['ends', false, 'answers'],
        ['is-made', false, 'Pending'],
        ['serves', true, 'answers'],
        ['starts', false, 'answers'],
      ],
    );
  });

  it('is known by how long it has been silent, counted anew after each answer', async () => {
    let now = 0;
    let answers = false;
    const view = clusterPods(
      async () => [
        { pod: 'a', component: 'api', ready: false, ...(answers ? { versionz: {} } : { problem: 'silent' }) },
      ],
      [],
      () => now,
    );
    const silentS = async (at: number) => {
      now = at * 1_000;
      const pods = await view.look('ADMIN_TOKEN', signal);
      return pods.known ? pods.reports[0]?.silentS : undefined;
    };
    equal(await silentS(10), 0);
    equal(await silentS(200), 190);
    answers = true;
    equal(await silentS(300), 0);
    answers = false;
    equal(await silentS(400), 0);
    equal(await silentS(460), 60);
  });
});
