import type { SessionRecord } from '../records.ts';
import { bookCharge } from '../stripe/charge.ts';
import { succeedIntent } from '../stripe/intent.ts';
import { createMethod } from '../stripe/payment-method.ts';
import { completeSession, intentOf } from '../stripe/session-payment.ts';
import { stripeId } from '../stripe/stripe-id.ts';
import { cardByNumber } from '../stripe/test-cards.ts';
import type { World } from '../stripe/world.ts';

/** How money arrives that nobody expects. */
export const DOUBLE_PAYS = ['same_session', 'new_session', 'intent_only'] as const;
export type DoublePay = (typeof DOUBLE_PAYS)[number];

/**
 * Makes money arrive regardless of the session's state: an expired session is paid late, a paid one a second time.
 * - `same_session`: a new intent of the session, and `checkout.session.completed` again
 * - `new_session`: a session of the same contents, paid (as when two were open for one order)
 * - `intent_only`: an intent with the session's data, no session event
 */
export function doublePay(world: World, record: SessionRecord, as: DoublePay) {
  const target = as === 'new_session' ? copyOf(world, record) : record;
  const payer = { email: record.session.customer_email ?? 'payer@example.com', name: null, country: null };
  const before = world.store.get('sessions', target.id) ?? target;
  const intent = intentOf(world, target, true);
  if (as === 'intent_only') world.store.put('sessions', before);
  const method = createMethod(world, { type: 'card', card: cardByNumber('4242424242424242'), payer });
  const { chargeId } = succeedIntent(world, intent, method);
  if (as !== 'intent_only') completeSession(world, target, payer, { payment_status: 'paid' });
  bookCharge(world, chargeId);
  return { session: target.id, payment_intent: intent.id, charge: chargeId };
}

function copyOf(world: World, record: SessionRecord): SessionRecord {
  const id = stripeId('cs');
  const created = world.clock.unix();
  return world.store.put('sessions', {
    id,
    line_items: record.line_items,
    intent_data: record.intent_data,
    merchant: record.merchant,
    session: {
      ...record.session,
      id,
      created,
      expires_at: created + 24 * 3600,
      payment_intent: null,
      payment_status: 'unpaid',
      status: 'open',
    },
  });
}
