import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { Writable } from 'node:stream';
import { loadSettings } from '#platform/config/index.ts';
import { createLogger, silentLogger, withLogContext } from '#platform/log/index.ts';
import { startTelemetry, withServerSpan, withSpan } from '#platform/telemetry/index.ts';

type Received = { url: string; headers: IncomingHttpHeaders; body: string };

type Span = {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  status: { code: number; message?: string };
};

async function collector(): Promise<{ url: string; received: Received[]; close(): void }> {
  const received: Received[] = [];
  const server: Server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    received.push({ url: request.url ?? '', headers: request.headers, body });
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const settings = (env: Record<string, string>) => loadSettings('cli', { KLAR_SECRETS_DIR: '/nowhere', ...env });

describe('telemetry', () => {
  let sink: Awaited<ReturnType<typeof collector>>;
  beforeEach(async () => {
    sink = await collector();
  });
  afterEach(() => sink.close());

  it('is off, and loads nothing, unless the environment says so', () => {
    const script = `import { loadSettings } from '#platform/config/index.ts';
      import { silentLogger } from '#platform/log/index.ts';
      import { startTelemetry, withSpan } from '#platform/telemetry/index.ts';
      const t = await startTelemetry({ settings: loadSettings('cli', {}), log: silentLogger() });
      if (withSpan('x', {}, () => 7) !== 7) process.exit(2);
      await t.stop();
      process.stdout.write(process.moduleLoadList.concat(Object.keys((await import('node:module')).default._cache ?? {})).filter((m) => /opentelemetry|sentry/.test(m)).join());`;
    const root = path.resolve(import.meta.dirname, '../../..');
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root,
    });
    assert.deepEqual([status, String(stdout)], [0, ''], String(stderr));
  });

  it('sends spans with their parents to the collector, one trace over awaits', async () => {
    const telemetry = await startTelemetry({
      settings: settings({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://${sink.url}` }),
      log: silentLogger(),
      process: 'api',
    });
    await withSpan('outer', { 'klar.module': 'sales' }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      withSpan('inner', {}, () => {});
      await assert.rejects(withSpan('failing', {}, () => Promise.reject(new TypeError('row of ada@example.com'))));
    });
    await telemetry.stop();
    const spans = spansOf(sink.received);
    const [outer, inner, failing] = ['outer', 'inner', 'failing'].map((name) =>
      spans.find((span) => span.name === name),
    );
    assert.equal(inner?.parentSpanId, outer?.spanId);
    assert.equal(failing?.parentSpanId, outer?.spanId);
    assert.equal(inner?.traceId, outer?.traceId);
    assert.equal(failing?.status.code, 2);
    const all = JSON.stringify(sink.received);
    assert.ok(all.includes('klar-api') && !all.includes('ada@'));
  });

  it('continues the trace of a caller, and refuses a broken traceparent', async () => {
    const telemetry = await startTelemetry({
      settings: settings({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://${sink.url}` }),
      log: silentLogger(),
      process: 'api',
    });
    const server = createServer((request, response) =>
      withServerSpan(request, response, () => {
        withSpan('work', {}, () => response.writeHead(503).end());
      }),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/invitations/very-secret-token/accept`;
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    for (const traceparent of [
      `00-${traceId}-b7ad6b7169203331-01`,
      'garbage',
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    ]) {
      await fetch(at, { headers: { traceparent } });
    }
    await new Promise((resolve) => server.close(resolve));
    await telemetry.stop();
    const spans = spansOf(sink.received);
    const requests = spans.filter((span) => span.name === 'HTTP GET');
    assert.equal(requests.length, 3);
    assert.deepEqual(
      requests.map((span) => span.traceId === traceId),
      [true, false, false],
    );
    assert.equal(requests[0]?.parentSpanId, 'b7ad6b7169203331');
    assert.ok(requests.every((span) => span.status.code === 2));
    assert.equal(spans.filter((span) => span.name === 'work').length, 3);
    assert.ok(!JSON.stringify(sink.received).includes('very-secret-token'));
  });

  it('reports error lines to Sentry, redacted as in the log, with the request id', async () => {
    const telemetry = await startTelemetry({
      settings: settings({ SENTRY_DSN: `http://publickey@${sink.url}/42` }),
      log: silentLogger(),
      process: 'api',
    });
    const log = createLogger({
      process: 'api',
      stream: new Writable({ write: (_chunk, _encoding, done) => done() }),
      redact: () => ['the-known-secret'],
    });
    withLogContext({ request_id: 'req_1' }, () =>
      log.error('request failed', { error: new Error('the-known-secret of ada@example.com'), password: 'hunter2' }),
    );
    log.warn('not this');
    await telemetry.stop();
    assert.equal(sink.received.length, 1);
    const [report] = sink.received;
    assert.match(report?.url ?? '', /^\/api\/42\/envelope\//);
    const body = report?.body ?? '';
    assert.ok(body.includes('req_1') && body.includes('request failed'));
    for (const hidden of ['the-known-secret', 'ada@', 'hunter2']) assert.ok(!body.includes(hidden), hidden);
  });

  it('is shared by the parts of one process, and ends with the last of them', async () => {
    const on = settings({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://${sink.url}` });
    const [a, b] = await Promise.all([
      startTelemetry({ settings: on, log: silentLogger() }),
      startTelemetry({ settings: on, log: silentLogger() }),
    ]);
    await a.stop();
    await a.stop();
    withSpan('still on', {}, () => {});
    await b.stop();
    withSpan('off', {}, () => {});
    assert.deepEqual(
      spansOf(sink.received).map(({ name }) => name),
      ['still on'],
    );
  });

  it('does not hold up a stop when nobody takes its reports', async () => {
    sink.close();
    const on = settings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', SENTRY_DSN: 'http://k@127.0.0.1:9/1' });
    const telemetry = await startTelemetry({ settings: on, log: silentLogger() });
    withSpan('lost', {}, () => {});
    const from = performance.now();
    await telemetry.stop();
    assert.ok(performance.now() - from < 5_000);
  });
});

function spansOf(received: Received[]): Span[] {
  return received.flatMap(({ body }) => {
    const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
    return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
  });
}
