import assert from 'node:assert/strict';
import type { RunningApi } from '../../../services/api/main.ts';
import { startTestApi } from '../../support/api.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('the api as it is started', () => {
  let adminToken = '';
  let database: TestDatabase;
  let api: RunningApi;
  let url: string;
  before(async () => {
    database = await createTestDatabase();
    ({ api, url, adminToken } = await startTestApi(database));
  });
  after(async () => {
    await api.stop();
    await database.close();
  });

  it('is ready', async () => {
    const response = await fetch(`${url}/api/ready`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { ok: true, checks: { schema: { ok: true }, database: { ok: true } } });
  });

  it('gives the system’s numbers to the admin token, and asks everybody else for it', async () => {
    const numbers = await fetch(`${url}/api/ops/metrics`, { headers: { authorization: `Bearer ${adminToken}` } });
    assert.equal(numbers.status, 200);
    assert.deepEqual(Object.keys((await numbers.json()) as object).slice(0, 5), [
      'worker_heartbeat_age_s',
      'webhook_failures_1h',
      'jobs_failed_1h',
      'queue_depth',
      'dead_letters',
    ]);
    for (const authorization of [undefined, 'Bearer wrong', `Bearer ${adminToken}x`, `Basic ${adminToken}`]) {
      const refused = await fetch(`${url}/api/ops/metrics`, {
        headers: new Headers(authorization ? { authorization } : {}),
      });
      assert.equal(refused.status, 401, authorization ?? 'none');
    }
  });

  it('serves its document, its pages without inline code, and problems for what is neither', async () => {
    const document = (await (await fetch(`${url}/api/openapi.json`)).json()) as { openapi: string };
    assert.equal(document.openapi, '3.1.0');
    for (const page of [
      '/',
      '/checkout/return',
      '/verify-email',
      '/reset-password',
      '/accept-invitation',
      '/checkout/cancel',
    ]) {
      const response = await fetch(`${url}${page}`);
      const html = await response.text();
      assert.equal(response.status, 200, page);
      assert.match(response.headers.get('content-type') ?? '', /^text\/html/);
      assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/, page);
      for (const [, asset] of html.matchAll(/(?:src|href)="(\/[^"]*)"/g)) {
        if (asset?.startsWith('/api')) continue;
        assert.equal((await fetch(`${url}${asset}`)).status, 200, `${asset} of ${page}`);
      }
    }
    assert.equal((await fetch(`${url}/nothing`)).headers.get('content-type'), 'application/problem+json');
    assert.equal((await fetch(`${url}/..%2fpackage.json`)).status, 404);
  });
});
