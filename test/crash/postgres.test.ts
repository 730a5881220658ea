import assert from 'node:assert/strict';
import { mapProviderObject } from '#domain/webhooks/index.ts';
import { newId } from '#platform/ids/index.ts';
import { TYPE } from '../integration/webhooks/rig.ts';
import { freePorts, type KlarProcess, startProcess, untilAnswers } from '../support/process.ts';
import { createStack, type Replica, type Stack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { stripeEvent, stripeSignature } from '../unit/ingest/signature.ts';

const SECRET = 'whsec_crash_secret';
const SENDERS = 8;
const RESUME_MS = 2_000;

describe('PostgreSQL restarted and killed under load', () => {
  let stack: Stack;
  let ingest: Replica;
  let api: Replica;
  const workers: KlarProcess[] = [];
  const acked = new Set<string>();
  let sent = 0;
  let loading = true;
  let load: Promise<unknown> = Promise.resolve();

  /** Sends one event until it is acknowledged, as a provider does. */
  async function deliver(id: string, giveUp: () => boolean, object = 'obj_load'): Promise<void> {
    const body = stripeEvent(id, { type: TYPE, data: { object: { id: object } } });
    while (!giveUp()) {
      try {
        const response = await fetch(`${ingest.url}/api/billing/stripe/webhook`, {
          method: 'POST',
          headers: { 'Stripe-Signature': stripeSignature(body, SECRET, Math.floor(Date.now() / 1_000)) },
          body,
          signal: AbortSignal.timeout(10_000),
        });
        await response.arrayBuffer();
        if (response.status === 200) {
          acked.add(id);
          return;
        }
        assert.equal(response.status, 503, 'our own fault is a 503 and nothing else');
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  const handled = async (id: string) => {
    const [row] = await stack.database.asSuperuser<{ state: string }>(
      'select state from inbox.events where event_id = $1',
      [id],
    );
    return row?.state === 'done';
  };

  before(async () => {
    stack = await createStack({ STRIPE_WEBHOOK_SECRET: SECRET });
    ingest = await stack.start('webhook-ingest');
    api = await stack.start('api');
    for (let i = 0; i < 2; i += 1) {
      const [adminPort = 0] = await freePorts(1);
      const worker = startProcess('test/crash/counting-worker.ts', { ...stack.env, ADMIN_PORT: String(adminPort) });
      await untilAnswers(worker, `http://127.0.0.1:${adminPort}/readyz`);
      workers.push(worker);
    }
    const db = stack.database.db('klar_api');
    // The probe is another tenant's: it must not wait behind what piled up for the first.
    for (const objectId of ['obj_load', 'obj_probe']) {
      const object = { provider: 'stripe', account: '', objectId, tenantId: newId('ten') };
      await db.withTx((tx) => mapProviderObject(tx, object));
    }
    load = Promise.all(
      Array.from({ length: SENDERS }, async () => {
        while (loading) {
          sent += 1;
          await deliver(`evt_load_${sent}`, () => false);
        }
      }),
    );
  });
  after(async () => {
    loading = false;
    await Promise.all(workers.map((worker) => worker.stop()));
    await stack.close();
  });

  const crashes: [string, () => Promise<void>][] = [
    ['restarted (fast)', () => stack.postgres.stop('fast')],
    ['stopped without a checkpoint (immediate)', () => stack.postgres.stop('immediate')],
    ['killed with kill -9', () => stack.postgres.kill9()],
    ['killed with kill -9 once more', () => stack.postgres.kill9()],
  ];

  for (const [name, crash] of crashes) {
    it(`${name}: every process goes on, and work is done again within 2 s of its return`, async () => {
      const before = acked.size;
      await until(() => acked.size > before + 50, { timeoutMs: 20_000, what: 'load before the crash' });
      await crash();
      const live = await fetch(`http://127.0.0.1:${ingest.adminPort}/livez`);
      assert.equal(live.status, 200, 'a pod is not restarted because its database is away');
      await stack.postgres.start();
      const accepts = performance.now();

      const probe = `evt_probe_${newId('p')}`;
      await deliver(probe, () => performance.now() - accepts > 10_000, 'obj_probe');
      const stored = performance.now() - accepts;
      await until(() => handled(probe), { timeoutMs: 10_000, what: 'an event of after the crash is handled' });
      const took = performance.now() - accepts;
      assert.ok(took < RESUME_MS, `stored after ${Math.round(stored)} ms, handled after ${Math.round(took)} ms`);
      const ready = await until(async () => (await fetch(`${api.url}/api/ready`)).status === 200, {
        timeoutMs: RESUME_MS,
      });
      assert.ok(ready);
      for (const running of [...workers, ingest.process, api.process]) {
        assert.equal(running.child.exitCode ?? running.child.signalCode, null, `${running.name} still runs`);
      }
    });
  }

  it('and in the end every acknowledged event has taken effect exactly once', async () => {
    loading = false;
    await load;
    assert.ok(acked.size > 200, `only ${acked.size} events were sent`);
    await until(
      async () => {
        const [row] = await stack.database.asSuperuser<{ n: number }>(
          `select count(*)::int as n from inbox.events where state <> 'done'`,
        );
        return row?.n === 0;
      },
      { timeoutMs: 60_000, what: 'nothing is left over' },
    );
    const [counts] = await stack.database.asSuperuser<{ events: number; effects: number; once: number }>(
      `select
         (select count(*)::int from inbox.events where event_id = any ($1)) as events,
         (select count(*)::int from app.audit_pending where object_id = any ($1)) as effects,
         (select count(distinct object_id)::int from app.audit_pending where object_id = any ($1)) as once`,
      [[...acked]],
    );
    assert.deepEqual(counts, { events: acked.size, effects: acked.size, once: acked.size });
  });
});
