import { checkTerm, staleTerm } from '#domain/operations/index.ts';
import type { Clock } from '#platform/clock/index.ts';
import type { Db } from '#platform/db/index.ts';
import type { RotationTerm } from './reconcile.ts';

/** Where no Lease is: the folder's lock lets one process run, and the database's fence keeps out the one before it. */
export async function takeLocalTerm(db: Db, lease: string, clock: Clock, signal: AbortSignal): Promise<RotationTerm> {
  let token = Math.floor(clock.now().getTime() / 1_000);
  for (;;) {
    try {
      await db.withTx((tx) => checkTerm(tx, lease, token));
      return { token, signal, check: () => signal.throwIfAborted() };
    } catch (error) {
      const greatest = staleTerm(error);
      if (greatest === undefined) throw error;
      // The clock went back since the last start.
      token = greatest + 1;
    }
  }
}
