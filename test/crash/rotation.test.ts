import assert from 'node:assert/strict';
import { killEverywhere } from '../support/rotation/kill.ts';
import { openStage, type Stage, startClient } from '../support/rotation/stage.ts';

describe('a reconciler killed with kill -9 at every step', function () {
  this.timeout(600_000);
  let stage: Stage;
  before(async () => {
    stage = await openStage();
  });
  after(() => stage.close());

  it('rotates ADMIN_TOKEN: no client is refused, and the old token is dead', async () => {
    const old = await stage.current('ADMIN_TOKEN');
    const clients = stage.apis.map((api) =>
      startClient(async () => {
        const token = await stage.current('ADMIN_TOKEN');
        const { status } = await api.anybody.with({ token }).call('GET', '/api/ops/metrics');
        return status === 200 ? undefined : `${status}`;
      }),
    );
    await killEverywhere(stage, 'ADMIN_TOKEN');
    for (const client of clients) {
      const { asked, refused } = await client.stop();
      assert.deepEqual(refused, []);
      assert.ok(asked > 100);
    }
    for (const api of stage.apis) {
      assert.equal((await api.anybody.with({ token: old }).call('GET', '/api/ops/metrics')).status, 401);
    }
  });

  it('rotates AUTH_JWT_KEY: nobody is logged out, and tokens under the old key are dead', async () => {
    const [first, second] = stage.apis;
    assert.ok(first && second);
    const person = { email: 'rotation@example.com', password: 'a long password of a test' };
    await first.anybody.expect(201, 'POST', '/api/auth/register', { body: { ...person, name: 'P' } });
    type Tokens = { access_token: string; refresh_token: string };
    let tokens = await first.anybody.expect<Tokens>(200, 'POST', '/api/auth/login', { body: person });
    const veryFirst = tokens.access_token;
    let at = performance.now();
    const client = startClient(async () => {
      // Real tokens live for less than the rotation waits; here that is a second.
      if (performance.now() - at > 300) {
        at = performance.now();
        const body = { refresh_token: tokens.refresh_token };
        tokens = await first.anybody.expect<Tokens>(200, 'POST', '/api/auth/refresh', { body });
      }
      for (const api of [first, second]) {
        const { status, body } = await api.anybody.with({ token: tokens.access_token }).call('GET', '/api/me');
        if (status !== 200) return `${status} ${JSON.stringify(body)}`;
      }
      return undefined;
    });
    await killEverywhere(stage, 'AUTH_JWT_KEY');
    const { asked, refused } = await client.stop();
    assert.deepEqual(refused, []);
    assert.ok(asked > 100);
    for (const api of stage.apis) {
      const answer = await api.anybody.with({ token: veryFirst }).call('GET', '/api/me');
      assert.deepEqual([answer.status, answer.body.code], [401, 'invalid_token']);
    }
  });

  it('rotates API_SECRET_SALT: API keys of before, and those made meanwhile, work throughout', async () => {
    const [first, second] = stage.apis;
    assert.ok(first && second);
    const person = { email: 'school@example.com', password: 'a long password of a test' };
    await first.anybody.expect(201, 'POST', '/api/auth/register', { body: { ...person, name: 'S' } });
    const { access_token: token } = await first.anybody.expect<{ access_token: string }>(
      200,
      'POST',
      '/api/auth/login',
      {
        body: person,
      },
    );
    await first.anybody
      .with({ token })
      .expect(201, 'POST', '/api/tenants', { body: { name: 'S', slug: 'salt-school' } });
    const owner = first.anybody.with({ token, tenant: 'salt-school' });
    const keys: string[] = [];
    const make = async () => {
      const made = await owner.call<{ key: string }>('POST', '/api/api-keys', { body: { name: 'k' } });
      // The owner's token ends after five minutes; keys that are there go on.
      if (made.status === 201) keys.push(made.body.key);
    };
    await make();
    let made = performance.now();
    const client = startClient(async () => {
      if (performance.now() - made > 500 && keys.length < 60) {
        made = performance.now();
        await make();
      }
      for (const key of [keys[0], keys.at(-1)]) {
        for (const api of [first, second]) {
          const { status, body } = await api.anybody.with({ token: key ?? '' }).call('GET', '/api/courses');
          if (status !== 200) return `${status} ${JSON.stringify(body)}`;
        }
      }
      return undefined;
    });
    await killEverywhere(stage, 'API_SECRET_SALT');
    const { asked, refused } = await client.stop();
    assert.deepEqual(refused, []);
    assert.ok(asked > 50 && keys.length > 3);
    for (const key of keys)
      assert.equal((await second.anybody.with({ token: key }).call('GET', '/api/courses')).status, 200);
    const rows = await stage.database.asSuperuser<{ generation: string }>(
      `select distinct split_part(sealed_hash, '$', 1) as generation from app.api_keys`,
    );
    assert.deepEqual(rows, [{ generation: `v${(await stage.slots('API_SECRET_SALT')).current.generation}` }]);
  });
});
