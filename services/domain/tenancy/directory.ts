import type { Db } from '#platform/db/index.ts';
import * as tenants from './store/tenants.ts';
import { SLUG_MAX, SLUG_PATTERN } from './tenant.ts';

const MAX_REMEMBERED = 10_000;

/**
 * Finds the tenant of a slug. Remembers what it found, because a slug never moves to another tenant; not what it
 * did not find, because a school may open the next moment. Finding a tenant grants nothing.
 */
export function createDirectory(db: Db) {
  const known = new Map<string, string>();
  return async function tenantIdOfSlug(slug: string): Promise<string | undefined> {
    // Also keeps `_platform`, the system tenant, unreachable.
    if (slug.length > SLUG_MAX || !SLUG_PATTERN.test(slug)) return undefined;
    const remembered = known.get(slug);
    if (remembered !== undefined) return remembered;
    const tenantId = await db.withTx((tx) => tenants.idOfSlug(tx, slug), { readOnly: 'one flight' });
    if (tenantId !== undefined) {
      if (known.size >= MAX_REMEMBERED) known.delete(known.keys().next().value ?? '');
      known.set(slug, tenantId);
    }
    return tenantId;
  };
}
