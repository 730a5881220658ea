import { type Actor, append } from '#domain/audit/index.ts';
import type { TenantTx } from '#platform/db/index.ts';
import type { Context } from './deps.ts';
import type { AttemptRow } from './store/attempts.ts';
import { type IncidentKind, insertIncident } from './store/incidents.ts';

/**
 * Stores what a person has to look at, once per fact: row, audit, metric (alerted on) and an ERROR line.
 * @param input.fact tells facts of one kind and attempt apart
 */
export async function report(
  context: Context,
  tx: TenantTx,
  input: {
    kind: IncidentKind;
    attempt: Pick<AttemptRow, 'id' | 'order_id' | 'payment_id'>;
    actor: Actor;
    fact?: string;
    details: Record<string, unknown>;
  },
): Promise<void> {
  const { kind, attempt, actor, fact = '', details } = input;
  const isNew = await insertIncident(tx, {
    kind,
    dedupeKey: `${kind}:${attempt.id}:${fact}`,
    orderId: attempt.order_id,
    paymentId: attempt.payment_id,
    attemptId: attempt.id,
    details,
  });
  if (!isNew) return;
  await append(tx, {
    action: kind === 'mismatch' ? 'payments.mismatch' : 'payments.incident',
    actor,
    object: { type: 'payment', id: attempt.payment_id },
    details: { kind, order_id: attempt.order_id, attempt_id: attempt.id, ...details },
  });
  tx.afterCommit(() => {
    context.count.incident(kind);
    context.log.error('payment incident', { kind, order_id: attempt.order_id, attempt_id: attempt.id, ...details });
  });
}
