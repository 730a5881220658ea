import assert from 'node:assert/strict';
import { z } from 'zod';
import { apiRoutes } from '../../services/api/routes/index.ts';
import { startTestApi } from '../support/api.ts';
import { ApiClient } from '../support/client.ts';
import { createTestDatabase } from '../support/database.ts';
import { type Conformance, createConformance } from './conformance.ts';
import { readDocument } from './conformance-system.ts';

describe('the comparison with openapi.json', () => {
  let conformance: Conformance;
  beforeEach(async () => {
    conformance = createConformance(await readDocument());
  });

  const READY = { ok: true, checks: { database: { ok: true } } };
  const PROBLEM = { type: 'urn:x', title: 'X', status: 401, detail: 'x', code: 'unauthenticated', request_id: 'req_1' };
  interface Given {
    method?: string;
    path?: string;
    status?: number;
    headers?: Record<string, string | undefined>;
    body?: unknown;
  }
  function look({ method = 'GET', path = '/api/ready', status = 200, headers = {}, body = READY }: Given = {}): void {
    const type = status < 400 ? 'application/json; charset=utf-8' : 'application/problem+json';
    const given = Object.entries({ 'x-request-id': 'req_1', 'content-type': type, ...headers });
    const text = body === null ? '' : JSON.stringify(body);
    const sent = new Headers(given.filter((one): one is [string, string] => one[1] !== undefined));
    conformance.watch({ method, path }, { status, headers: sent, text });
  }
  const me = (more: Given): Given => ({
    path: '/api/me',
    status: 401,
    body: PROBLEM,
    ...more,
    headers: { 'www-authenticate': 'Bearer', ...more.headers },
  });

  it('takes what is documented', () => {
    look();
    look(me({}));
    look({
      method: 'POST',
      path: '/api/auth/logout',
      status: 204,
      headers: { 'content-type': undefined },
      body: null,
    });
  });

  const faults: Record<string, [Given, RegExp]> = {
    'a missing field': [{ body: { checks: {} } }, /must have required property 'ok'/],
    'a missing field inside': [{ body: { ok: true, checks: { database: {} } } }, /checks\/database must have required/],
    'a field that is not documented': [{ body: { ...READY, secret: 1 } }, /must NOT have additional properties/],
    'a field of another type': [{ body: { ...READY, ok: 'yes' } }, /\/ok must be boolean/],
    'a status that is not documented': [{ status: 418 }, /the status is not documented/],
    'an operation that is not documented': [{ path: '/api/nothing' }, /is not documented/],
    'a method that is not documented': [{ method: 'PUT' }, /is not documented/],
    'another media type': [{ headers: { 'content-type': 'text/html' } }, /media type/],
    'a body where none is': [
      { method: 'POST', path: '/api/auth/logout', status: 204, body: {} },
      /no body is documented/,
    ],
    'no request id': [{ headers: { 'x-request-id': undefined } }, /X-Request-Id is missing/],
    'a 401 that does not say how': [me({ headers: { 'www-authenticate': undefined } }), /WWW-Authenticate is missing/],
    'a 429 that does not say when': [me({ status: 429 }), /Retry-After is missing/],
    'a Retry-After of no time': [me({ status: 429, headers: { 'retry-after': '0' } }), /Retry-After/],
    'a problem without its code': [me({ body: { ...PROBLEM, code: undefined } }), /'code'/],
    'a problem that is plain JSON': [me({ headers: { 'content-type': 'application/json' } }), /media type/],
  };
  for (const [what, [given, message]] of Object.entries(faults)) {
    it(`sees ${what}`, () => {
      assert.throws(() => look(given), message);
    });
  }

  it('takes a literal path before a template', () => {
    const refused = {
      method: 'DELETE',
      path: '/api/auth/sessions/ses_1',
      status: 204,
      headers: { 'content-type': undefined },
      body: null,
    };
    look(refused);
    assert.deepEqual(conformance.statuses('identity.end_session'), [204]);
    assert.throws(() => look({ path: '/api/tenants/current', body: {} }), /tenants\.show 200/);
  });

  it('names what was never called and what never succeeded', () => {
    look();
    look(me({}));
    const missing = conformance.missing();
    assert.ok(missing.includes('orders.place was never called'));
    assert.ok(missing.includes('me.show never answered 200'));
    assert.ok(!missing.some((line) => line.startsWith('ops.ready')));
  });

  it('turns red when the running api leaves a field out', async () => {
    const database = await createTestDatabase();
    const { api, url } = await startTestApi(database, {
      routes: (deps) =>
        apiRoutes(deps).map((route) =>
          route.id === 'ops.ready' ? { ...route, responses: { 200: z.object({ ok: z.boolean() }) } } : route,
        ),
    });
    try {
      const client = new ApiClient(url, {}, conformance.watch);
      await client.expect(200, 'GET', '/api/openapi.json');
      await assert.rejects(client.call('GET', '/api/ready'), /ops\.ready 200.*must have required property 'checks'/s);
    } finally {
      await api.stop();
      await database.close();
    }
  });
});
