import assert from 'node:assert/strict';
import type { Sandbox } from '../../services/sandbox/main.ts';
import { startSandbox } from '../../services/sandbox/main.ts';
import { startTraffic } from '../cluster/support/traffic.ts';
import { freePorts } from '../support/process.ts';
import { createStack, type Replica, type Stack } from '../support/stack.ts';

const SECRET = 'whsec_traffic_secret';

/** The judge of the tests on a cluster is judged here, where a loss and a doubling can be made at will. */
describe('the load of the cluster tests', () => {
  let stack: Stack;
  let sandbox: Sandbox;
  let api: Replica;
  let ingest: Replica;
  before(async () => {
    const [sandboxPort = 0] = await freePorts(1);
    stack = await createStack({
      STRIPE_WEBHOOK_SECRET: SECRET,
      STRIPE_API_BASE: `http://127.0.0.1:${sandboxPort}`,
      SMTP_URL: 'smtp://127.0.0.1:9',
    });
    sandbox = await startSandbox({
      profile: 'test',
      port: sandboxPort,
      smtpPort: 0,
      webhookUrl: 'http://127.0.0.1:9/',
      webhookSecret: () => SECRET,
      stripeSecretKey: 'sk_test_stack',
      clock: { now: () => new Date() },
      log: { info() {}, warn() {}, error() {} },
    });
    [api, ingest] = await Promise.all([stack.start('api'), stack.start('webhook-ingest'), stack.start('worker')]);
  });
  after(async () => {
    await sandbox?.stop();
    await stack?.close();
  });

  const begin = (sabotage?: (query: string) => Promise<void>) =>
    startTraffic({
      target: { port: api.port },
      ingest: { port: ingest.port },
      sandbox: { port: sandbox.port },
      webhookSecret: SECRET,
      sql: async <T>(query: string) => {
        await sabotage?.(query);
        return (await stack.database.asSuperuser<Record<string, unknown>>(query)) as T[];
      },
      seconds: 10,
      requestsPerSecond: 100,
      webhooksPerSecond: 50,
    });
  const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1_000));

  it('ends with acked = stored = one effect when nothing happens, and repeats what a dead process did not answer', async () => {
    const traffic = await begin();
    await seconds(2);
    assert.equal(await api.process.kill(), 'SIGKILL');
    api = await stack.start('api', { port: api.port, adminPort: api.adminPort });
    await seconds(2);
    const outcome = await traffic.stop();
    assert.ok(outcome.api.errors.length > 0, 'the kill was noticed');
    assert.deepEqual(outcome.webhooks.errors, []);
    assert.deepEqual([outcome.lost, outcome.doubled], [[], []]);
    assert.ok(outcome.orders > 20 && outcome.events > 150 && outcome.paid > 1, JSON.stringify(outcome.orders));
    assert.equal(outcome.api.abandoned + outcome.webhooks.abandoned, 0);
  });

  it('sees a lost order, a lost event, a row too many and an effect too many', async () => {
    let done = false;
    const traffic = await begin(async (query) => {
      // After the worker is through and before the comparison.
      if (done || !query.includes('e.event_id as id')) return;
      done = true;
      const admin = (sql: string) => stack.database.asSuperuser(sql);
      await admin(`delete from inbox.events where event_id = (select event_id from inbox.events
        where event_id like 'evt\\_%\\_7' order by received_at desc limit 1)`);
      await admin(`insert into inbox.events (id, provider, event_id, type, raw, received_at, verdict, state)
        select 'extra', provider, event_id || '0000', type, raw, received_at, verdict, 'ignored' from inbox.events
        where event_id like 'evt\\_%\\_8' order by received_at desc limit 1`);
      await admin(`delete from app.notification_deliveries where id = (select id from app.notification_deliveries
        where template = 'orders.receipt' order by id desc limit 1)`);
      const columns = 'action, actor_kind, actor_id, object_type, object_id, details';
      await admin(`insert into app.audit_pending (tenant_id, id, ${columns}) select tenant_id, 'aud_extra', ${columns}
        from app.audit_pending where action = 'orders.pay' order by seq desc limit 1`);
    });
    await seconds(3);
    const outcome = await traffic.stop();
    assert.ok(done, 'the sabotage ran');
    assert.match(outcome.lost.join('\n'), /^event evt_\w+_7$/m);
    assert.match(outcome.lost.join('\n'), /"receipts":0/);
    assert.match(outcome.doubled.join('\n'), /^event evt_\w+_80000$/m);
    assert.match(outcome.doubled.join('\n'), /"audits":2/);
  });
});
