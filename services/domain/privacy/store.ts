import { statement, type Tx } from '#platform/db/index.ts';

type Batch = { found: number; purged: number };

const purgeAuth = statement<Batch>('privacy.purge_auth', 'select b.found, b.purged from ops.purge_auth($1, $2) b');
const countAuth = statement<{ count: number }>('privacy.count_auth', 'select ops.count_expired_auth($1) as count');

/** What schema auth lets go of by its own times. */
export type AuthTable = 'sessions' | 'revoked_sessions' | 'verifications' | 'spent_codes' | 'throttles';

/**
 * By functions with the owner's rights that reach only rows which are over: schema auth is klar_auth's alone. The
 * identity module does the same every few minutes while an api process runs; this is for when none does.
 */
export const expiredAuth = (table: AuthTable) => ({
  purge: (tx: Tx, limit: number) => tx.one(purgeAuth, [table, limit]),
  count: async (tx: Tx) => (await tx.one(countAuth, [table])).count,
});
