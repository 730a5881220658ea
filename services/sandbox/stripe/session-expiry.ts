import type { SessionRecord } from '../records.ts';
import { emit } from './emit.ts';
import { cancelIntent } from './intent.ts';
import { settleRefund } from './refund.ts';
import { settleSession } from './session-payment.ts';
import type { World } from './world.ts';

/** Ends an open session: its unfinished intent is canceled, `checkout.session.expired` follows. */
export function expireSession(world: World, record: SessionRecord): SessionRecord {
  const { step: _step, ...rest } = record;
  const expired = world.store.put('sessions', {
    ...rest,
    session: { ...rest.session, client_secret: null, status: 'expired', url: null },
  });
  const intent = world.store.get('intents', String(record.session.payment_intent));
  if (intent && (intent.status === 'requires_payment_method' || intent.status === 'requires_action')) {
    cancelIntent(world, intent, 'automatic');
  }
  emit(world, 'checkout.session.expired', expired.session);
  return expired;
}

/** Looking through every session at every request would make the sandbox slower with each order it has seen. */
const NEXT_LOOK_MS = 100;

/**
 * Does what time does at the provider: sessions run out, delayed payments and refunds end. Returns how many did. Looks
 * at most ten times a second of the sandbox's clock.
 */
export function passTime(world: World): number {
  let changed = 0;
  const now = world.clock.nowMs();
  if (now >= world.lookedAt && now < world.lookedAt + NEXT_LOOK_MS) return 0;
  world.lookedAt = now;
  for (const record of world.store.all('sessions')) {
    if (record.settle && record.settle.at <= now) {
      changed += settleSession(world, record.id, record.settle.succeeds) ? 1 : 0;
    } else if (record.session.status === 'open' && record.session.expires_at * 1000 <= now) {
      expireSession(world, record);
      changed += 1;
    }
  }
  for (const record of world.store.all('refunds')) {
    if (record.settle && record.settle.at <= now) {
      settleRefund(world, record);
      changed += 1;
    }
  }
  return changed;
}
