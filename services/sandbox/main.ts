import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '#platform/clock/index.ts';
import { ConfigError, loadSettings } from '#platform/config/index.ts';
import { runMain } from '#platform/lifecycle/index.ts';
import { createLogger } from '#platform/log/index.ts';
import { createSandboxApp } from './app.ts';
import { createFaults } from './faults.ts';
import { startSmtp } from './mail/smtp.ts';
import type { SandboxLog } from './records.ts';
import { createRequestsLog } from './requests-log.ts';
import { type Clock, createSandboxClock } from './sandbox-clock.ts';
import { openStore } from './store.ts';
import { pruneEvents } from './stripe/emit.ts';
import { pruneKeys } from './stripe/idempotency.ts';
import { passTime } from './stripe/session-expiry.ts';
import { NOBODY, type World } from './stripe/world.ts';
import { createDeliverer, type Target } from './webhooks/deliverer.ts';

/** What the sandbox is started with. Ports of 0 mean any free one. */
export type SandboxInput = {
  /** `KLAR_PROFILE`; staging and production are refused. */
  profile: string;
  port: number;
  smtpPort: number;
  /** Loopback unless said: whoever reaches the sandbox can pay and read mail. */
  host?: string;
  /** Where events go; a function when the port is known only later. */
  webhookUrl: string | undefined | (() => string | undefined);
  /** The secret, or secrets while one is rolled, asked for each delivery. */
  webhookSecret: () => string | readonly string[];
  stripeSecretKey: string | (() => string | readonly string[]);
  /** Where state is kept; absent = in memory. */
  stateFile?: string | undefined;
  clock: Clock;
  log: SandboxLog;
  /** Where people reach it, when not at its own address. */
  publicUrl?: string | undefined;
  /** Stripe allows 100 calls a second. */
  rateLimitPerSecond?: number;
  /** How long a delayed payment stays unpaid, in milliseconds. */
  delayedSettleMs?: number;
  webhookRetryMs?: readonly number[];
  webhookTimeoutMs?: number;
};

export type Sandbox = {
  port: number;
  smtpPort: number;
  url: string;
  smtpUrl: string;
  /** Resolves when no webhook is being sent or waits to be. */
  idle(): Promise<void>;
  stop(): Promise<void>;
};

const RETRY_MS = [500, 1000, 2000, 5000, 10_000, 30_000, 60_000];
const TICK_MS = 250;
const PRUNE_MS = 60_000;

/**
 * Starts the stand-ins for Stripe and SMTP.
 * @throws ConfigError under a profile that must talk to the real providers.
 */
export async function startSandbox(input: SandboxInput): Promise<Sandbox> {
  refuseProduction(input.profile);
  const { log, host = '127.0.0.1' } = input;
  const store = openStore({ file: input.stateFile, log });
  const clock = createSandboxClock(input.clock, store);
  const faults = createFaults();
  const requests = createRequestsLog();
  const webhookUrl = () => (typeof input.webhookUrl === 'function' ? input.webhookUrl() : input.webhookUrl);
  let url = '';
  let smtpUrl = '';
  const deliverer = createDeliverer({
    store,
    clock,
    faults,
    log,
    targets: () => targetsOf(store, webhookUrl(), many(input.webhookSecret())),
    retryDelaysMs: input.webhookRetryMs ?? RETRY_MS,
    timeoutMs: input.webhookTimeoutMs ?? 10_000,
  });
  const world: World = {
    store,
    clock,
    log,
    publicUrl: () => input.publicUrl ?? url,
    delayedSettleMs: input.delayedSettleMs ?? 3000,
    lookedAt: 0,
    cause: NOBODY,
    onEvent: (id) => deliverer.announce(id),
  };
  const { stripeSecretKey: key } = input;
  const app = createSandboxApp({
    world,
    faults,
    requests,
    deliverer,
    secretKeys: () => many(typeof key === 'function' ? key() : key),
    rateLimitPerSecond: input.rateLimitPerSecond ?? 100,
    smtpUrl: () => smtpUrl,
    webhookUrl,
  });
  const server = createServer(app);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(input.port, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  url = `http://${shown(host)}:${port}`;
  const smtp = await startSmtp({ host, port: input.smtpPort, store, clock, faults, log }).catch((error) => {
    server.close();
    store.close();
    throw error;
  });
  smtpUrl = `smtp://${shown(host)}:${smtp.port}`;
  const tick = setInterval(() => passTime(world), TICK_MS);
  const prune = setInterval(() => {
    pruneEvents(world);
    pruneKeys(world);
  }, PRUNE_MS);
  deliverer.resume();

  return {
    port,
    smtpPort: smtp.port,
    url: world.publicUrl(),
    smtpUrl,
    idle: () => deliverer.idle(),
    async stop() {
      clearInterval(tick);
      clearInterval(prune);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([closed, smtp.stop(), deliverer.stop()]);
      store.close();
    },
  };
}

/** A profile that serves people must never take play money for money. */
function refuseProduction(profile: string): void {
  if (profile !== 'staging' && profile !== 'production') return;
  throw new ConfigError('the sandbox', [
    {
      name: 'KLAR_PROFILE',
      problem: `${profile} refuses the sandbox: it would call anything paid`,
      mend: 'give STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET and SMTP_URL of the real providers and leave the sandbox out, or set KLAR_PROFILE to development, test or demo',
    },
  ]);
}

function targetsOf(store: ReturnType<typeof openStore>, url: string | undefined, secrets: readonly string[]): Target[] {
  const configured = url ? [{ id: 'we_sandbox_settings', url, secrets, types: ['*'] }] : [];
  const created = store
    .all('endpoints')
    .filter((record) => record.endpoint.status === 'enabled')
    .map((record) => ({
      id: record.id,
      url: record.endpoint.url,
      secrets: [record.secret],
      types: record.endpoint.enabled_events,
    }));
  return [...configured, ...created];
}

const many = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value);
/** An address that can be typed into a browser. */
const shown = (host: string): string => (host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host);

/** The sandbox as a process of its own, for compose and for whoever wants the provider apart from the system. */
async function startAlone(): Promise<Sandbox> {
  const { values } = parseArgs({
    options: { host: { type: 'string' }, 'webhook-url': { type: 'string' }, 'public-url': { type: 'string' } },
  });
  const settings = loadSettings('all-in-one');
  const missing = (['STRIPE_SECRET_KEY', 'STRIPE_WEBHOOK_SECRET'] as const).filter((name) => !settings[name]);
  if (missing.length > 0) {
    throw new ConfigError(
      'the sandbox',
      missing.map((name) => ({
        name,
        problem: 'the sandbox alone makes no secrets of its own',
        mend: 'give it the value that the api and webhook-ingest have',
      })),
    );
  }
  return startSandbox({
    profile: settings.KLAR_PROFILE,
    port: settings.SANDBOX_PORT,
    smtpPort: settings.SANDBOX_MAIL_PORT,
    ...(values.host ? { host: values.host } : {}),
    publicUrl: values['public-url'],
    webhookUrl: values['webhook-url'] ?? `http://127.0.0.1:${settings.PORT}/api/billing/stripe/webhook`,
    webhookSecret: () => settings.STRIPE_WEBHOOK_SECRET?.accepted().map((secret) => secret.value) ?? [],
    stripeSecretKey: () => settings.STRIPE_SECRET_KEY?.accepted().map((secret) => secret.value) ?? [],
    stateFile: join(settings.KLAR_DATA_DIR, 'sandbox.json'),
    clock: systemClock,
    log: createLogger({ process: 'sandbox', level: settings.LOG_LEVEL }),
  });
}

if (import.meta.main) await runMain(startAlone);
