import assert from 'node:assert/strict';
import { addressOf } from '#platform/http/index.ts';
import { until } from '../../support/until.ts';
import { type Caller, seen, startMiniApp } from './mini-app.ts';

describe('answers of the app', () => {
  let app: Caller;
  before(async () => {
    app = await startMiniApp();
  });
  after(() => app.close());

  describe('problems', () => {
    it('are RFC 9457 documents with a code and the request id of the header', async () => {
      const { status, headers, json } = await app.call('/api/nothing');
      assert.equal(status, 404);
      assert.equal(headers.get('content-type'), 'application/problem+json');
      const { request_id, ...rest } = json;
      assert.deepEqual(rest, {
        type: 'urn:klar:problem:not_found',
        title: 'Not found',
        status: 404,
        detail: 'There is nothing here.',
        code: 'not_found',
      });
      assert.equal(request_id, headers.get('x-request-id'));
    });

    it('never carry what a driver said, while the log does', async () => {
      const { status, text, json } = await app.call('/api/test/fail/driver');
      assert.equal(status, 500);
      assert.ok(!text.includes('duplicate'));
      const line = await until(() => app.api.logs.find((l) => l.request_id === json.request_id && l.level === 'error'));
      assert.ok(JSON.stringify(line).includes('duplicate key value'));
    });

    it('leave no token of a path in the log, when the path is not quite a route either', async () => {
      const token = 'SeCrEtToKeNoFaNiNvItAtIoN0123456789abcdefghi';
      const id = 'crs_019a2b3c4d5e7000800000000000abcd';
      const { json } = await app.call(`/api/invitations/${token}/accept/${id}`);
      const line = await until(() => app.api.logs.find((l) => l.request_id === json.request_id));
      assert.equal(line?.path, `/api/invitations/.../accept/${id}`);
    });

    it('name each wrong field by its path', async () => {
      const { status, json } = await app.call('/api/test/echo', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"txt":"a"}',
      });
      assert.equal(status, 400);
      assert.equal(json.code, 'invalid_request');
      assert.deepEqual((json.errors as { path: string }[]).map((e) => e.path).sort(), ['body', 'body.text']);
    });

    it('say when to come back', async () => {
      const { status, headers } = await app.call('/api/test/fail/away');
      assert.equal(status, 503);
      assert.equal(headers.get('retry-after'), '7');
    });

    it('answer a wrong method with 405 and Allow', async () => {
      const { status, headers } = await app.call('/api/test/echo');
      assert.equal(status, 405);
      assert.equal(headers.get('allow'), 'POST, OPTIONS');
    });

    it('answer a path that cannot be decoded with 400', async () => {
      assert.equal((await app.call('/api/test/fail/%E0%A4%A')).json.code, 'invalid_path');
    });
  });

  describe('answers', () => {
    it('carry only the fields of their schema', async () => {
      assert.equal((await app.call('/api/test/fail/extra')).text, '{"text":"extra"}');
    });
    it('that break their schema are a 500 outside production', async () => {
      assert.equal((await app.call('/api/test/fail/mismatch')).json.code, 'answer_mismatch');
    });
    it('are not cached', async () => {
      assert.equal((await app.call('/api/test/list')).headers.get('cache-control'), 'no-store');
    });
  });

  describe('request ids', () => {
    it('are taken from the caller where they are harmless', async () => {
      assert.equal(
        (await app.call('/api/nothing', { headers: { 'x-request-id': 'abcd-1234.X_' } })).headers.get('x-request-id'),
        'abcd-1234.X_',
      );
    });
    for (const bad of ['short', 'a b c d e f g h', 'x'.repeat(129), '<script>alert(1)']) {
      it(`are made anew instead of ${JSON.stringify(bad.slice(0, 20))}`, async () => {
        assert.match(
          (await app.call('/api/nothing', { headers: { 'x-request-id': bad } })).headers.get('x-request-id') ?? '',
          /^req_[0-9a-f]{32}$/,
        );
      });
    }
  });

  describe('time', () => {
    it('is limited: a handler that hangs becomes 503 and its signal aborts', async () => {
      const { status, json } = await app.call('/api/test/wait');
      assert.equal(status, 503);
      assert.equal(json.code, 'request_timeout');
      assert.equal(seen.signal?.aborted, true);
    });
    it('ends when the client leaves', async () => {
      seen.signal = undefined;
      const leaving = new AbortController();
      const gone = app.call('/api/test/wait', { signal: leaving.signal }).catch(() => 'gone');
      const aborted = await until(() => seen.signal as AbortSignal | undefined);
      leaving.abort();
      assert.equal(await gone, 'gone');
      await until(() => aborted.aborted);
      assert.equal((aborted.reason as { code: string }).code, 'client_closed');
      await until(() => app.api.logs.find((line) => line.route === 'test.wait' && line.status === 499));
    });
  });

  it('logs an IPv4 address as such', async () => {
    const { headers } = await app.call('/api/nothing');
    const line = await until(() => app.api.logs.find((l) => l.request_id === headers.get('x-request-id')));
    assert.equal(line.ip, '127.0.0.1');
    assert.deepEqual(
      ['::ffff:192.0.2.7', '192.0.2.7', '2001:db8::1', undefined].map((ip) => addressOf({ ip })),
      ['192.0.2.7', '192.0.2.7', '2001:db8::1', ''],
    );
  });

  it('writes one access line and counts each request by route, method and status', async () => {
    const person = await app.world.person();
    const { headers } = await app.call('/api/test/tenant', {
      headers: { authorization: `Bearer ${person}`, 'klar-tenant': app.world.slug },
    });
    const lines = await until(() => {
      const found = app.api.logs.filter((line) => line.request_id === headers.get('x-request-id'));
      return found.length > 0 ? found : undefined;
    });
    assert.equal(lines.length, 1);
    const { msg, route, status, tenant_id, principal } = lines[0] ?? {};
    assert.deepEqual(
      { msg, route, status, tenant_id, principal },
      {
        msg: 'request',
        route: 'test.tenant',
        status: 200,
        tenant_id: app.world.tenantId,
        principal: `person:${person}`,
      },
    );
    assert.match(
      await app.api.metrics.registry.metrics(),
      /klar_http_requests_total\{route="test.tenant",method="GET",status="200"\} \d+/,
    );
  });
});
