import type { Pepper } from '#domain/tenancy/index.ts';
import { generateSecret } from '#platform/config/index.ts';
import { type KindAdapter, NotYet, type StepInput, Unproven } from './kind.ts';
import type { Kept } from './secret-store.ts';

/** A visit ends before its bound (kube/controller.ts), or it would be cut off and be called a failure. */
const VISIT_MS = 30_000;
const TENANTS = 200;
const KEYS = 500;

/** Loaded for a rotation, which is rare: with what it needs it is 10 MiB of the 100 that the controller may have. */
const tenancy = () => import('#domain/tenancy/index.ts');

function pepperOf(current: Kept, other: Kept): Pepper {
  return {
    current: () => current.value,
    generation: () => current.generation,
    accepted: () => [current, other],
  };
}

/** How far a walk over the keys of all schools is: the next visit goes on there. After a restart it begins again. */
type Walk = {
  /** Of rotation and step. */
  of: string;
  /** The last school that is done. */
  tenant: string;
  /** A school that is under way, and its last key that is done. */
  within: { tenant: string; after: string } | undefined;
  tenants: number;
  resealed: number;
};

const walkFor = (of: string): Walk => ({ of, tenant: '', within: undefined, tenants: 0, resealed: 0 });

/**
 * API_SECRET_SALT: keys of schools are stored encrypted under it, so every row is encrypted anew before a value leaves: the
 * old one going forward, the new one going back. Each is also read with once more when no pod accepts it any more: a row that
 * a pod wrote late is refused until then, and not lost.
 */
export function pepperKind(limits: { visitMs?: number; keys?: number } = {}): KindAdapter {
  const { visitMs = VISIT_MS, keys = KEYS } = limits;
  let walk = walkFor('');

  /** Comes back after a whole walk that found no key under `other`. */
  async function leaveNone(at: StepInput, other: Kept | undefined, everything = false): Promise<void> {
    if (other === undefined) return;
    const { tenantIdsAfter } = await tenancy();
    const until = performance.now() + visitMs;
    if (walk.of !== at.key) walk = walkFor(at.key);
    for (;;) {
      const ids = await at.db.withTx((tx) => tenantIdsAfter(tx, walk.tenant, TENANTS), { readOnly: true });
      for (const id of ids) await resealTenant(at, pepperOf(at.values.current, other), id, everything, until);
      if (ids.length > 0) continue;
      const { resealed } = walk;
      walk = walkFor(at.key);
      // What was written behind the walk is found by the next one.
      if (resealed === 0) return;
    }
  }

  async function resealTenant(at: StepInput, pepper: Pepper, id: string, everything: boolean, until: number) {
    const { resealApiKeys } = await tenancy();
    let after = walk.within?.tenant === id ? walk.within.after : undefined;
    do {
      at.signal.throwIfAborted();
      const page = { after, limit: keys, everything };
      const { resealed, next } = await at.db.withTenantTx(
        id,
        async (tx) => {
          await at.fence(tx);
          return resealApiKeys(tx, pepper, page);
        },
        { signal: at.signal },
      );
      walk.resealed += resealed;
      walk.within = next === undefined ? undefined : { tenant: id, after: next };
      if (next === undefined) {
        walk.tenant = id;
        walk.tenants += 1;
      }
      if (performance.now() >= until) throw new NotYet(`API keys of ${walk.tenants} schools are encrypted anew so far`);
      after = next;
    } while (after !== undefined);
  }

  return {
    create: ({ name }) => generateSecret(name),
    // After the barrier: every pod seals new keys under the value in use, so what is left only gets less.
    drain: (at) => leaveNone(at, at.values.previous),
    retire: (at) => leaveNone(at, at.values.previous),
    withdraw: (at) => leaveNone(at, at.values.previous),
    async prove(at) {
      if (at.values.retired === undefined) throw new Unproven('the old value is not there to be tried');
      await leaveNone(at, at.values.retired, true);
    },
    withdrawn: (at) => leaveNone(at, at.values.retired, true),
  };
}
