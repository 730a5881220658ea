import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadSettings } from '#platform/config/index.ts';
import { newId } from '#platform/ids/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { startIngest } from '../../../services/webhook-ingest/main.ts';
import { startWorker } from '../../../services/worker/main.ts';
import { startTestApi } from '../../support/api.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { json, sample } from '../../unit/flags/documents.ts';
import { countingHandler, createRig } from '../webhooks/rig.ts';

describe('switches in the processes', () => {
  let database: TestDatabase;
  let folder: string;
  let file: string;
  before(async () => {
    database = await createTestDatabase();
    folder = mkdtempSync(path.join(tmpdir(), 'klar-switches-'));
    file = path.join(folder, 'flags.json');
  });
  after(async () => {
    await database.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const put = (flag: string, change: object) => {
    const document = sample();
    Object.assign(document.flags[flag] as object, change);
    writeFileSync(file, json(document));
  };
  const versionz = async (adminPort: number) =>
    (await (await fetch(`http://127.0.0.1:${adminPort}/versionz`)).json()) as { flags: Record<string, unknown> };

  it('stop new checkout sessions, for everybody or for one school, and say so', async () => {
    put('checkout-enabled', { defaultVariant: 'on' });
    const { api, anybody } = await startTestApi(database, { settings: { KLAR_FLAGS_FILE: file } });
    try {
      const { client: owner } = await anybody.register('flag-owner');
      const schools = await Promise.all(
        ['flag-one', 'flag-two'].map((slug) =>
          owner.expect<{ id: string; slug: string }>(201, 'POST', '/api/tenants', { body: { name: slug, slug } }),
        ),
      );
      const [one, two] = schools as [{ id: string; slug: string }, { id: string; slug: string }];
      const checkout = async ({ slug }: { slug: string }) => {
        const answer = await owner
          .with({ tenant: slug })
          .call('POST', '/api/payments/stripe/create-session', { body: { order_id: newId('ord') } });
        return [answer.status, answer.body.code, answer.headers.get('retry-after')];
      };
      const off = [503, 'checkout_disabled', '60'];
      const on = [404, 'not_found', null];
      deepEqual(await checkout(one), on);
      put('checkout-enabled', { defaultVariant: 'off' });
      await until(async () => (await checkout(one))[0] === 503);
      deepEqual([await checkout(one), await checkout(two)], [off, off]);
      put('checkout-enabled', { targeting: { if: [{ '==': [{ var: 'tenantId' }, one.id] }, 'off'] } });
      await until(async () => (await checkout(two))[0] === 404);
      deepEqual([await checkout(one), await checkout(two)], [off, on]);
      const { flags } = await versionz(api.adminPort);
      deepEqual([flags.source, flags.sequence, flags.problem], ['file', null, null]);
      match(String(flags.version), /^[0-9a-f]{12}$/);
      match(String(flags.since), /^\d{4}-/);
    } finally {
      await api.stop();
    }
  });

  it('leave received events claimable and untouched, until they are on again', async () => {
    put('webhook-handling-enabled', { defaultVariant: 'off' });
    const rig = createRig(database);
    const tenant = newId('ten');
    const worker = await startWorker({
      settings: loadSettings('worker', {
        KLAR_PROFILE: 'test',
        ADMIN_PORT: '0',
        DATABASE_URL_WORKER: database.url('klar_worker'),
        STRIPE_SECRET_KEY: 'sk_test_worker',
        KLAR_SECRETS_DIR: '/nonexistent',
        KLAR_FLAGS_FILE: file,
      }),
      log: silentLogger(),
      handlers: () => ({ events: [countingHandler()], queues: [] }),
    });
    try {
      await rig.map('obj_evt_off', tenant);
      await rig.store('evt_off');
      worker.wake();
      // Routed in the turn in which it would have been claimed.
      await until(async () => (await rig.event('evt_off')).tenant_id === tenant);
      worker.wake();
      await new Promise((resolve) => setTimeout(resolve, 600));
      const waiting = await rig.event('evt_off');
      deepEqual([waiting.state, waiting.attempts], ['ready', 0]);
      equal(typeof (await versionz(worker.adminPort)).flags.version, 'string');
      put('webhook-handling-enabled', { defaultVariant: 'on' });
      await until(async () => (await rig.event('evt_off')).state === 'done');
    } finally {
      await worker.stop();
    }
  });

  it('are shown by webhook-ingest, too', async () => {
    put('checkout-enabled', { defaultVariant: 'on' });
    const ingest = await startIngest({
      settings: loadSettings('webhook-ingest', {
        KLAR_PROFILE: 'test',
        INGEST_PORT: '0',
        ADMIN_PORT: '0',
        DATABASE_URL_INGEST: database.url('klar_ingest'),
        STRIPE_WEBHOOK_SECRET: 'whsec_of_a_test_that_is_long_enough',
        KLAR_SECRETS_DIR: '/nonexistent',
        KLAR_FLAGS_FILE: file,
      }),
      log: silentLogger(),
    });
    try {
      match(String((await versionz(ingest.adminPort)).flags.version), /^[0-9a-f]{12}$/);
    } finally {
      await ingest.stop();
    }
  });
});
