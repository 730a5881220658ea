/**
 * Stripe's signature scheme: https://docs.stripe.com/webhooks#verify-manually.
 * Written with node:crypto, as the SDK would cost this process its cold start and a third of its memory.
 */
import { isUtf8 } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AcceptedSecret, EventKey, Provider, Verified, VerifyInput } from './provider.ts';

/** Stripe's own tolerance. Both ways: a time far ahead would be a signature that stays fresh for years. */
export const TOLERANCE_S = 300;

/** More than this many signatures in one header is nobody's rotation, only work for our CPU. */
const MAX_SIGNATURES = 8;

/** Printable ASCII: what Stripe sends, and what no text column, log line or terminal can trip over. */
const NAME = /^[\x21-\x7e]{1,255}$/;

type Signature = { timestamp: string; digests: Buffer[] };

function parseHeader(header: string): Signature | undefined {
  let timestamp: string | undefined;
  const digests: Buffer[] = [];
  for (const part of header.split(',')) {
    const at = part.indexOf('=');
    const name = part.slice(0, at).trim();
    const value = part.slice(at + 1).trim();
    if (name === 't') {
      // Two times would leave open which of them was signed.
      if (timestamp !== undefined || !/^\d{1,12}$/.test(value)) return undefined;
      timestamp = value;
    } else if (name === 'v1') {
      if (!/^[0-9a-f]{64}$/i.test(value) || digests.length === MAX_SIGNATURES) return undefined;
      digests.push(Buffer.from(value, 'hex'));
    }
  }
  return timestamp === undefined || digests.length === 0 ? undefined : { timestamp, digests };
}

/** The generation that signed, or undefined. Every secret is tried against every digest, whatever matched before. */
function signedBy(signature: Signature, body: Buffer, secrets: readonly AcceptedSecret[]): string | undefined {
  let generation: string | undefined;
  for (const secret of secrets) {
    const expected = createHmac('sha256', secret.value).update(`${signature.timestamp}.`).update(body).digest();
    for (const digest of signature.digests) {
      if (timingSafeEqual(expected, digest)) generation ??= secret.generation;
    }
  }
  return generation;
}

/** Only id, type, account and livemode: everything else is the worker's business, and may change at Stripe any day. */
function parseKey(body: Buffer): EventKey | undefined {
  // A lenient decoder would put U+FFFD where the sender's bytes were, and two ids could become one.
  if (!isUtf8(body)) return undefined;
  let event: unknown;
  try {
    event = JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return undefined;
  const { id, type, account, livemode } = event as Record<string, unknown>;
  if (typeof id !== 'string' || !NAME.test(id)) return undefined;
  if (typeof type !== 'string' || !NAME.test(type)) return undefined;
  if (account !== undefined && account !== null && (typeof account !== 'string' || !NAME.test(account)))
    return undefined;
  return { eventId: id, type, account: account ?? '', livemode: typeof livemode === 'boolean' ? livemode : null };
}

function verify(input: VerifyInput): Verified {
  const header = input.headers['stripe-signature'];
  if (typeof header !== 'string' || header === '') return { ok: false, reason: 'missing_signature' };
  const signature = parseHeader(header);
  if (!signature) return { ok: false, reason: 'malformed_signature' };
  const generation = signedBy(signature, input.body, input.secrets);
  if (generation === undefined) return { ok: false, reason: 'bad_signature' };
  // After the signature: until then the time is only somebody's claim.
  const ageS = input.nowMs / 1000 - Number(signature.timestamp);
  if (ageS > TOLERANCE_S) return { ok: false, reason: 'stale' };
  if (ageS < -TOLERANCE_S) return { ok: false, reason: 'future' };
  const key = parseKey(input.body);
  return key ? { ok: true, key, generation } : { ok: false, reason: 'malformed_body' };
}

export const stripe: Provider = { name: 'stripe', path: '/api/billing/stripe/webhook', verify };
