import type Stripe from 'stripe';
import { startRig, stripeAt } from '../../integration/sandbox/start-sandbox.ts';

/** A server that speaks Stripe's API: the sandbox, or Stripe itself. */
export type Provider = { stripe: Stripe; url: string; stop(): Promise<void> };

/**
 * Stripe itself when `STRIPE_SECRET_KEY` holds a test key (or the server at `STRIPE_API_BASE`), else the sandbox. The
 * same suite for all is what makes the sandbox worth testing against.
 */
export async function startProvider(): Promise<Provider> {
  const key = process.env.STRIPE_SECRET_KEY;
  if (key) {
    if (!/^(sk|rk)_test_/.test(key))
      throw new Error('STRIPE_SECRET_KEY must be a test key: this suite pays and refunds.');
    const url = process.env.STRIPE_API_BASE ?? 'https://api.stripe.com';
    return { stripe: stripeAt(url, key, { maxNetworkRetries: 2 }), url, stop: async () => {} };
  }
  const rig = await startRig({ rateLimitPerSecond: 10_000 });
  return { stripe: rig.stripe, url: rig.url, stop: rig.stop };
}

/** The refusal a call ends in. */
export { refusal } from '../../integration/sandbox/refusal.ts';

/** A key no earlier run has used: Stripe remembers them for a day. */
export const freshKey = (): string => `klar-contract-${crypto.randomUUID()}`;
