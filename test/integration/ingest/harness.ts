import { type Environment, loadSettings } from '#platform/config/index.ts';
import { silentLogger } from '#platform/log/index.ts';
import { type RunningIngest, startIngest } from '../../../services/webhook-ingest/main.ts';
import type { TestDatabase } from '../../support/database.ts';
import { stripeEvent, stripeSignature } from '../../unit/ingest/signature.ts';

export const SECRET = 'whsec_current_for_tests';
export const PATH = '/api/billing/stripe/webhook';

export const nowS = (): number => Math.floor(Date.now() / 1_000);

export function ingestEnvironment(database: TestDatabase, more: Record<string, string> = {}): Environment {
  return {
    KLAR_PROFILE: 'test',
    INGEST_PORT: '0',
    ADMIN_PORT: '0',
    DATABASE_URL_INGEST: database.url('klar_ingest'),
    STRIPE_WEBHOOK_SECRET: SECRET,
    KLAR_SECRETS_DIR: '/nonexistent',
    ...more,
  };
}

export function startTestIngest(database: TestDatabase, more: Record<string, string> = {}): Promise<RunningIngest> {
  return startIngest({
    settings: loadSettings('webhook-ingest', ingestEnvironment(database, more)),
    log: silentLogger(),
  });
}

export type Delivery = {
  body?: string | Buffer;
  secret?: string;
  atS?: number;
  /** The whole header, instead of a signature made from the others. */
  signature?: string;
};

/** Sends one webhook as Stripe would. */
export async function deliver(port: number, id: string, delivery: Delivery = {}): Promise<Response> {
  const body = delivery.body ?? stripeEvent(id);
  const signature = delivery.signature ?? stripeSignature(body, delivery.secret ?? SECRET, delivery.atS ?? nowS());
  return fetch(`http://127.0.0.1:${port}${PATH}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'Stripe-Signature': signature },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
}

/** The value of one series of the admin port's metrics; 0 when absent. */
export async function metric(adminPort: number, series: RegExp): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const line = text.split('\n').find((candidate) => series.test(candidate));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}
