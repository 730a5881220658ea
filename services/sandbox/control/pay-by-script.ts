import type { MethodType, SessionRecord } from '../records.ts';
import { finishStep, type PayResult, paySession, settleSession } from '../stripe/session-payment.ts';
import type { World } from '../stripe/world.ts';

/**
 * What a script asks for:
 * `{card: '4242...'}` or `{method: 'klarna'}`; `outcome` answers the step that follows, if one does: `approve`
 * (otherwise), `approve_fails_later`, `refuse`, or `stop` to leave the person standing there. For a card without a
 * number `outcome: 'decline'` takes one that is declined. `settle: true` ends a delayed payment at once.
 */
export type ScriptedPayment = {
  card?: string;
  method?: string;
  outcome?: string;
  settle?: boolean;
  email?: string;
  name?: string;
};

const OUTCOMES = ['approve', 'approve_fails_later', 'refuse', 'stop', 'decline'] as const;
const METHODS: readonly MethodType[] = ['card', 'klarna', 'paypal'];

/** Does what a person would at the checkout page, step included. */
export function payByScript(
  world: World,
  record: SessionRecord,
  body: ScriptedPayment,
): { result: PayResult } | { error: string } {
  const method = METHODS.find((known) => known === (body.method ?? 'card'));
  if (!method || !record.session.payment_method_types.includes(method)) {
    return { error: `method must be one of ${record.session.payment_method_types.join(', ')}` };
  }
  const outcome = OUTCOMES.find((known) => known === (body.outcome ?? 'approve'));
  if (!outcome) return { error: `outcome must be one of ${OUTCOMES.join(', ')}` };
  const card = body.card ?? (outcome === 'decline' ? '4000000000000002' : '4242424242424242');
  const first = paySession(world, record.id, {
    method,
    card,
    payer: { email: body.email ?? 'payer@example.com', name: body.name ?? 'Sandbox Payer', country: 'US' },
  });
  if (first.status !== 'requires_action' || outcome === 'stop') return { result: first };
  const second = finishStep(world, record.id, outcome === 'decline' ? 'refuse' : outcome);
  if (second.status === 'processing' && body.settle) settleSession(world, record.id, outcome === 'approve');
  return { result: second };
}
