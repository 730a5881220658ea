import type { Clock } from '#platform/clock/index.ts';
import { sha256 } from '#platform/crypto/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { Logger } from '#platform/log/index.ts';
import { type Pepper, placeOf, prefixOf, verifyKey } from './api-key.ts';
import type { ApiKeyPrincipal } from './principal.ts';
import * as keys from './store/api-keys.ts';
import * as standing from './store/standing.ts';

/** Bounds the memory of a process that sees many keys; an entry is some 300 bytes. */
const MAX_REMEMBERED = 10_000;
/** Coarse on purpose: a row written on every call would turn reads into writes. */
const TOUCH_EVERY_MS = 60_000;

interface Remembered {
  principal: ApiKeyPrincipal;
  touchedAt: number;
}

interface Input {
  db: Db;
  pepper: Pepper;
  clock: Clock;
  log: Logger;
}

/** Whether the key's row is there and not revoked, read anew. */
export async function isLiveKey(db: Db, { tenantId, keyId }: ApiKeyPrincipal): Promise<boolean> {
  const found = await db.withTenantTx(tenantId, (tx) => standing.ofKey(tx, keyId), { readOnly: 'one flight' });
  return found !== undefined && found.scopes !== null;
}

/**
 * Verifies API keys. What it remembers of a key cannot change (its row, its tenant, its scopes); whether the key is
 * still valid is not remembered: `authorize` reads that in the transaction of each request, so a revocation counts at
 * once in every process.
 */
export function createKeyAuthenticator({ db, pepper, clock, log }: Input) {
  const known = new Map<string, Remembered>();

  async function verify(key: string): Promise<ApiKeyPrincipal | undefined> {
    const prefix = prefixOf(key);
    if (prefix === undefined) return undefined;
    const tenantId = await db.withTx((tx) => keys.tenantOf(tx, prefix), { readOnly: 'one flight' });
    if (tenantId === undefined) return undefined;
    const row = await db.withTenantTx(tenantId, (tx) => keys.live(tx, prefix), { readOnly: 'one flight' });
    if (row === undefined || !verifyKey(key, row.sealedHash, placeOf(tenantId, prefix), pepper)) return undefined;
    return { kind: 'api_key', keyId: row.id, tenantId, scopes: row.scopes };
  }

  async function touch(entry: Remembered): Promise<void> {
    const now = clock.now().getTime();
    if (now - entry.touchedAt < TOUCH_EVERY_MS) return;
    // Before the statement, so that parallel requests do not all write; a failed write is made up a minute later.
    entry.touchedAt = now;
    const { tenantId, keyId } = entry.principal;
    try {
      await db.withTenantTx(tenantId, (tx) => keys.touch(tx, keyId));
    } catch (error) {
      log.warn('last use of an API key was not recorded', { key_id: keyId, error });
    }
  }

  /** The key's principal, or undefined when there is no such key; it may have been revoked since: see `authorize`. */
  return async function authenticate(key: string): Promise<ApiKeyPrincipal | undefined> {
    // By hash: a memory dump of the process must not be a list of keys.
    const id = sha256(key).toString('base64');
    let entry = known.get(id);
    if (entry === undefined) {
      const principal = await verify(key);
      if (principal === undefined) return undefined;
      entry = { principal, touchedAt: Number.NEGATIVE_INFINITY };
      if (known.size >= MAX_REMEMBERED) known.delete(known.keys().next().value ?? '');
    } else {
      known.delete(id);
    }
    // Set again, so that the map's order is the order of use.
    known.set(id, entry);
    await touch(entry);
    return entry.principal;
  };
}
