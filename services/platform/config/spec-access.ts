import { createPrivateKey } from 'node:crypto';
import { flag, issuers, origins, type ProcessName, type SecretSetting, type Setting, secret, url } from './setting.ts';

const API: readonly ProcessName[] = ['api', 'all-in-one'];
const PEM = {
  pattern: /^-----BEGIN PRIVATE KEY-----[\s\S]+-----END PRIVATE KEY-----\s*$/,
  says: 'an Ed25519 private key in PKCS#8 PEM',
  accepts: isEd25519,
};
/** What fits behind `Bearer` (RFC 6750) and is not taken for an API key. */
const BEARER = { pattern: /^(?!klar_)[A-Za-z0-9._~+/-]+=*$/, says: 'made of letters, digits and ._~+/- alone' };

/** Another key that is swapped in while the process runs must be left alone, not end the process at its first use. */
function isEd25519(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'ed25519';
  } catch {
    return false;
  }
}

/** Who may call, and with what identity. */
export const ACCESS_SPEC = {
  PUBLIC_BASE_URL: url({
    group: 'Origins',
    processes: ['api', 'worker', 'controller', 'cli', 'all-in-one'],
    protocols: ['http', 'https'],
    default: 'http://localhost:3000',
    requiredIn: 'strict',
    example: 'https://klar.example.com',
    description: 'The address people and providers reach us at: links in mails, return URLs of checkouts.',
  }),
  AUTH_ORIGIN_ALLOWLIST: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://app.example.com',
    description: 'Origins that may call the authentication routes from a browser.',
  }),
  CORS_ALLOW_ORIGINS: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://app.example.com',
    description: 'Origins that may call the API from a browser.',
  }),
  PUBLIC_ORIGIN_ALLOWLIST: origins({
    group: 'Origins',
    processes: API,
    default: [],
    example: 'https://www.example.com',
    description: 'Origins that may call the public routes, and that checkouts may return to.',
  }),
  ALLOW_LOCALHOST_ORIGINS: flag({
    group: 'Origins',
    processes: API,
    default: false,
    description: 'Also take any http://localhost:<port>; refused in staging and production.',
  }),
  ALLOW_NULL_ORIGIN: flag({
    group: 'Origins',
    processes: API,
    default: false,
    description: 'Also take `Origin: null` (files, sandboxed frames).',
  }),

  AUTH_JWT_KEY: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'always',
    shape: PEM,
    description: 'Ed25519 private key (PKCS#8 PEM) that signs access tokens.',
  }),
  AUTH_SECRET: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'always',
    minLength: 32,
    description: 'Key under which better-auth signs and encrypts its own values.',
  }),
  AUTH_ISSUERS: issuers({
    group: 'Identity',
    processes: API,
    default: [],
    example: '[{"issuer":"https://id.example.com","audience":"klar"}]',
    description: 'Outside issuers whose tokens are taken: a JSON list of {issuer, audience, jwks_uri?, algorithms?}.',
  }),
  API_SECRET_SALT: secret({
    group: 'Identity',
    processes: ['api', 'cli', 'all-in-one'],
    requiredIn: 'always',
    minLength: 32,
    description: 'Pepper of the API keys; also signs list cursors.',
  }),
  ADMIN_TOKEN: secret({
    group: 'Identity',
    processes: API,
    requiredIn: 'strict',
    minLength: 32,
    shape: BEARER,
    description: 'Bearer token of platform operators for /api/admin and /api/ops.',
  }),
} as const satisfies Record<string, Setting<unknown> | SecretSetting>;
