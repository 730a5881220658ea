import assert from 'node:assert/strict';
import { startTestApi } from './fixture.ts';
import { json, routes } from './mini-app.ts';

const ORIGINS = {
  auth: ['https://app.example.com'],
  cors: ['https://app.example.com'],
  public: ['https://www.example.com'],
};

import { type Caller, startMiniApp } from './mini-app.ts';

describe('callers of the app', () => {
  let app: Caller;
  before(async () => {
    app = await startMiniApp({ origins: ORIGINS });
  });
  after(() => app.close());

  describe('origins', () => {
    const preflight = (path: string, method: string, origin: string) =>
      app.call(path, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization' },
      });

    it('on the list are let in, with a preflight that names the headers we read', async () => {
      const answer = await preflight('/api/test/login', 'POST', 'https://app.example.com');
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example.com');
      assert.match(
        answer.headers.get('access-control-allow-headers') ?? '',
        /Authorization.*Idempotency-Key.*Klar-Tenant/,
      );
      assert.equal(answer.headers.get('access-control-allow-credentials'), null);
      const real = await app.call('/api/test/login', {
        method: 'POST',
        headers: { origin: 'https://app.example.com' },
      });
      assert.equal(real.status, 204);
      assert.equal(real.headers.get('access-control-allow-origin'), 'https://app.example.com');
      assert.match(real.headers.get('vary') ?? '', /Origin/);
    });
    for (const origin of [
      'http://app.example.com',
      'https://app.example.com.evil.example',
      'https://evil-app.example.com',
      'https://app.example.com:8443',
      'https://APP.example.com',
      'https://example.com',
      'http://localhost:3000',
      'http://127.0.0.1:3000',
      'null',
    ]) {
      it(`refuse ${origin}`, async () => {
        const answer = await preflight('/api/test/login', 'POST', origin);
        assert.equal(answer.status, 403);
        assert.equal(answer.headers.get('access-control-allow-origin'), null);
        const real = await app.call('/api/test/login', { method: 'POST', headers: { origin } });
        assert.equal(real.json.code, 'origin_not_allowed');
        assert.equal(real.headers.get('access-control-allow-origin'), null);
      });
    }
    it('of the public list read public routes and may not log in', async () => {
      assert.equal((await app.call('/api/test/list', { headers: { origin: 'https://www.example.com' } })).status, 200);
      assert.equal(
        (await app.call('/api/test/login', { method: 'POST', headers: { origin: 'https://www.example.com' } })).status,
        403,
      );
    });
    it('let in are told so with a refusal, too: else a page could not read that its token has expired', async () => {
      const origin = 'https://app.example.com';
      for (const headers of [{ origin }, { origin, authorization: 'Bearer wrong' }]) {
        const answer = await app.call('/api/test/tenant', { headers });
        assert.deepEqual([answer.status, answer.headers.get('access-control-allow-origin')], [401, origin]);
      }
      const evil = await app.call('/api/test/tenant', { headers: { origin: 'https://evil.example' } });
      assert.deepEqual([evil.status, evil.headers.get('access-control-allow-origin')], [401, null]);
    });
    it('localhost and null are let in by their settings only', async () => {
      const lenient = await startTestApi(app.world, routes, { origins: { allowLocalhost: true, allowNull: true } });
      try {
        for (const [origin, status] of [
          ['http://localhost:5173', 200],
          ['http://[::1]:1', 200],
          ['null', 200],
          ['http://localhost.evil.example', 403],
        ] as const) {
          assert.equal((await app.call('/api/test/list', { at: lenient, headers: { origin } })).status, status, origin);
        }
      } finally {
        await lenient.close();
      }
    });
  });

  describe('callers', () => {
    const tenant = (token: string | undefined, slug = app.world.slug) =>
      app.call('/api/test/tenant', {
        headers: {
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(slug ? { 'klar-tenant': slug } : {}),
          'x-request-id': 'same-request-id',
        },
      });

    it('without credentials are asked for them', async () => {
      const { status, headers } = await tenant(undefined);
      assert.equal(status, 401);
      assert.equal(headers.get('www-authenticate'), 'Bearer');
    });
    it('in the tenant get in, with their role', async () => {
      assert.deepEqual((await tenant(await app.world.person('teacher'))).json, {
        role: 'teacher',
        slug: app.world.slug,
      });
    });
    it('see the same bytes for a tenant that is not theirs, one that is unknown and one that cannot be', async () => {
      const stranger = 'usr_00000000000070008000000000000002';
      const answers = await Promise.all([tenant(stranger), tenant(stranger, 'unknown'), tenant(stranger, 'UN KNOWN')]);
      assert.deepEqual(
        answers.map(({ status }) => status),
        [404, 404, 404],
      );
      assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    });
    it('learn no more from a malformed request about a tenant that is not theirs than about an unknown one', async () => {
      const stranger = 'usr_00000000000070008000000000000002';
      const send = (slug: string, init: { method?: string; headers?: Record<string, string>; body?: string }) =>
        app.call('/api/test/tenant?unknown=1', {
          ...init,
          headers: {
            ...init.headers,
            authorization: `Bearer ${stranger}`,
            'klar-tenant': slug,
            'x-request-id': 'same-request-id',
          },
        });
      const [theirs, unknown] = [await send(app.world.slug, {}), await send('unknown', {})];
      assert.deepEqual([theirs.status, theirs.text], [400, unknown.text]);
    });
    it('who are no administrators see an admin route as a path that does not exist', async () => {
      const headers = { 'x-request-id': 'same-request-id', 'klar-tenant': app.world.slug };
      const member = { ...headers, authorization: `Bearer ${await app.world.person('owner')}` };
      const nothing = await app.call('/api/admin/nothing', { method: 'POST', headers: member });
      assert.equal(nothing.status, 404);
      for (const init of [
        { method: 'POST', headers: member },
        { method: 'POST', headers: { ...member, ...json }, body: '{' },
        { method: 'POST', headers: { ...member, origin: 'https://evil.example' } },
        { method: 'GET', headers: member },
        { method: 'OPTIONS', headers: member },
      ]) {
        const answer = await app.call('/api/admin/test', init);
        assert.equal(answer.text, nothing.text, JSON.stringify(init));
        assert.equal(answer.status, 404);
        assert.equal(answer.headers.get('allow'), null);
      }
      for (const init of [
        { method: 'POST', headers },
        { method: 'GET', headers },
        { method: 'POST', headers: { ...headers, authorization: 'Bearer wrong' } },
      ]) {
        const { status, headers: sent } = await app.call('/api/admin/test', init);
        assert.deepEqual([status, sent.get('www-authenticate'), sent.get('allow')], [401, 'Bearer', null]);
      }
      assert.equal(
        (await app.call('/api/admin/test', { method: 'POST', headers: { authorization: 'Bearer admin' } })).status,
        204,
      );
    });
  });

  describe('limits', () => {
    it('answer 429 with Retry-After per class, while other classes go on', async () => {
      const limited = await startTestApi(app.world, routes, { limits: { auth: 3 } });
      try {
        const login = () => app.call('/api/test/login', { at: limited, method: 'POST' });
        const statuses = [];
        for (let i = 0; i < 4; i++) statuses.push((await login()).status);
        assert.deepEqual(statuses, [204, 204, 204, 429]);
        const { headers, json } = await login();
        assert.equal(json.code, 'rate_limited');
        const wait = Number(headers.get('retry-after'));
        assert.ok(wait >= 1 && wait <= 60);
        assert.equal((await app.call('/api/test/list', { at: limited })).status, 200);
        assert.match(
          await limited.metrics.registry.metrics(),
          /klar_http_rate_limited_total\{class="auth",scope="address"\} 2/,
        );
      } finally {
        await limited.close();
      }
    });
    it('count each caller apart, and the tenant as a whole', async () => {
      const limited = await startTestApi(app.world, routes, { limits: { read: 2 } });
      const as = async (person: string) =>
        (
          await app.call('/api/test/tenant', {
            at: limited,
            headers: { authorization: `Bearer ${person}`, 'klar-tenant': app.world.slug },
          })
        ).status;
      try {
        const [first, second] = [await app.world.person(), await app.world.person()];
        assert.deepEqual([await as(first), await as(first), await as(first), await as(second)], [200, 200, 429, 200]);
        const statuses = [];
        for (let i = 0; i < 11; i++) statuses.push(await as(await app.world.person()));
        // tenantFactor 10: the tenant may 20 times; three of them are used, as what a caller's limit refused counts not.
        for (let i = 0; i < 7; i++) statuses.push(await as(await app.world.person()));
        assert.equal(statuses.at(-1), 429);
      } finally {
        await limited.close();
      }
    });
    it('are not used up for a school by those who do not belong to it', async () => {
      const limited = await startTestApi(app.world, routes, { limits: { read: 2 } });
      const as = (person: string) =>
        app.call('/api/test/tenant', {
          at: limited,
          headers: { authorization: `Bearer ${person}`, 'klar-tenant': app.world.slug },
        });
      try {
        // tenantFactor 10: forty strangers' calls would take what twenty of a member need.
        const strangers = Array.from({ length: 40 }, (_, i) => `usr_0000000000007000800000000000${1000 + i}`);
        for (const { status } of await Promise.all(strangers.map(as))) assert.ok(status === 404 || status === 429);
        assert.equal((await as(await app.world.person())).status, 200);
      } finally {
        await limited.close();
      }
    });
    it('of one caller end before those of the school, whoever it is and whatever they send', async () => {
      const limited = await startTestApi(app.world, routes, { limits: { read: 2 } });
      const as = async (person: string, path = '/api/test/tenant') =>
        (
          await app.call(path, {
            at: limited,
            headers: { authorization: `Bearer ${person}`, 'klar-tenant': app.world.slug },
          })
        ).status;
      try {
        const member = await app.world.person();
        const stranger = 'usr_00000000000070008000000000000003';
        for (let i = 0; i < 20; i++) await Promise.all([as(member), as(stranger)]);
        const malformed = Array.from({ length: 20 }, (_, i) => `usr_0000000000007000800000000000${2000 + i}`);
        for (const person of malformed) assert.equal(await as(person, '/api/test/tenant?unknown=1'), 400);
        assert.equal(await as(await app.world.person()), 200);
      } finally {
        await limited.close();
      }
    });
    it('of a caller are the same ones in every school', async () => {
      const limited = await startTestApi(app.world, routes, { limits: { read: 2 } });
      const as = async (person: string, slug: string) =>
        (
          await app.call('/api/test/tenant', {
            at: limited,
            headers: { authorization: `Bearer ${person}`, 'klar-tenant': slug },
          })
        ).status;
      try {
        const member = await app.world.person();
        assert.deepEqual(
          [await as(member, 'unknown'), await as(member, 'other'), await as(member, app.world.slug)],
          [404, 404, 429],
        );
      } finally {
        await limited.close();
      }
    });
    it('stop looking at credentials of an address that guesses', async () => {
      const limited = await startTestApi(app.world, routes, { badCredentials: 2 });
      const as = (token: string) =>
        app.call('/api/test/tenant', {
          at: limited,
          headers: { authorization: `Bearer ${token}`, 'klar-tenant': app.world.slug },
        });
      try {
        assert.deepEqual(
          [(await as('bad')).status, (await as('bad')).status, (await as('bad')).status],
          [401, 401, 429],
        );
        assert.equal((await as(await app.world.person())).status, 429);
      } finally {
        await limited.close();
      }
    });
  });
});
