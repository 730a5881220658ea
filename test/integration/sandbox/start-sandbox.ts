import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import Stripe from 'stripe';
import { type Sandbox, type SandboxInput, startSandbox } from '../../../services/sandbox/main.ts';

export const SECRET_KEY = 'sk_test_sandboxtests';
export const WEBHOOK_SECRET = 'whsec_sandboxtests';

/** A webhook as it arrived. */
export type Received = { headers: IncomingHttpHeaders; body: string; event: Stripe.Event };

export type Receiver = {
  url: string;
  received: Received[];
  /** Types in the order of arrival. */
  types(): string[];
  /** What to answer; 200 unless set. Undefined: never. */
  answer: (request: Received) => number | undefined;
  stop(): Promise<void>;
};

/** An endpoint that keeps what it is sent. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const one = { headers: request.headers, body, event: JSON.parse(body) as Stripe.Event };
      received.push(one);
      const status = receiver.answer(one);
      if (status !== undefined) response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    types: () => received.map(({ event }) => event.type),
    answer: () => 200,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

/** The SDK, pointed at a server the way Klar points it with STRIPE_API_BASE. */
export function stripeAt(url: string, key = SECRET_KEY, extra: object = {}): Stripe {
  const { hostname, port, protocol } = new URL(url);
  return new Stripe(key, {
    host: hostname,
    ...(port ? { port: Number(port) } : {}),
    protocol: protocol === 'https:' ? 'https' : 'http',
    maxNetworkRetries: 0,
    telemetry: false,
    ...extra,
  });
}

export type Rig = Sandbox & {
  stripe: Stripe;
  receiver: Receiver;
  /** JSON of the control API. */
  control(method: string, path: string, body?: unknown): Promise<{ status: number; body: Any }>;
};
// biome-ignore lint/suspicious/noExplicitAny: answers of the control API are looked into freely by tests
export type Any = any;

/** A sandbox on free ports with a webhook receiver. */
export async function startRig(overrides: Partial<SandboxInput> = {}): Promise<Rig> {
  const receiver = await startReceiver();
  const sandbox = await startSandbox({
    profile: 'test',
    port: 0,
    smtpPort: 0,
    webhookUrl: receiver.url,
    webhookSecret: () => WEBHOOK_SECRET,
    stripeSecretKey: SECRET_KEY,
    clock: { now: () => new Date() },
    log: { info() {}, warn() {}, error() {} },
    webhookRetryMs: [20, 40],
    ...overrides,
  });
  return {
    ...sandbox,
    receiver,
    stripe: stripeAt(sandbox.url),
    async control(method, path, body) {
      const answer = await fetch(`${sandbox.url}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      return { status: answer.status, body: await answer.json() };
    },
    async stop() {
      await sandbox.stop();
      await receiver.stop();
    },
  };
}

/** A course for sale, as Klar's gateway would ask. */
export const courseSession = (
  extra: Partial<Stripe.Checkout.SessionCreateParams> = {},
): Stripe.Checkout.SessionCreateParams => ({
  mode: 'payment',
  line_items: [
    { quantity: 1, price_data: { currency: 'usd', unit_amount: 4900, product_data: { name: 'Khmer for beginners' } } },
  ],
  success_url: 'http://127.0.0.1:9/done?session={CHECKOUT_SESSION_ID}',
  cancel_url: 'http://127.0.0.1:9/canceled',
  client_reference_id: 'ord_1',
  metadata: { order_id: 'ord_1' },
  payment_intent_data: { metadata: { order_id: 'ord_1' } },
  ...extra,
});
