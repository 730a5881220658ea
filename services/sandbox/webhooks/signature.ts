import { createHmac } from 'node:crypto';

/**
 * The `Stripe-Signature` header: the time in seconds, and one `v1` a secret, for while a secret is rolled both the new
 * and the old one sign. https://docs.stripe.com/webhooks/signature
 */
export function signatureHeader(payload: string, secrets: readonly string[], unix: number): string {
  const sign = (secret: string) => createHmac('sha256', secret).update(`${unix}.${payload}`).digest('hex');
  return [`t=${unix}`, ...secrets.map((secret) => `v1=${sign(secret)}`)].join(',');
}
