import { sqlState, statement, type Tx } from '#platform/db/index.ts';

const CHECK_TERM = statement('operations.check_term', 'select ops.check_term($1::text, $2::bigint)');

/**
 * The fence of everything that a leader writes: call it first in the transaction of the write. When a later term has
 * written already the transaction fails, with an error that `staleTerm` knows.
 * @param token of the term, see services/controller/kube/leader.ts
 */
export async function checkTerm(tx: Tx, lease: string, token: number): Promise<void> {
  await tx.run(CHECK_TERM, [lease, token]);
}

/**
 * The greatest token that the database has seen, when it refused a write because of it: hand it to `term.refused`, as
 * trying again is useless. Undefined for every other error.
 */
export function staleTerm(error: unknown): number | undefined {
  if (sqlState(error) !== 'KT001') return undefined;
  return Number((error as { detail?: string }).detail);
}
