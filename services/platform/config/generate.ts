import { generateKeyPairSync } from 'node:crypto';
import { randomToken } from '#platform/crypto/index.ts';

/** A fresh value for a secret that a laptop or a test needs and nobody gives: never the same one twice. */
export function generateSecret(name: string): string {
  if (name === 'AUTH_JWT_KEY') {
    return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim();
  }
  if (name === 'STRIPE_SECRET_KEY') return `sk_test_${alphanumeric()}`;
  if (name === 'STRIPE_WEBHOOK_SECRET') return `whsec_${alphanumeric()}`;
  return randomToken(32);
}

function alphanumeric(): string {
  return randomToken(36).replaceAll(/[-_]/g, '0');
}
