import type { Pepper } from '#domain/tenancy/index.ts';
import { generateSecret } from '#platform/config/index.ts';
import type { Db, TenantTx } from '#platform/db/index.ts';
import { type KindAdapter, type StepInput, Unproven } from './kind.ts';
import type { Kept } from './secret-store.ts';

const TENANTS = 200;
const KEYS = 500;

/** Loaded for a rotation, which is rare: with what it needs it is 10 MiB of the 100 that the controller may have. */
const tenancy = () => import('#domain/tenancy/index.ts');

async function eachTenant(db: Db, signal: AbortSignal, fn: (tenantId: string) => Promise<void>): Promise<void> {
  const { tenantIdsAfter } = await tenancy();
  for (let after = ''; ; ) {
    const ids = await db.withTx((tx) => tenantIdsAfter(tx, after, TENANTS), { readOnly: true });
    if (ids.length === 0) return;
    for (const id of ids) {
      signal.throwIfAborted();
      await fn(id);
    }
    after = ids.at(-1) ?? '';
  }
}

function pepperOf(current: Kept, ...others: Kept[]): Pepper {
  return {
    current: () => current.value,
    generation: () => current.generation,
    accepted: () => [current, ...others],
  };
}

async function reseal({ db, fence, values, signal }: StepInput): Promise<void> {
  const { current, previous } = values;
  if (previous === undefined) return;
  const { resealApiKeys } = await tenancy();
  const pepper = pepperOf(current, previous);
  await eachTenant(db, signal, async (tenantId) => {
    for (;;) {
      const { resealed, unreadable } = await db.withTenantTx(
        tenantId,
        async (tx) => {
          await fence(tx);
          return resealApiKeys(tx, pepper, KEYS);
        },
        { signal },
      );
      // Unreadable ones are dead under both values: an earlier loss, and no reason to keep this one.
      if (resealed === 0 || resealed + unreadable < KEYS) return;
    }
  });
}

/** API_SECRET_SALT: keys of schools are stored encrypted under it, so every row is encrypted anew before it dies. */
export const pepperKind: KindAdapter = {
  create: ({ name }) => generateSecret(name),
  // After the barrier: every pod seals new keys under the value in use, so what is left only gets less.
  drain: reseal,
  // Again while both are accepted: a row that somebody held was passed over.
  retire: reseal,

  async prove(at: StepInput) {
    const { current, retired } = at.values;
    if (retired === undefined) throw new Unproven('the old value is not there to be tried');
    const { countOpenableKeys } = await tenancy();
    let opened = 0;
    let alive = 0;
    const count = (tx: TenantTx, kept: Kept) => countOpenableKeys(tx, pepperOf(kept), KEYS);
    await eachTenant(at.db, at.signal, async (tenantId) => {
      await at.db.withTenantTx(tenantId, async (tx) => {
        opened += await count(tx, retired);
        alive += await count(tx, current);
      });
    });
    if (opened > 0) throw new Unproven(`the old value still opens ${opened} keys, the new one ${alive}`);
  },
};
