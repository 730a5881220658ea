import { hmacSha256, openAes256Gcm, randomToken, safeEqual, sealAes256Gcm, sha256 } from '#platform/crypto/index.ts';
import { fail } from '#platform/errors/index.ts';
import { isPermission, type Permission } from './permissions.ts';

/** The generations of the pepper (`API_SECRET_SALT`) that are in use: a subset of platform/config's `Secret`. */
export interface Pepper {
  current(): string;
  generation(): string;
  /** Current first, then previous. */
  accepted(): readonly { value: string; generation: string }[];
  /** Told which generation opened a stored hash. */
  used?(generation: string): void;
}

const PREFIX_LENGTH = 12;
const KEY = /^klar_([a-z0-9]{12})_[A-Za-z0-9_-]{43}$/;

/** A new key `klar_<prefix>_<secret>`: the prefix finds it, the secret (256 bits) proves it. */
export function newApiKey(): { key: string; prefix: string } {
  const prefix = randomToken(32)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .slice(0, PREFIX_LENGTH)
    .padEnd(PREFIX_LENGTH, '0');
  return { key: `klar_${prefix}_${randomToken(32)}`, prefix };
}

/** The prefix of a text that has the form of a key. */
export function prefixOf(key: string): string | undefined {
  return KEY.exec(key)?.[1];
}

/** Whether a bearer token claims to be an API key: access tokens never start like this. */
export function looksLikeApiKey(token: string): boolean {
  return token.startsWith('klar_');
}

/** A pepper of any length as an AES key; the label keeps it apart from whatever else the setting may come to key. */
const aesKey = (pepper: string) => hmacSha256(pepper, 'klar/api-key/v1');

/**
 * What is stored: `v<generation>$` and AES-256-GCM of SHA-256(key) under that generation of the pepper. Encrypted and
 * not only peppered, so that a rotation re-encrypts every row without knowing one key.
 * @param place the row it belongs to; a sealed hash copied to another row does not open
 */
export function sealHash(hash: Buffer, place: string, pepper: Pepper): string {
  return `v${pepper.generation()}$${sealAes256Gcm(aesKey(pepper.current()), hash, place).toString('base64')}`;
}

/** The SHA-256 inside, or undefined when no accepted generation opens it. */
export function openHash(sealed: string, place: string, pepper: Pepper): Buffer | undefined {
  const cut = sealed.indexOf('$');
  const bytes = Buffer.from(sealed.slice(cut + 1), 'base64');
  const generation = sealed.slice(1, cut);
  // Its own generation first. The others too: a generation may be renamed when a setting moves to a file.
  const own = pepper.accepted().filter((p) => p.generation === generation);
  const others = pepper.accepted().filter((p) => p.generation !== generation);
  for (const { value, generation: tried } of [...own, ...others]) {
    try {
      const hash = openAes256Gcm(aesKey(value), bytes, place);
      pepper.used?.(tried);
      return hash;
    } catch {
      // Another generation's: the next one may open it.
    }
  }
  return undefined;
}

/** Whether `key` is the one that was sealed; takes the same time wherever they differ. */
export function verifyKey(key: string, sealed: string, place: string, pepper: Pepper): boolean {
  const hash = openHash(sealed, place, pepper);
  return hash !== undefined && safeEqual(sha256(key), hash);
}

/** Where a key's hash is kept, as `place` of {@link sealHash}. */
export const placeOf = (tenantId: string, prefix: string) => `${tenantId}/${prefix}`;

/**
 * The scopes asked for, without repetition, or KlarError: invalid `unknown_scope`, forbidden `scope_not_yours_to_give`.
 */
export function checkScopes(asked: readonly string[], held: readonly Permission[]): Permission[] {
  const scopes: Permission[] = [];
  for (const scope of new Set(asked)) {
    if (!isPermission(scope)) {
      throw fail.invalid('unknown_scope', `There is no scope "${scope.slice(0, 60)}".`);
    }
    if (!held.includes(scope)) {
      throw fail.forbidden('scope_not_yours_to_give', `You do not have the permission "${scope}" yourself.`);
    }
    scopes.push(scope);
  }
  return scopes;
}
