import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { systemClock } from '#platform/clock/index.ts';
import { ensureSecret, type Settings } from '#platform/config/index.ts';
import { createLogger } from '#platform/log/index.ts';
import type { DataDir } from './data-dir.ts';
import { preferPort } from './ports.ts';
import type { Progress } from './progress.ts';

type Env = Record<string, string | undefined>;

export type LocalSandbox = {
  url: string;
  mailUrl?: string;
  /** Who takes the payments, for the card. */
  payments: string;
  notes: string[];
  /** What the parts need to talk to it. */
  env: Env;
  stop(): Promise<void>;
};

/** Starts the sandbox for the providers that are not set; with Stripe and a mail server set there is none. */
export async function startLocalSandbox(input: {
  env: Env;
  settings: Settings;
  dir: DataDir;
  progress: Progress;
  /** Where the parts will listen. */
  port: number;
  stream: NodeJS.WritableStream;
}): Promise<LocalSandbox | undefined> {
  const { env, settings, dir, port } = input;
  const given = (name: string) => Boolean(env[name] || env[`${name}_FILE`]);
  const ownStripe = given('STRIPE_SECRET_KEY') || given('STRIPE_API_BASE');
  const ownMail = given('SMTP_URL');
  if (!settings.KLAR_SANDBOX || (ownStripe && ownMail)) return undefined;

  const { value: key } = await ensureSecret(dir.sandbox, 'STRIPE_SECRET_KEY');
  const { value: webhookSecret } = await ensureSecret(dir.sandbox, 'STRIPE_WEBHOOK_SECRET');
  const sandboxPort = await preferPort('SANDBOX_PORT', settings.SANDBOX_PORT, given('SANDBOX_PORT'));
  const smtpPort = await preferPort('SANDBOX_MAIL_PORT', settings.SANDBOX_MAIL_PORT, given('SANDBOX_MAIL_PORT'));
  await mkdir(dir.sandbox, { recursive: true });
  const { startSandbox } = await import('../sandbox/main.ts');
  const sandbox = await input.progress.step('Sandbox', () =>
    startSandbox({
      profile: settings.KLAR_PROFILE,
      port: sandboxPort,
      smtpPort,
      webhookUrl: ownStripe ? undefined : `http://127.0.0.1:${port}/api/billing/stripe/webhook`,
      webhookSecret: () => webhookSecret,
      stripeSecretKey: key,
      stateFile: path.join(dir.sandbox, 'state.json'),
      clock: systemClock,
      log: createLogger({
        process: 'sandbox',
        level: settings.LOG_LEVEL,
        redact: () => [key, webhookSecret],
        stream: input.stream,
      }),
    }),
  );
  const stripeEnv = ownStripe
    ? {}
    : { STRIPE_SECRET_KEY: key, STRIPE_WEBHOOK_SECRET: webhookSecret, STRIPE_API_BASE: sandbox.url };
  const notes: string[] = [];
  if (ownStripe && !given('STRIPE_WEBHOOK_SECRET')) {
    notes.push(
      `STRIPE_WEBHOOK_SECRET is not set, so Stripe's events are refused. Forward them with:\n    stripe listen --forward-to localhost:${port}/api/billing/stripe/webhook\n  and start again with the whsec_ it prints.`,
    );
  }
  return {
    url: sandbox.url,
    ...(ownMail ? {} : { mailUrl: `${sandbox.url}/mail` }),
    payments: ownStripe ? 'Stripe, as set in the environment' : `the sandbox's Stripe; card 4242 4242 4242 4242`,
    notes,
    env: { ...stripeEnv, ...(ownMail ? {} : { SMTP_URL: sandbox.smtpUrl }) },
    stop: () => sandbox.stop(),
  };
}
