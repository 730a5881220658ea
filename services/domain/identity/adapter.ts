import { AsyncLocalStorage } from 'node:async_hooks';
import { createAdapterFactory } from 'better-auth/adapters';
import type { Tx } from '#platform/db/index.ts';
import * as library from './store/library.ts';

/** What one call into better-auth works on. */
export interface Scope {
  readonly tx: Tx;
  /** The caller holds a permit of the hasher: hashing is allowed. */
  readonly mayHash: boolean;
  /** Sessions this call made, by id and by better-auth's own token. */
  readonly sessions: { id: string; token: string }[];
  /** The first statement that failed. The transaction is over then, whatever better-auth makes of the error. */
  failed?: unknown;
  /** What better-auth said through its callbacks. */
  resetToken?: string;
  resetPersonId?: string;
  /** Set when an address became verified by this call, not when it already was. */
  verifiedPersonId?: string;
  existing?: { id: string; email: string; name: string };
}

/**
 * better-auth hands its adapter no transaction, so the one the call belongs to travels beside it, from `engine.call` to
 * here and no further. Everything of ours takes the transaction as its first argument.
 */
export const scopes = new AsyncLocalStorage<Scope>();

export function currentScope(): Scope {
  const scope = scopes.getStore();
  if (scope === undefined) throw new Error('better-auth was called outside engine.call');
  return scope;
}

/**
 * better-auth on our transactions: its writes and ours commit together, on the same bounded pool, under the same
 * timeouts, as named statements. `transaction: false` because the transaction is always already there.
 */
export const transactionAdapter = createAdapterFactory({
  config: {
    adapterId: 'klar',
    adapterName: 'Klar transactions',
    supportsJSON: true,
    supportsDates: true,
    supportsBooleans: true,
    supportsNumericIds: false,
    transaction: false,
  },
  adapter: () => ({
    create: ({ model, data }) =>
      query(async ({ tx, sessions }) => {
        const row = await library.create(tx, model, data);
        if (model === 'session') sessions.push({ id: String(row.id), token: String(row.token) });
        return row as never;
      }),
    findOne: ({ model, where }) =>
      query(async ({ tx }) => ((await library.find(tx, model, { where, limit: 1 }))[0] ?? null) as never),
    findMany: ({ model, where, limit, offset, sortBy }) =>
      query(async ({ tx }) => (await library.find(tx, model, { where: where ?? [], limit, offset, sortBy })) as never),
    update: ({ model, where, update }) =>
      query(
        async ({ tx }) => ((await library.update(tx, model, where, update as library.LibraryRow))[0] ?? null) as never,
      ),
    updateMany: ({ model, where, update }) =>
      query(async ({ tx }) => (await library.update(tx, model, where, update)).length),
    delete: ({ model, where }) => query(async ({ tx }) => void (await library.remove(tx, model, where))),
    deleteMany: ({ model, where }) => query(async ({ tx }) => (await library.remove(tx, model, where)).length),
    consumeOne: ({ model, where }) =>
      query(async ({ tx }) => ((await library.remove(tx, model, where))[0] ?? null) as never),
    incrementOne: ({ model, where, increment, set }) =>
      query(
        async ({ tx }) => ((await library.increment(tx, model, { where, increment, set: set ?? {} })) ?? null) as never,
      ),
    count: ({ model, where }) => query(({ tx }) => library.count(tx, model, where ?? [])),
  }),
});

async function query<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = currentScope();
  try {
    return await work(scope);
  } catch (error) {
    scope.failed ??= error;
    throw error;
  }
}
