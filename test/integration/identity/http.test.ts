import assert from 'node:assert/strict';
import { generateSecret, loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningApi, startApi } from '../../../services/api/main.ts';
import { ApiClient } from '../../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { address, PASSWORD, tokenOf } from './harness.ts';

interface Tokens {
  access_token: string;
  token_type: string;
  expires_in: number;
  refresh_token: string;
}

describe('identity: the routes', () => {
  let database: TestDatabase;
  let api: RunningApi;
  let client: ApiClient;
  before(async () => {
    database = await createTestDatabase();
    const settings = loadSettings('api', {
      KLAR_PROFILE: 'test',
      KLAR_SECRETS_DIR: '/nonexistent',
      PORT: '0',
      ADMIN_PORT: '0',
      DATABASE_URL_API: database.url('klar_api'),
      DATABASE_URL_AUTH: database.url('klar_auth'),
      AUTH_JWT_KEY: generateSecret('AUTH_JWT_KEY'),
      AUTH_SECRET: generateSecret('AUTH_SECRET'),
      API_SECRET_SALT: generateSecret('API_SECRET_SALT'),
      RATE_LIMIT_AUTH: '100000',
      RATE_LIMIT_BAD_CREDENTIALS: '100000',
    });
    api = await startApi({ settings, log: silentLogger() });
    client = new ApiClient(`http://127.0.0.1:${api.port}`);
  });
  after(async () => {
    await api.stop();
    await database.close();
  });

  const post = <T = Record<string, unknown>>(
    status: number,
    path: string,
    body: unknown = undefined,
    caller = client,
  ) => caller.expect<T>(status, 'POST', path, { body });
  const mail = async (template: string, to: string) =>
    until(async () => {
      const rows = await database.asSuperuser<{ data: { url: string } }>(
        `select data from app.notification_deliveries where template = $1 and to_email = $2`,
        [template, to],
      );
      return rows.at(-1)?.data.url;
    });
  async function enter(email = address()) {
    const { user } = await post<{ user: { id: string; email: string; name: string } }>(201, '/api/auth/register', {
      email,
      password: PASSWORD,
      name: 'Ada Lovelace',
    });
    const tokens = await post<Tokens>(200, '/api/auth/login', { email, password: PASSWORD });
    return { email, user, tokens, caller: client.with({ token: tokens.access_token }) };
  }

  it('answer as the design has it: register, login, refresh, logout', async () => {
    const { email, user, tokens, caller } = await enter();
    assert.deepEqual(user, { id: user.id, email, name: 'Ada Lovelace' });
    assert.deepEqual(Object.keys(tokens).sort(), ['access_token', 'expires_in', 'refresh_token', 'token_type']);
    assert.deepEqual([tokens.token_type, tokens.expires_in], ['Bearer', 300]);
    const { headers, body: next } = await client.call<Tokens>('POST', '/api/auth/refresh', {
      body: { refresh_token: tokens.refresh_token },
    });
    assert.equal(headers.get('cache-control'), 'no-store');
    const list = await caller.expect<{ data: { current: boolean }[]; next_cursor: null }>(
      200,
      'GET',
      '/api/auth/sessions',
    );
    assert.deepEqual(
      list.data.map(({ current }) => current),
      [true],
    );
    assert.equal(list.next_cursor, null);
    await post(204, '/api/auth/logout', undefined, caller);
    for (const token of [tokens.access_token, next.access_token]) {
      const { status, body, headers } = await client.with({ token }).call('GET', '/api/auth/sessions');
      assert.deepEqual([status, body.code], [401, 'session_ended']);
      assert.match(headers.get('www-authenticate') ?? '', /Bearer/);
    }
    await post(401, '/api/auth/refresh', { refresh_token: next.refresh_token });
  });

  it('verify an address and reset a password with the tokens of the mails', async () => {
    const { email, tokens, caller } = await enter();
    await post(202, '/api/auth/verify-email/request', undefined, caller);
    await post(204, '/api/auth/verify-email', { token: tokenOf(await mail('auth.verify_email', email)) });
    await post(422, '/api/auth/verify-email', { token: 'nonsense' });
    const known = await client.call('POST', '/api/auth/password/forgot', { body: { email } });
    const unknown = await client.call('POST', '/api/auth/password/forgot', { body: { email: address() } });
    assert.deepEqual([known.status, known.body], [unknown.status, unknown.body]);
    await post(204, '/api/auth/password/reset', {
      token: tokenOf(await mail('auth.reset_password', email)),
      password: 'a new passphrase',
    });
    await post(401, '/api/auth/refresh', { refresh_token: tokens.refresh_token });
    await post(401, '/api/auth/login', { email, password: PASSWORD });
    await post(200, '/api/auth/login', { email, password: 'a new passphrase' });
  });

  it('ask for a second factor with a challenge', async () => {
    const { email, user, caller } = await enter();
    const setup = await post<{ totp_uri: string; backup_codes: string[] }>(
      200,
      '/api/auth/two-factor/enable',
      { password: PASSWORD },
      caller,
    );
    await database.asSuperuser(`update auth.two_factors set verified = true where person_id = $1`, [user.id]);
    await database.asSuperuser(`update auth.people set two_factor_enabled = true where id = $1`, [user.id]);
    const refusal = await post<{ code: string; challenge: string; methods: string[] }>(401, '/api/auth/login', {
      email,
      password: PASSWORD,
    });
    assert.equal(refusal.code, 'second_factor_required');
    await post(401, '/api/auth/login/second-factor', { challenge: refusal.challenge, code: '000000' });
    await post(200, '/api/auth/login/second-factor', { challenge: refusal.challenge, code: setup.backup_codes[0] });
    await post(204, '/api/auth/two-factor/disable', { password: PASSWORD }, caller);
    await post(200, '/api/auth/login', { email, password: PASSWORD });
  });

  it('refuse a taken address, a bad password change, a foreign session, and everything without a token', async () => {
    const { email, caller } = await enter();
    assert.equal((await post(409, '/api/auth/register', { email, password: PASSWORD, name: 'M' })).code, 'email_taken');
    assert.equal(
      (await post(403, '/api/auth/password/change', { current_password: 'wrong', new_password: 'long enough' }, caller))
        .code,
      'wrong_password',
    );
    const stranger = await enter();
    const list = await stranger.caller.expect<{ data: { id: string }[] }>(200, 'GET', '/api/auth/sessions');
    const foreign = await caller.call('DELETE', `/api/auth/sessions/${list.data[0]?.id}`);
    const unknown = await caller.call('DELETE', '/api/auth/sessions/ses_00000000000070008000000000000000');
    const strip = ({ status, body: { request_id: _r, instance: _i, ...rest } }: typeof foreign) => ({ status, rest });
    assert.equal(foreign.status, 404);
    assert.deepEqual(strip(foreign), strip(unknown));
    for (const path of ['logout', 'logout-all', 'verify-email/request', 'password/change', 'two-factor/enable']) {
      await post(401, `/api/auth/${path}`, {});
    }
    await post(400, '/api/auth/register', { email, password: PASSWORD, name: 'M', role: 'admin' });
  });

  it('publish the public keys, and only those', async () => {
    const { keys } = await client.expect<{ keys: Record<string, string>[] }>(200, 'GET', '/api/auth/jwks');
    assert.equal(keys.length, 1);
    assert.equal(keys[0]?.crv, 'Ed25519');
    assert.equal(keys[0]?.d, undefined);
  });
});
