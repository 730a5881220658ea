import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { generateSecret, loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { startSandbox } from '../../services/sandbox/main.ts';
import { startIngest } from '../../services/webhook-ingest/main.ts';
import { startWorker } from '../../services/worker/main.ts';
import { startTestApi } from '../support/api.ts';
import { ApiClient } from '../support/client.ts';
import { createTestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { type Conformance, createConformance, type OpenApi } from './conformance.ts';

export const readDocument = async (): Promise<OpenApi> =>
  JSON.parse(await readFile(path.resolve(import.meta.dirname, '../../openapi.json'), 'utf8')) as OpenApi;

/** Api, ingest, worker and sandbox on a real PostgreSQL; every answer to these clients is compared with openapi.json. */
export interface System {
  conformance: Conformance;
  url: string;
  anybody: ApiClient;
  admin: ApiClient;
  /** At the payment page, as the buyer's browser: `checkout/<session>/pay`. */
  atThePage(path: string, body: object): Promise<void>;
  /** The token in the newest mail of a template to an address. */
  mailed(template: string, to: string): Promise<string>;
  asSuperuser(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

export type Made = { id: string };
export type List<T = Made> = { data: T[]; next_cursor: string | null };

/** The first two pages of a list of at least two. */
export async function pages(who: ApiClient, path: string): Promise<void> {
  const first = await who.expect<List>(200, 'GET', `${path}?limit=1`);
  assert.ok(first.next_cursor, path);
  const second = await who.expect<List>(200, 'GET', `${path}?limit=1&cursor=${first.next_cursor}`);
  assert.equal(second.data.length, 1);
  assert.notDeepEqual(second.data, first.data);
}

const STRIPE_KEY = 'sk_test_conformance';

export async function startSystem(): Promise<System> {
  const conformance = createConformance(await readDocument());
  const database = await createTestDatabase();
  const webhookSecret = generateSecret('STRIPE_WEBHOOK_SECRET');
  const log = silentLogger();
  let ingestPort = 0;
  const sandbox = await startSandbox({
    profile: 'test',
    port: 0,
    smtpPort: 0,
    webhookUrl: () => `http://127.0.0.1:${ingestPort}/api/billing/stripe/webhook`,
    webhookSecret: () => webhookSecret,
    stripeSecretKey: STRIPE_KEY,
    clock: { now: () => new Date() },
    log: { info() {}, warn() {}, error() {} },
    webhookRetryMs: [50, 50, 50],
  });
  const { api, url, adminToken } = await startTestApi(database, {
    settings: { STRIPE_SECRET_KEY: STRIPE_KEY, STRIPE_API_BASE: sandbox.url },
  });
  const env = {
    KLAR_PROFILE: 'test',
    INGEST_PORT: '0',
    ADMIN_PORT: '0',
    KLAR_SECRETS_DIR: '/nonexistent',
    DATABASE_URL_INGEST: database.url('klar_ingest'),
    DATABASE_URL_WORKER: database.url('klar_worker'),
    STRIPE_SECRET_KEY: STRIPE_KEY,
    STRIPE_WEBHOOK_SECRET: webhookSecret,
    STRIPE_API_BASE: sandbox.url,
    SMTP_URL: sandbox.smtpUrl,
  };
  const ingest = await startIngest({ settings: loadSettings('webhook-ingest', env), log });
  ingestPort = ingest.port;
  const worker = await startWorker({ settings: loadSettings('worker', env), log });
  const watched = new ApiClient(url, {}, conformance.watch);
  return {
    conformance,
    url,
    anybody: watched,
    admin: watched.with({ token: adminToken }),
    async atThePage(where, body) {
      const response = await fetch(`${sandbox.url}/sandbox/${where}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (!response.ok) throw new Error(`${where}: ${response.status} ${await response.text()}`);
    },
    mailed: (template, to) =>
      until(
        async () => {
          // The link is in the mail that arrived: the row forgets it once it is sent.
          const answer = await fetch(`${sandbox.url}/sandbox/mail?to=${encodeURIComponent(to)}`);
          const { data } = (await answer.json()) as { data: { text?: string; subject?: string }[] };
          const tokens = data.map(
            ({ text }) => new RegExp(`${template}#token=([A-Za-z0-9._~%-]+)`).exec(text ?? '')?.[1],
          );
          const token = tokens.findLast((one) => one !== undefined);
          return token === undefined ? undefined : decodeURIComponent(token);
        },
        { what: `mail ${template} to ${to}`, timeoutMs: 10_000 },
      ),
    asSuperuser: database.asSuperuser,
    async close() {
      await Promise.all([api.stop(), ingest.stop(), worker.stop()]);
      await sandbox.stop();
      await database.close();
    },
  };
}
