import type { Tx } from '#platform/db/index.ts';
import type { RotationParts, RotationTerm } from './reconcile.ts';

/** A transaction of the term: the database refuses it before anything is written when another one leads. */
export const fenced = <T>(
  parts: Pick<RotationParts, 'db' | 'fence'>,
  term: RotationTerm,
  fn: (tx: Tx) => Promise<T>,
): Promise<T> =>
  parts.db.withTx(async (tx) => {
    await parts.fence(tx, term.token);
    return fn(tx);
  });
