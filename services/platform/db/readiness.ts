import type { Check, CheckResult, Lifecycle } from '#platform/lifecycle/index.ts';
import { statement } from './statement.ts';
import type { Db } from './types.ts';

/**
 * The lowest `ops.schema_version()` this build can work with. Raise it together with code that reads something a new
 * migration made, never to "newest": a pod of the release before must stay ready on the schema of the next.
 */
export const MINIMUM_SCHEMA = 101;

/** A restart of PostgreSQL takes seconds, and is no news. */
const AWAY_LIMIT_MS = 30_000;

const schemaVersion = statement<{ version: number }>('db.schema_version', 'select ops.schema_version() as version');

/**
 * Adds the readiness checks of a process that needs the database: the schema is new enough, and it is not away. A
 * database that is away from all pods must not take them all out of the endpoints: then the ingress would answer, with
 * an error of its own, where these say 503 with Retry-After (docs/adr/0013). A pod that never saw it is sent nothing.
 */
export function databaseReadiness(lifecycle: Lifecycle, db: Db, minimum = MINIMUM_SCHEMA): void {
  let seen = 0;
  let stale = false;
  const look = async () => {
    seen = (await db.withTx((tx) => tx.one(schemaVersion))).version;
    stale = false;
  };
  lifecycle.ready('schema', async (): Promise<CheckResult> => {
    // A schema only grows, so one good answer is enough; asking again would make a full pool look like "not ready".
    if (seen < minimum) await look();
    else if (stale && db.available().ok) await look().catch(() => {});
    return seen >= minimum
      ? { ok: true }
      : { ok: false, detail: `schema ${seen}, needed ${minimum}: run klar migrate` };
  });
  lifecycle.ready('database', (): Check => {
    const { ok, awayMs } = db.available();
    // What comes back after so long may be a restored backup of an older release.
    if (!ok && awayMs > AWAY_LIMIT_MS) stale = true;
    return ok || awayMs <= AWAY_LIMIT_MS
      ? { ok: true }
      : { ok: false, detail: `away for ${Math.round(awayMs / 1_000)} s`, stays: true };
  });
}
