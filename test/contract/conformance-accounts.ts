import assert from 'node:assert/strict';
import { totp } from '../support/totp.ts';
import { type List, type Made, pages, type System } from './conformance-system.ts';

type Tokens = { access_token: string; refresh_token: string };

/** What a person does with their own account. */
export const ACCOUNTS: Record<string, (system: System) => Promise<void>> = {
  async 'addresses, passwords, sessions'({ anybody, mailed }: System) {
    const { client, email, password, refreshToken } = await anybody.register('ada');
    const person = { email, password, name: 'Ada' };
    await anybody.expect(409, 'POST', '/api/auth/register', { body: person });
    await anybody.expect(422, 'POST', '/api/auth/register', { body: { ...person, email: 'a..b@example.com' } });
    await client.expect(202, 'POST', '/api/auth/verify-email/request');
    const token = await mailed('verify-email', email);
    await anybody.expect(204, 'POST', '/api/auth/verify-email', { body: { token } });
    await anybody.expect(422, 'POST', '/api/auth/verify-email', { body: { token: 'none' } });
    const again = await anybody.expect<Tokens>(200, 'POST', '/api/auth/refresh', {
      body: { refresh_token: refreshToken },
    });
    await anybody.expect(401, 'POST', '/api/auth/refresh', { body: { refresh_token: 'none' } });
    const next = 'another good passphrase';
    await client.expect(403, 'POST', '/api/auth/password/change', {
      body: { current_password: next, new_password: next },
    });
    await client.expect(204, 'POST', '/api/auth/password/change', {
      body: { current_password: password, new_password: next },
    });
    await anybody.expect(202, 'POST', '/api/auth/password/forgot', { body: { email } });
    const reset = await mailed('reset-password', email);
    await anybody.expect(204, 'POST', '/api/auth/password/reset', { body: { token: reset, password } });
    await client.with({ token: again.access_token }).expect(401, 'GET', '/api/me');
    const enter = async () =>
      client.with({
        token: (await anybody.expect<Tokens>(200, 'POST', '/api/auth/login', { body: { email, password } }))
          .access_token,
      });
    const [first, second] = [await enter(), await enter()];
    await first.expect(200, 'GET', '/api/me');
    await pages(first, '/api/auth/sessions');
    const { data } = await first.expect<List<Made & { current: boolean }>>(200, 'GET', '/api/auth/sessions');
    const other = data.find(({ current }) => !current);
    await first.expect(204, 'DELETE', `/api/auth/sessions/${other?.id}`);
    await first.expect(404, 'DELETE', `/api/auth/sessions/ses_${'0'.repeat(32)}`);
    await first.expect(204, 'POST', '/api/auth/logout');
    const last = await enter();
    await last.expect(204, 'POST', '/api/auth/logout-all');
    await second.expect(401, 'GET', '/api/me');
  },

  async 'a second factor'({ anybody }: System) {
    const { client, email, password } = await anybody.register('grace');
    const login = { email, password };
    await client.expect(409, 'POST', '/api/auth/two-factor/confirm', { body: { code: '000000' } });
    const setup = await client.expect<{ totp_uri: string; backup_codes: string[] }>(
      200,
      'POST',
      '/api/auth/two-factor/enable',
      { body: { password } },
    );
    await client.expect(422, 'POST', '/api/auth/two-factor/confirm', { body: { code: 'no code' } });
    await client.expect(204, 'POST', '/api/auth/two-factor/confirm', { body: { code: totp(setup.totp_uri) } });
    const { challenge } = await anybody.expect<{ challenge: string }>(401, 'POST', '/api/auth/login', { body: login });
    const code = totp(setup.totp_uri, 1);
    await anybody.expect(200, 'POST', '/api/auth/login/second-factor', { body: { challenge, code } });
    await client.expect(200, 'POST', '/api/auth/two-factor/backup-codes', { body: { password } });
    await client.expect(204, 'POST', '/api/auth/two-factor/disable', { body: { password } });
  },

  async 'too many guesses, too many mails'({ anybody }: System) {
    const { client, email } = await anybody.register('mallory');
    const answers = new Set<number>();
    for (let i = 0; i < 20 && !answers.has(429); i += 1) {
      const body = { email, password: 'a wrong guess' };
      answers.add((await anybody.call('POST', '/api/auth/login', { body })).status);
    }
    assert.deepEqual([...answers], [401, 429]);
    for (let i = 0; i < 5; i += 1) await client.expect(202, 'POST', '/api/auth/verify-email/request');
    await client.expect(429, 'POST', '/api/auth/verify-email/request');
  },
};
