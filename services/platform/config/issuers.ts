import type { Parsed } from './setting.ts';

/**
 * Asymmetric only. `none` and HS* cannot even be named: with HS256 anybody would sign with the public key
 * (RFC 8725 section 2.1).
 */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** An issuer outside whose tokens are taken. */
export type OutsideIssuer = {
  /** Exactly as its tokens say it. */
  issuer: string;
  /** One of these must be in the token. */
  audience: string | string[];
  /** Where its keys are; absent: found by OpenID Connect Discovery. */
  jwks_uri?: string | undefined;
  algorithms: string[];
};

const DEFAULT_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];
const FIELDS = ['issuer', 'audience', 'jwks_uri', 'algorithms'];

/** Reads AUTH_ISSUERS, naming every fault of every entry. */
export function parseIssuers(text: string): Parsed<readonly OutsideIssuer[]> {
  const mend = 'give a JSON list like [{"issuer":"https://id.example.com","audience":"klar"}]';
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'not JSON', mend: `${mend}, in single quotes when a shell reads it` };
  }
  if (!Array.isArray(list)) return { ok: false, problem: 'not a JSON list', mend };
  const faults = list.flatMap((entry, at) => faultsOf(entry).map((fault) => `entry ${at + 1}: ${fault}`));
  const names = list.map((entry) => (entry as OutsideIssuer | null)?.issuer);
  if (new Set(names).size < names.length) faults.push('an issuer is listed twice');
  if (faults.length > 0) return { ok: false, problem: faults.join('; '), mend };
  return {
    ok: true,
    value: list.map((entry: Omit<OutsideIssuer, 'algorithms'>) => ({ algorithms: DEFAULT_ALGORITHMS, ...entry })),
  };
}

function faultsOf(entry: unknown): string[] {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return ['is not an object'];
  const { issuer, audience, jwks_uri, algorithms } = entry as Record<string, unknown>;
  const faults: string[] = [];
  const unknown = Object.keys(entry).filter((field) => !FIELDS.includes(field));
  if (unknown.length > 0) faults.push(`unknown field ${unknown.join(', ')}`);
  if (!isWebAddress(issuer)) faults.push('issuer is not an http(s) address');
  if (jwks_uri !== undefined && !isWebAddress(jwks_uri)) faults.push('jwks_uri is not an http(s) address');
  const audiences = Array.isArray(audience) ? audience : [audience];
  if (audiences.length === 0 || !audiences.every((one) => typeof one === 'string' && one !== '')) {
    faults.push('audience is missing: without it a token made for another service would be taken');
  }
  if (algorithms !== undefined && !isAlgorithmList(algorithms)) {
    faults.push(`algorithms is not a list out of ${ALGORITHMS.join(', ')}`);
  }
  return faults;
}

const isWebAddress = (value: unknown): value is string =>
  typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);

const isAlgorithmList = (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.every((one) => (ALGORITHMS as readonly unknown[]).includes(one));
