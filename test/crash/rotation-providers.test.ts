import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { loadSettings } from '#platform/config/index.ts';
import { tryLogin } from '#platform/db/index.ts';
import { createLogger, silentLogger } from '#platform/log/index.ts';
import { startSandbox } from '../../services/sandbox/main.ts';
import { startIngest } from '../../services/webhook-ingest/main.ts';
import { ensureTestRoles, openTestDatabase, prepareDatabase } from '../support/database.ts';
import { startOwnPostgres } from '../support/postgres-server.ts';
import { freePorts } from '../support/process.ts';
import { killEverywhere } from '../support/rotation/kill.ts';
import { openStage, type Stage, startClient } from '../support/rotation/stage.ts';
import { until } from '../support/until.ts';

const KEY = 'sk_test_rotation';

describe('a reconciler killed with kill -9 at every step, beyond our own pods', function () {
  this.timeout(600_000);
  const closing: (() => Promise<unknown>)[] = [];
  let stage: Stage;
  after(async () => {
    await stage?.close();
    for (const close of closing.reverse()) await close();
  });

  it('rotates DATABASE_URL_API: no request fails, and the old login is dead', async () => {
    // Its own server: logins belong to all databases of one.
    const server = await startOwnPostgres({ durable: false });
    closing.push(() => server.close());
    await prepareDatabase(server.superuserUrl);
    // Gives the functions of the migration to the role that may run them.
    await ensureTestRoles(server.superuserUrl);
    const database = openTestDatabase(server.superuserUrl);
    stage = await openStage({
      database,
      secrets: ['DATABASE_URL_API'],
      values: () => ({ DATABASE_URL_API: database.url('klar_api') }),
    });
    const old = await stage.current('DATABASE_URL_API');
    const clients = stage.apis.map((api) =>
      startClient(async () => {
        const { status, body } = await api.anybody.call('POST', '/api/tenants/nowhere/join', { body: {} });
        const ready = await api.anybody.call('GET', '/api/ready');
        return status < 500 && ready.status === 200 ? undefined : `${status} ${JSON.stringify(body)} ${ready.status}`;
      }),
    );
    assert.deepEqual(await tryLogin(old), { as: 'in' });
    await killEverywhere(stage, 'DATABASE_URL_API');
    for (const client of clients) {
      const { asked, refused } = await client.stop();
      assert.deepEqual(refused, []);
      assert.ok(asked > 100);
    }
    assert.deepEqual(await tryLogin(old), { as: 'refused' });
    const now = await stage.current('DATABASE_URL_API');
    assert.equal(new URL(now).username, 'klar_api_b');
    // And back to the first login, without kills.
    const heir = stage.reconciler();
    await stage.ask('DATABASE_URL_API');
    await until(
      async () =>
        (await stage.latest('DATABASE_URL_API'))?.from !== undefined &&
        new URL(await stage.current('DATABASE_URL_API')).username === 'klar_api_a',
      { timeoutMs: 30_000 },
    );
    assert.equal(await stage.ended('DATABASE_URL_API'), 'done', heir.output());
    assert.deepEqual(await tryLogin(now), { as: 'refused' });
    await heir.kill();
    await stage.close();
  });

  it('rotates STRIPE_WEBHOOK_SECRET: every event is stored once, none is refused, one endpoint is left', async () => {
    const [ingestPort = 0, adminPort = 0] = await freePorts(2);
    const webhookUrl = `http://127.0.0.1:${ingestPort}/api/billing/stripe/webhook`;
    const sandbox = await startSandbox({
      profile: 'test',
      port: 0,
      smtpPort: 0,
      webhookUrl: undefined,
      webhookSecret: () => [],
      stripeSecretKey: KEY,
      clock: { now: () => new Date() },
      log: createLogger({ process: 'sandbox', level: 'error' }),
      webhookRetryMs: [60_000],
    });
    closing.push(() => sandbox.stop());
    const stripe = async <T>(method: string, path: string, fields: Record<string, string> = {}): Promise<T> => {
      const request = {
        method,
        headers: {
          authorization: `Bearer ${KEY}`,
          'content-type': 'application/x-www-form-urlencoded',
          'idempotency-key': randomUUID(),
        },
        ...(method === 'GET' ? {} : { body: new URLSearchParams(fields).toString() }),
      };
      // A slow machine lets a connection idle until the server closes it.
      const response = await fetch(`${sandbox.url}${path}`, request).catch(() =>
        fetch(`${sandbox.url}${path}`, request),
      );
      assert.equal(response.status, 200);
      return (await response.json()) as T;
    };
    const first = await stripe<{ id: string; secret: string }>('POST', '/v1/webhook_endpoints', {
      url: webhookUrl,
      'enabled_events[0]': 'customer.created',
    });
    stage = await openStage({
      secrets: ['STRIPE_WEBHOOK_SECRET'],
      values: () => ({ STRIPE_WEBHOOK_SECRET: first.secret }),
      pods: () => [{ pod: 'ingest-0', component: 'webhook-ingest', url: `http://127.0.0.1:${adminPort}` }],
      env: () => ({ STRIPE: JSON.stringify({ apiBase: sandbox.url, webhookUrl }) }),
      apiCount: 0,
    });
    const ingest = await startIngest({
      log: silentLogger(),
      settings: loadSettings('webhook-ingest', {
        KLAR_PROFILE: 'test',
        INGEST_PORT: String(ingestPort),
        ADMIN_PORT: String(adminPort),
        KLAR_SECRETS_DIR: stage.folder,
        DATABASE_URL_INGEST: stage.database.url('klar_ingest'),
      }),
    });
    closing.push(() => ingest.stop());
    // Never sent: only the list of events tells of them.
    const fault = { match: { event: 'customer.created' }, kind: 'drop', times: 3 };
    const arranged = await fetch(`${sandbox.url}/sandbox/faults`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(fault),
    });
    assert.equal(arranged.ok, true);
    let made = 0;
    const client = startClient(async () => {
      await stripe('POST', '/v1/customers', { email: `c${made}@example.com` });
      made += 1;
      await new Promise((resolve) => setTimeout(resolve, 30));
      return undefined;
    });
    // Or it would go on for ever where the rotation does not end as it should.
    closing.push(() => client.stop());
    await killEverywhere(stage, 'STRIPE_WEBHOOK_SECRET');
    assert.deepEqual((await client.stop()).refused, []);
    await sandbox.idle();
    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    // The one that proved the old secret dead.
    const refused = [...metrics.matchAll(/klar_ingest_refused_total\{[^}]*reason="bad_signature"[^}]*\} (\d+)/g)];
    const rows = await stage.database.asSuperuser<{ n: number }>(
      `select count(*)::int as n from inbox.events where type = 'customer.created'`,
    );
    assert.deepEqual(rows, [{ n: made }]);
    assert.ok(made > 50);
    const { data } = await stripe<{ data: { id: string; status: string }[] }>('GET', '/v1/webhook_endpoints');
    assert.equal(data.length, 1);
    assert.notEqual(data[0]?.id, first.id);
    assert.equal(data[0]?.status, 'enabled');
    // Verifying begins again after each kill that strikes before its record.
    assert.ok(Number(refused[0]?.[1] ?? 0) <= 4, `refused: ${refused[0]?.[1]}`);
  });
});
