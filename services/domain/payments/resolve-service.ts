import { lockVisibleOrder } from '#domain/sales/index.ts';
import { KlarError } from '#platform/errors/index.ts';
import { send } from '#platform/queue/index.ts';
import { drive } from './checkout-service.ts';
import type { Context } from './deps.ts';
import { resolveAttemptQueue } from './jobs.ts';
import { lookAgain } from './look-service.ts';
import { isSilent, isUnfinished, nextLook } from './plan.ts';
import { selectAttempt } from './store/attempts.ts';

const ACTOR = { kind: 'system', id: 'worker' } as const;

/**
 * Ends what a lost answer, a crash or late money left open about one attempt, and asks the provider itself where its
 * events never came. Sends itself again, for later, while the attempt can still change without us.
 * @throws whatever makes it run again: no answer, or an attempt that is still unfinished
 */
export async function resolveAttempt(
  context: Context,
  payload: { tenant_id: string; order_id: string; attempt_id: string },
  signal?: AbortSignal,
): Promise<void> {
  const { tenant_id: tenantId, order_id: orderId, attempt_id: attemptId } = payload;
  const { attempt, now } = await context.inTenant(tenantId, async (tx) => {
    return { attempt: await selectAttempt(tx, attemptId), now: tx.now() };
  });
  if (attempt === undefined) return;
  let refused: KlarError | undefined;
  if (isUnfinished(attempt.state)) {
    refused = await drive(context, {
      tenantId,
      orderId,
      only: attemptId,
      want: attempt.close_reason === null ? attempt.ui_mode : 'none',
      closeReason: attempt.close_reason ?? 'replaced',
      mayMake: false,
      actor: ACTOR,
      signal,
      withTx: (fn) => context.inTenant(tenantId, fn),
      lock: (tx) => lockVisibleOrder(tx, { orderId, personId: undefined }),
    }).then(
      () => undefined,
      (error: unknown) => {
        // On its way, under review or refused: whether anything is left to resolve, the row says.
        if (error instanceof KlarError && (error.kind === 'conflict' || error.kind === 'unprocessable')) return error;
        throw error;
      },
    );
  } else if (isSilent(attempt, now)) {
    await lookAgain(context, { tenantId, attemptId, actor: ACTOR, signal });
  }
  await context.inTenant(tenantId, async (tx) => {
    const left = await selectAttempt(tx, attemptId);
    if (left === undefined) return;
    if (refused !== undefined && isUnfinished(left.state)) throw refused;
    const later = nextLook(left, tx.now());
    if (later !== undefined) await send(tx, resolveAttemptQueue, payload, { startAfter: later });
  });
}
