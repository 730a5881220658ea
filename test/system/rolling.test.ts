import assert from 'node:assert/strict';
import { ApiClient } from '../support/client.ts';
import { startLoad } from '../support/load.ts';
import { freePorts } from '../support/process.ts';
import { createStack, type Replica, type Stack } from '../support/stack.ts';
import { startHaproxy } from './haproxy.ts';

/** haproxy asks every 200 ms; the endpoint delay leaves it several turns to see that a replica is leaving. */
const ENDPOINT_DELAY_MS = '1500';

describe('graceful stop behind a load balancer', function () {
  this.timeout(180_000);
  let stack: Stack;
  let replicas: Replica[];
  let proxy: Awaited<ReturnType<typeof startHaproxy>>;
  let port = 0;

  before(async () => {
    stack = await createStack({ SHUTDOWN_DELAY_MS: ENDPOINT_DELAY_MS });
    replicas = [await stack.start('api'), await stack.start('api')];
    [port = 0] = await freePorts(1);
    proxy = await startHaproxy(
      port,
      replicas.map((replica, index) => ({ name: `api${index}`, port: replica.port, adminPort: replica.adminPort })),
    );
  });
  after(async () => {
    await proxy?.close();
    await stack?.close();
  });

  it('loses no request of 200 a second over three rolling restarts of two replicas', async () => {
    const client = new ApiClient(`http://127.0.0.1:${port}`);
    const owner = await client.register('owner');
    const slug = `rolling-${Date.now()}`;
    await owner.client.expect(201, 'POST', '/api/tenants', { body: { name: 'Rolling', slug } });
    const headers = { authorization: `Bearer ${owner.token}`, 'klar-tenant': slug };
    const body = JSON.stringify({ title: 'Rolling course', price: { amount: 100, currency: 'USD' } });
    const writes = {
      ...headers,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    };

    const load = startLoad(port, 200, (n) =>
      n % 10 === 0
        ? { method: 'POST', path: '/api/courses', headers: writes, body }
        : { method: 'GET', path: '/api/courses?limit=5', headers },
    );
    for (let round = 0; round < 3; round++) {
      for (const [index, replica] of replicas.entries()) {
        assert.equal(await replica.process.stop(), 0, replica.process.output());
        replicas[index] = await stack.start('api', { port: replica.port, adminPort: replica.adminPort });
        // A deployment waits for the new replica to be in the balancer before it takes the next.
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
    }
    const report = await load.stop();

    const created = report.statuses[201] ?? 0;
    assert.deepEqual(report.errors.slice(0, 5), []);
    assert.deepEqual(Object.keys(report.statuses).sort(), ['200', '201'], JSON.stringify(report));
    assert.ok(report.sent > 1_000, `only ${report.sent} requests were sent`);
    const rows = await stack.database.asSuperuser<{ n: number }>(
      "select count(*)::int as n from app.courses where title = 'Rolling course'",
    );
    assert.equal(rows[0]?.n, created, 'courses in the database against courses acknowledged');
    process.stdout.write(
      `      ${report.sent} requests, ${created} of them writes, slowest ${report.slowestMs.toFixed(0)} ms\n`,
    );
  });
});
