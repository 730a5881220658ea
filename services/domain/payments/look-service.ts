import type { Actor } from '#domain/audit/index.ts';
import type { Context } from './deps.ts';
import { record, type Sighting } from './record-service.ts';
import { type AttemptRow, selectAttempt } from './store/attempts.ts';

/** A row that changes this often between reading and writing is not being looked at, it is being fought over. */
const MAX_LOOKS = 5;

/** Reads our version, then fetches the provider's object. @returns undefined when there is no session to look at */
export async function sight(
  context: Context,
  input: { attempt: AttemptRow | undefined; signal?: AbortSignal | undefined },
): Promise<Sighting | undefined> {
  const { attempt, signal } = input;
  if (attempt === undefined || attempt.session_id === null) return undefined;
  const seen = await context.gateway.fetchSession(attempt.session_id, { signal });
  return { orderId: attempt.order_id, attemptId: attempt.id, version: attempt.version, seen };
}

/** Brings one attempt up to what the provider says, now. */
export async function lookAgain(
  context: Context,
  input: { tenantId: string; attemptId: string; actor: Actor; signal?: AbortSignal | undefined },
): Promise<void> {
  const { tenantId, attemptId, actor, signal } = input;
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    const attempt = await context.inTenant(tenantId, (tx) => selectAttempt(tx, attemptId));
    const sighting = await sight(context, { attempt, signal });
    if (sighting === undefined) return;
    const outcome = await context.inTenant(tenantId, (tx) => record(context, tx, { ...sighting, actor }));
    if (outcome === 'done') return;
  }
  throw new Error(`attempt ${attemptId} changed ${MAX_LOOKS} times while it was looked at`);
}
