import assert from 'node:assert/strict';
import { type Caller, json, startMiniApp } from './mini-app.ts';

describe('requests to the app', () => {
  let app: Caller;
  before(async () => {
    app = await startMiniApp();
  });
  after(() => app.close());
  const post = (body: string | Uint8Array, headers: Record<string, string> = json) =>
    app.call('/api/test/echo', { method: 'POST', headers, body: body as string });

  describe('bodies', () => {
    const cases: [string, string | Uint8Array, Record<string, string>, number, string][] = [
      ['malformed JSON', '{"text":', json, 400, 'invalid_json'],
      ['bad UTF-8', new Uint8Array([0x22, 0xff, 0x22]), json, 400, 'invalid_json'],
      ['a prototype', '{"text":"a","__proto__":{"admin":true}}', json, 400, 'invalid_json'],
      ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, json, 400, 'invalid_json'],
      ['NUL', '{"text":"a\\u0000"}', json, 400, 'invalid_text'],
      ['a lone surrogate', '{"text":"\\ud800"}', json, 400, 'invalid_text'],
      ['more than 1 MiB', JSON.stringify({ text: 'a'.repeat(1024 * 1024) }), json, 413, 'body_too_large'],
      ['another content type', '{"text":"a"}', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
      ['a form', 'text=a', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
      [
        'another charset',
        '{"text":"a"}',
        { 'content-type': 'application/json; charset=utf-16' },
        415,
        'unsupported_media_type',
      ],
      ['compression', '{"text":"a"}', { ...json, 'content-encoding': 'gzip' }, 415, 'unsupported_media_type'],
      ['an unknown field', '{"text":"a","more":1}', json, 400, 'invalid_request'],
      ['nothing', '', json, 400, 'invalid_request'],
    ];
    for (const [name, body, headers, status, code] of cases) {
      it(`with ${name} are refused with ${status}`, async () => {
        const answer = await post(body, headers);
        assert.deepEqual([answer.status, answer.json?.code], [status, code]);
      });
    }
    it('of a chunked 2 MiB are refused without being kept', async () => {
      const chunk = `40000\r\n${'a'.repeat(0x40000)}\r\n`;
      const answer = await app
        .raw(
          `POST /api/test/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(8)}0\r\n\r\n`,
        )
        .catch((error: NodeJS.ErrnoException) => error.code ?? '');
      // The answer comes before the body's end, so that a client that goes on writing may see a reset instead.
      assert.match(answer, /^HTTP\/1\.1 413 |ECONNRESET|EPIPE/);
    });
    it('with a charset of UTF-8 are taken', async () => {
      assert.equal(
        (await post('{"text":"ä"}', { 'content-type': 'application/json; charset=UTF-8' })).text,
        '{"text":"ä"}',
      );
    });
    it('where none is asked for may be {}', async () => {
      assert.equal((await app.call('/api/test/login', { method: 'POST', headers: json, body: '{}' })).status, 204);
      assert.equal((await app.call('/api/test/login', { method: 'POST', headers: json, body: '{"a":1}' })).status, 400);
    });
  });

  describe('queries', () => {
    it('have defaults', async () => {
      assert.equal((await app.call('/api/test/list')).json.data?.[0]?.limit, 50);
      assert.equal((await app.call('/api/test/list?limit=200')).json.data?.[0]?.limit, 200);
    });
    for (const query of [
      'limit=0',
      'limit=201',
      'limit=',
      'limit=0x10',
      'limit=1e1',
      'limit=1&limit=2',
      'unknown=1',
      'cursor=%00',
      '__proto__=1',
    ]) {
      it(`refuse ${query}`, async () => {
        assert.equal((await app.call(`/api/test/list?${query}`)).status, 400);
      });
    }
  });

  describe('headers', () => {
    const get = (host: string, more = '') =>
      app.raw(`GET /api/test/list HTTP/1.1\r\n${host}${more}Connection: close\r\n\r\n`);
    it('with one good Host are taken', async () => {
      for (const host of ['klar.example.com', 'klar.example.com:8443', '10.0.0.1:3000', '[::1]:3000']) {
        assert.match(await get(`Host: ${host}\r\n`), /^HTTP\/1\.1 200/, host);
      }
    });
    it('with two Hosts are refused', async () => {
      assert.match(await get('Host: a.example\r\nHost: b.example\r\n'), /^HTTP\/1\.1 400[\s\S]*duplicate_header/);
    });
    it('with a Host that is none are refused', async () => {
      for (const host of ['', 'user@evil.example', 'a/b', 'a:99999999', 'a b', '-a']) {
        assert.match(await get(`Host: ${host}\r\n`), /^HTTP\/1\.1 400/, host);
      }
    });
    it('with two credentials or two tenants are refused', async () => {
      for (const name of ['Authorization', 'Klar-Tenant', 'Idempotency-Key', 'Origin']) {
        assert.match(await get('Host: a\r\n', `${name}: x\r\n${name}: y\r\n`), /^HTTP\/1\.1 400/, name);
      }
    });
    it('beyond 16 KiB are refused', async () => {
      assert.match(await get('Host: a\r\n', `X-Big: ${'a'.repeat(17_000)}\r\n`), /^HTTP\/1\.1 431/);
    });
    it('of answers forbid sniffing, framing and foreign scripts', async () => {
      const { headers } = await app.call('/api/test/list');
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/);
      assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
      assert.doesNotMatch(headers.get('content-security-policy') ?? '', /unsafe|\*/);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('x-powered-by'), null);
    });
  });
});
