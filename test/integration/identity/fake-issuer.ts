import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export type Claims = Record<string, unknown>;

/** An OpenID provider on a local port: discovery, keys, and tokens of any making. */
export interface FakeIssuer {
  issuer: string;
  /** Requests for the keys so far. */
  keyRequests(): number;
  /** A new signing key under a new id; the old one is no longer published. */
  rotate(): Promise<void>;
  /** Answers 500 from now on. */
  fail(on: boolean): void;
  /** A good token, changed as told. */
  token(claims?: Claims, header?: { kid?: string; alg?: string }): Promise<string>;
  publicJwk(): JWK;
  close(): Promise<void>;
}

export async function startFakeIssuer(): Promise<FakeIssuer> {
  let serial = 0;
  let requests = 0;
  let failing = false;
  let current: { kid: string; privateKey: CryptoKey; jwk: JWK };
  const makeKey = async () => {
    serial += 1;
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    current = {
      kid: `key-${serial}`,
      privateKey,
      jwk: { ...(await exportJWK(publicKey)), kid: `key-${serial}`, alg: 'ES256', use: 'sig' },
    };
  };
  await makeKey();
  const server = createServer((req, res) => {
    if (req.url === '/keys') requests += 1;
    if (failing) {
      res.writeHead(500).end();
      return;
    }
    const body = req.url === '/keys' ? { keys: [current.jwk] } : { issuer, jwks_uri: `${issuer}/keys` };
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    keyRequests: () => requests,
    rotate: makeKey,
    fail: (on) => {
      failing = on;
    },
    publicJwk: () => current.jwk,
    token: async (claims = {}, header = {}) => {
      const now = Math.floor(Date.now() / 1_000);
      const payload = { iss: issuer, aud: 'klar', iat: now, exp: now + 300, sub: 'subject-1', ...claims };
      return new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid: current.kid, ...header })
        .sign(current.privateKey);
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
