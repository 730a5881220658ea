import assert from 'node:assert/strict';
import supertest from 'supertest';
import type { RunningApi } from '../../../services/api/main.ts';
import { startTestApi } from '../../support/api.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const PAGES = ['/', '/verify-email', '/reset-password', '/accept-invitation', '/checkout/return', '/checkout/cancel'];
const PARTS = ['/style.css', '/form.js', '/favicon.svg'];

describe('the pages', () => {
  let database: TestDatabase;
  let api: RunningApi;
  before(async () => {
    database = await createTestDatabase();
    ({ api } = await startTestApi(database));
  });
  after(async () => {
    await api.stop();
    await database.close();
  });
  const get = (path: string) => supertest(api.listener).get(path);

  for (const path of [...PAGES, ...PARTS]) {
    it(`${path} carries the security headers`, async () => {
      const { headers } = await get(path).expect(200);
      const policy = headers['content-security-policy'] ?? '';
      assert.match(policy, /default-src 'none'|default-src 'self'/);
      assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|\*/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.ok(headers['referrer-policy'], 'referrer-policy');
      assert.equal(headers['x-powered-by'], undefined);
    });
  }

  for (const path of PAGES) {
    it(`${path} is HTML without inline code, and all it loads is here`, async () => {
      const { text, headers } = await get(path).expect(200);
      assert.match(headers['content-type'] ?? '', /^text\/html/);
      assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/i);
      for (const [, address = ''] of text.matchAll(/(?:src|href)="?([^"\s>]+)/g)) {
        assert.doesNotMatch(address, /^(https?:)?\/\//, `${path} loads ${address} from elsewhere`);
        if (address.startsWith('/')) await get(address).expect(200);
      }
    });
  }

  it('leaves nothing of the folder above to be read', async () => {
    for (const path of [
      '/../package.json',
      '/..%2fpackage.json',
      '/%2e%2e/%2e%2e/package.json',
      '/.env',
      '/..%5cpackage.json',
    ]) {
      const { status } = await get(path);
      assert.ok(status === 404 || status === 400, `${path} answered ${status}`);
    }
  });
});
