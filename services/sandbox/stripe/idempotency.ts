import type { IdempotencyRecord } from '../records.ts';
import { StripeRefusal } from './stripe-error.ts';
import type { World } from './world.ts';

/** Stripe forgets keys after at least 24 hours. */
const KEPT_MS = 24 * 3600 * 1000;

/** What a key means for a request: run it, or send the stored answer. */
export type KeyVerdict =
  | { run: true; finish(answer: Answer): void; abandon(): void }
  | { run: false; stored: IdempotencyRecord };

export type Answer = { status: number; body: unknown; request_id: string };

/**
 * Idempotency keys as https://docs.stripe.com/api/idempotent_requests has them: same key and parameters get the first
 * answer, errors included; other parameters or another endpoint a 400; a request still under way a 409.
 */
export function createIdempotency(world: World): (key: string, path: string, fingerprint: string) => KeyVerdict {
  const underWay = new Map<string, string>();
  return (key, path, fingerprint) => {
    const stored = world.store.get('idempotency', key);
    if (stored && stored.expires_at > world.clock.nowMs()) {
      if (stored.path !== path)
        throw mismatch(key, `endpoint they were first used for ('${path}' vs '${stored.path}')`);
      if (stored.fingerprint !== fingerprint) throw mismatch(key, 'parameters they were first used with');
      return { run: false, stored };
    }
    if (underWay.has(key)) {
      throw new StripeRefusal(
        409,
        {
          type: 'idempotency_error',
          code: 'idempotency_key_in_use',
          message: `There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): ${key}. Please try again later.`,
        },
        { headers: { 'Stripe-Should-Retry': 'true' } },
      );
    }
    underWay.set(key, path);
    return {
      run: true,
      finish(answer) {
        underWay.delete(key);
        const expires_at = world.clock.nowMs() + KEPT_MS;
        world.store.put('idempotency', { id: key, path, fingerprint, ...answer, expires_at });
      },
      abandon: () => void underWay.delete(key),
    };
  };
}

function mismatch(key: string, what: string): StripeRefusal {
  return new StripeRefusal(400, {
    type: 'idempotency_error',
    message: `Keys for idempotent requests can only be used ${what.startsWith('endpoint') ? 'for' : 'with'} the same ${what}. Try using a key other than '${key}' if you meant to execute a different request.`,
  });
}

/** Forgets keys that have run out. */
export function pruneKeys(world: World): void {
  for (const record of world.store.all('idempotency')) {
    if (record.expires_at <= world.clock.nowMs()) world.store.remove('idempotency', record.id);
  }
}
