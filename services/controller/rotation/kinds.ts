import type { Kind } from '#domain/secrets/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Settings } from '#platform/config/index.ts';
import type { KindAdapter } from './kind.ts';
import { adminTokenKind } from './kind-admin-token.ts';
import { jwtKeyKind } from './kind-jwt-key.ts';
import { type LivekitInput, livekitKeyKind } from './kind-livekit-key.ts';
import { pepperKind } from './kind-pepper.ts';
import { postgresKind } from './kind-postgres.ts';
import { type StripeWebhookInput, stripeWebhookKind } from './kind-stripe-webhook.ts';

/** What this installation can rotate. A kind whose provider is not set up is missing, and is said to be. */
export function createKinds(input: {
  /** Where our own public interface is reached, to use values as clients do. */
  apiBase: string;
  issuer: string;
  clock: Clock;
  /** Absent: Stripe is not set up here. */
  stripe?: Omit<StripeWebhookInput, 'clock'> | undefined;
  /** Absent: LiveKit is not, or its key file is out of reach. */
  livekit?: LivekitInput | undefined;
}): Readonly<Record<Kind, KindAdapter | undefined>> {
  return {
    'admin-token': adminTokenKind(input.apiBase),
    'jwt-key': jwtKeyKind(input),
    'api-key-pepper': pepperKind(),
    'postgres-login': postgresKind(),
    'stripe-webhook': input.stripe && stripeWebhookKind({ ...input.stripe, clock: input.clock }),
    'livekit-key': input.livekit && livekitKeyKind(input.livekit),
    manual: undefined,
  };
}

const STRIPE = 'https://api.stripe.com';
const WEBHOOK_PATH = '/api/billing/stripe/webhook';

/** What the kinds need, from the settings of a process. */
export function kindSettings(settings: Settings): Omit<Parameters<typeof createKinds>[0], 'clock'> {
  const base = settings.PUBLIC_BASE_URL;
  const key = settings.STRIPE_ROTATION_KEY;
  const { LIVEKIT_URL: url, LIVEKIT_KEY_FILE: keyFile } = settings;
  return {
    livekit: url && keyFile ? { url, keyFile, apiKey: () => settings.LIVEKIT_API_KEY?.current() } : undefined,
    apiBase: settings.KLAR_ROTATION_API_URL ?? base,
    issuer: base,
    stripe: key && {
      apiKey: () => key.current(),
      apiBase: settings.STRIPE_API_BASE ?? STRIPE,
      webhookUrl: `${base}${WEBHOOK_PATH}`,
      probeUrl: `${settings.KLAR_ROTATION_INGEST_URL ?? base}${WEBHOOK_PATH}`,
    },
  };
}
